/**
 * Leaves a token with little time, for a successor that may never come: nothing shows an agent whose start hook fails
 * whether its pod is being deleted.
 */
import type { Clock, Logger } from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { StartGatePort, VaultPort } from './ports.ts';
import type { Sessions } from './sessions.ts';

/** Limit of the one try, in milliseconds: the kubelet's hook waits for it. */
const SHORTEN_MS = 1000;

interface ShortenParts {
  readonly config: Pick<AgentConfig, 'revokeOnExit'>;
  /** Both undefined where nothing logs in. */
  readonly sessions: Sessions | undefined;
  readonly vault: Pick<VaultPort, 'renewToken'> | undefined;
  readonly startGate?: Pick<StartGatePort, 'lifeBetweenTriesMs'> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Renews the current token for little more time than the kubelet needs for the next try, which renews it again at once. A
 * token that cannot be renewed, or not for so short a time, keeps its TTL; so do all without `revokeOnExit`. Never rejects.
 */
export async function shortenToken(parts: ShortenParts): Promise<void> {
  const { config, sessions, vault, startGate, clock, logger } = parts;
  const current = sessions?.current;
  if (!config.revokeOnExit || vault === undefined || startGate === undefined) return;
  if (current === undefined || current.isBatch || current.plan.action !== 'renew') return;
  try {
    const { ttlMs } = await withDeadline({ clock, ms: SHORTEN_MS }, (signal) =>
      vault.renewToken(current.token, signal, startGate.lifeBetweenTriesMs),
    );
    sessions?.shortened(current, ttlMs);
  } catch (error) {
    sessions?.shortened(current, undefined); // Vault may have done it all the same
    logger.debug('vault token was not shortened', { session: current.id, error });
  }
}
