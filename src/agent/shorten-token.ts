/**
 * Leaves a token with little time, for a successor that may never come.
 */
import type { Clock, Logger } from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import type { VaultPort } from './ports.ts';
import type { Sessions } from './sessions.ts';

/** Limit of the one try, in milliseconds: the kubelet's hook waits for it. */
const SHORTEN_MS = 1000;

export interface ShortenParts {
  readonly sessions: Sessions;
  readonly vault: Pick<VaultPort, 'renewToken'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Renews the current token for `ttlMs` from now. The successor renews it again at once. A token that cannot be renewed, or
 * not for so short a time, keeps its TTL. Never rejects.
 */
export async function shortenToken(
  { sessions, vault, clock, logger }: ShortenParts,
  ttlMs: number,
): Promise<void> {
  const { current } = sessions;
  if (current === undefined || current.isBatch || current.plan.action !== 'renew') return;
  try {
    const granted = await withDeadline({ clock, ms: SHORTEN_MS }, (signal) =>
      vault.renewToken(current.token, signal, ttlMs),
    );
    sessions.shortened(current, granted.ttlMs);
  } catch (error) {
    // Vault may have done it all the same.
    sessions.shortened(current, undefined);
    logger.debug('vault token was not shortened', { session: current.id, error });
  }
}
