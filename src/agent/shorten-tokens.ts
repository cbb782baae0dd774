/**
 * Leaves tokens with little time, for a successor that may never come: nothing shows an agent whose start hook fails
 * whether its pod is being deleted.
 */
import type { Clock, Logger } from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { Login, Logins } from './logins.ts';
import type { StartGatePort } from './ports.ts';

/** Limit of the one try, in milliseconds: the kubelet's hook waits for it. */
const SHORTEN_MS = 1000;

interface ShortenParts {
  readonly config: Pick<AgentConfig, 'revokeOnExit'>;
  readonly logins: Logins<Pick<Login, 'sessions' | 'vault'>>;
  readonly startGate?: Pick<StartGatePort, 'lifeBetweenTriesMs'> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Renews the current token of each login for little more time than the kubelet needs for the next try, which renews it again
 * at once. A token that cannot be renewed, or not for so short a time, keeps its TTL; so do all without `revokeOnExit`. Never
 * rejects.
 */
export async function shortenTokens(parts: ShortenParts): Promise<void> {
  const { config, logins, startGate } = parts;
  if (!config.revokeOnExit || startGate === undefined) return;
  const { lifeBetweenTriesMs } = startGate;
  await Promise.all(
    [...logins.values()].map((login) => shortenToken(login, lifeBetweenTriesMs, parts)),
  );
}

async function shortenToken(
  { sessions, vault }: Pick<Login, 'sessions' | 'vault'>,
  lifeMs: number,
  { clock, logger }: Pick<ShortenParts, 'clock' | 'logger'>,
): Promise<void> {
  const { current } = sessions;
  if (current === undefined || current.isBatch || current.plan.action !== 'renew') return;
  try {
    const { ttlMs } = await withDeadline({ clock, ms: SHORTEN_MS }, (signal) =>
      vault.renewToken(current.token, signal, lifeMs),
    );
    sessions.shortened(current, ttlMs);
  } catch (error) {
    sessions.shortened(current, undefined); // Vault may have done it all the same
    logger.debug('vault token was not shortened', { session: current.id, error });
  }
}
