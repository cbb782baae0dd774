/**
 * Lets go of what is no longer in any file: superseded leases and retired tokens. Ring: agent.
 */
import { toVouchsafeError, type Clock, type Logger, type Random } from '../core/index.ts';
import { createBackoff, retry } from '../lifecycle/index.ts';
import type { LeaseHeld } from './obtain.ts';
import type { VaultPort } from './ports.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Values } from './values.ts';

/** Tries of one revocation; after that the server ends the lease by itself at its TTL. */
const MAX_TRIES = 3;

/** What a {@link Releaser} needs. */
export interface ReleaserParts {
  readonly vault: Pick<VaultPort, 'revokeLease' | 'revokeToken'>;
  readonly sessions: Sessions;
  readonly values: Values;
  /** How long an application may still use the old credential after it was told of the new one. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Lets credentials go after a delivery, and all of them at the end. */
export interface Releaser {
  /** Revokes these leases, and tokens that nothing delivered hangs off any more, after the grace. */
  release(superseded: readonly LeaseHeld[], signal: AbortSignal): Promise<void>;
  /** Revokes every token of this agent, and with it every lease. One try each, within `signal`. */
  releaseAll(signal: AbortSignal): Promise<void>;
}

/** Has nothing to let go: for an agent without Vault. */
export const NO_RELEASER: Releaser = {
  release: () => Promise.resolve(),
  releaseAll: () => Promise.resolve(),
};

/** Makes a {@link Releaser}. */
export function createReleaser(parts: ReleaserParts): Releaser {
  const { vault, sessions, values, clock, logger } = parts;

  async function attempt(
    what: string,
    operation: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    let tries = 1;
    try {
      await retry(operation, {
        backoff: createBackoff({ minMs: 1000, maxMs: 10_000, random: parts.random }),
        clock,
        signal,
        shouldRetry: (error) => error.retry === 'backoff' && tries++ < MAX_TRIES,
      });
    } catch (caught) {
      signal.throwIfAborted();
      const error = toVouchsafeError(caught);
      if (error.code === 'ERR_VAULT_LEASE_GONE' || error.code === 'ERR_VAULT_TOKEN_INVALID') return;
      logger.warn(`${what} was not revoked; it ends by its TTL`, { error });
    }
  }

  const releasing = new Set<Session>();

  /** Sessions that neither a held value nor a lease still to be let go hangs off. */
  function idleSessions(): readonly Session[] {
    const inUse = new Set<number>();
    for (const { held } of values.entries) if (held?.lease) inUse.add(held.lease.session);
    return sessions.retired.filter((session) => !inUse.has(session.id) && !releasing.has(session));
  }

  return {
    async release(superseded, signal) {
      const idle = idleSessions();
      if (superseded.length === 0 && idle.length === 0) return;
      for (const session of idle) releasing.add(session);
      await clock.sleep(parts.graceMs, signal);
      const { current } = sessions;
      for (const lease of superseded) {
        // Leases of an older token end with it, which comes next.
        if (current?.id !== lease.session) continue;
        await attempt('lease', () => vault.revokeLease(current.token, lease.id, signal), signal);
      }
      for (const session of idle) {
        await attempt('token', () => vault.revokeToken(session.token, signal), signal);
        sessions.forget(session);
        releasing.delete(session);
      }
    },

    async releaseAll(signal) {
      const { current, retired } = sessions;
      for (const session of current === undefined ? retired : [...retired, current]) {
        try {
          await vault.revokeToken(session.token, signal);
        } catch (caught) {
          logger.warn('token was not revoked; it ends by its TTL', {
            error: toVouchsafeError(caught),
          });
        }
      }
    },
  };
}
