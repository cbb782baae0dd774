/**
 * Lets go of what is no longer in any file: superseded leases and retired tokens.
 */
import {
  hasCode,
  toVouchsafeError,
  type Clock,
  type ErrorCode,
  type Logger,
  type Random,
  VouchsafeError,
} from '../core/index.ts';
import { createBackoff, raceAbort, RestartableDeadline, retry } from '../async/index.ts';
import type { LeaseRef } from './obtain.ts';
import type { VaultPort } from './ports.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Values } from './values.ts';

/** Tries of one revocation; after that the server ends the lease by itself at its TTL. */
const MAX_TRIES = 3;

/** Time for all revocations at the end, in milliseconds: the kubelet does not wait for long. */
const REVOKE_ALL_MS = 5000;

/** Answers that mean there is nothing left to revoke. */
const GONE: readonly ErrorCode[] = ['ERR_VAULT_LEASE_GONE', 'ERR_VAULT_TOKEN_INVALID'];

/** Answers that trying again does not change. */
const HOPELESS: readonly ErrorCode[] = [...GONE, 'ERR_VAULT_DENIED'];

/** What a {@link CredentialRevoker} needs. */
export interface RevokerOptions {
  readonly vault: Pick<VaultPort, 'revokeLease' | 'revokeToken'>;
  readonly sessions: Sessions;
  readonly values: Values;
  /** How long an application may still use the old credential after it was told of the new one. */
  readonly graceMs: number;
  /** Time for {@link CredentialRevoker.revokeAll}, in milliseconds. Default: 5 s. */
  readonly revokeAllMs?: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Lets credentials go after a delivery, and all of them at the end. */
export interface CredentialRevoker {
  /** Revokes these leases, and tokens that nothing delivered hangs off any more, after the grace. */
  revokeUnused(superseded: readonly LeaseRef[], signal: AbortSignal): Promise<void>;
  /**
   * Revokes every token of this agent, and with it every lease; of batch tokens the leases alone. One try each,
   * side by side, within bounds. The sessions forget what is revoked. Tells whether nothing is left that another try
   * could revoke.
   */
  revokeAll(): Promise<boolean>;
}

/** Has nothing to let go: for an agent without Vault. */
export const NO_REVOKER: CredentialRevoker = {
  revokeUnused: () => Promise.resolve(),
  revokeAll: () => Promise.resolve(true),
};

/** Makes a {@link CredentialRevoker}. */
export function createRevoker(parts: RevokerOptions): CredentialRevoker {
  const { vault, sessions, values, clock, logger, revokeAllMs = REVOKE_ALL_MS } = parts;
  const releasing = new Set<Session>();
  const inGrace = new Set<LeaseRef>();
  const warned = new Set<string>();

  async function attempt(
    what: 'lease' | 'token',
    operation: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    let tries = 1;
    try {
      await retry(operation, {
        backoff: createBackoff({ minMs: 1000, maxMs: 10_000, random: parts.random }),
        clock,
        signal,
        shouldRetry: (error) =>
          error.retry === 'backoff' && !hasCode(error, ...HOPELESS) && tries++ < MAX_TRIES,
      });
    } catch (caught) {
      signal.throwIfAborted();
      notRevoked(what, toVouchsafeError(caught));
    }
  }

  function notRevoked(what: 'lease' | 'token', error: VouchsafeError): void {
    if (hasCode(error, ...GONE)) return;
    // The default policy of Vault does not let a token revoke leases: one line about that is enough.
    const level = warned.has(`${what} ${error.code}`) ? 'debug' : 'warn';
    warned.add(`${what} ${error.code}`);
    logger[level](`${what} was not revoked; it ends by its TTL`, { error });
  }

  /** Sessions that neither a held value nor a lease still to be let go hangs off. */
  function idleSessions(): readonly Session[] {
    const inUse = new Set<number>();
    for (const { held } of values.entries) if (held?.lease) inUse.add(held.lease.session);
    // What a newer value has replaced is still in the files until they are delivered.
    for (const { lease } of values.superseded) inUse.add(lease.session);
    return sessions.retired.filter((session) => !inUse.has(session.id) && !releasing.has(session));
  }

  return {
    async revokeUnused(superseded, signal) {
      const idle = idleSessions();
      if (superseded.length === 0 && idle.length === 0) return;
      for (const session of idle) releasing.add(session);
      for (const lease of superseded) inGrace.add(lease);
      await clock.sleep(parts.graceMs, signal);
      const { current } = sessions;
      for (const lease of superseded) {
        inGrace.delete(lease);
        // Leases of an older token end with it, which comes next.
        if (current?.id !== lease.session) continue;
        await attempt('lease', () => vault.revokeLease(current.token, lease.id, signal), signal);
      }
      for (const session of idle) {
        for (const id of session.orphans ?? []) {
          await attempt('lease', () => vault.revokeLease(session.token, id, signal), signal);
        }
        if (!session.isBatch) {
          await attempt('token', () => vault.revokeToken(session.token, signal), signal);
        }
        sessions.forget(session);
        releasing.delete(session);
      }
    },

    revokeAll() {
      const { current, retired } = sessions;
      const isOver = current === undefined || current.plan.expiresAtMs <= clock.monotonicMs();
      const all = isOver ? retired : [current, ...retired];
      const around = { vault, sessions, values, inGrace, notRevoked };
      const reason = new VouchsafeError('ERR_VAULT_TIMEOUT', 'Vault did not answer in time');
      const deadline = new RestartableDeadline(clock, reason);
      deadline.start(revokeAllMs);
      return revokeOnce(all, around, deadline.signal).finally(() => deadline.end());
    },
  };
}

/** One try for each token, or for what hangs off it where it is a batch token; tells whether no other try is of use. */
async function revokeOnce(
  ending: readonly Session[],
  parts: Pick<RevokerOptions, 'vault' | 'sessions' | 'values'> & {
    readonly inGrace: Iterable<LeaseRef>;
    readonly notRevoked: (what: 'lease' | 'token', error: VouchsafeError) => void;
  },
  signal: AbortSignal,
): Promise<boolean> {
  const { vault, sessions, values, inGrace, notRevoked } = parts;
  const once = async (what: 'lease' | 'token', work: () => Promise<void>): Promise<boolean> => {
    try {
      await raceAbort(work(), signal);
      return true;
    } catch (caught) {
      const error = toVouchsafeError(caught);
      notRevoked(what, error);
      return error.retry !== 'backoff' || hasCode(error, ...HOPELESS);
    }
  };
  const revoke = async (session: Session): Promise<boolean> => {
    const { token, isBatch } = session;
    const leases = leasesBeyond(session, { values, inGrace }).map((id) =>
      once('lease', () => vault.revokeLease(token, id, signal)),
    );
    const own = isBatch ? [] : [once('token', () => vault.revokeToken(token, signal))];
    const isDone = (await Promise.all([...leases, ...own])).every(Boolean);
    if (isDone) sessions.end(session);
    return isDone;
  };
  return (await Promise.all(ending.map(revoke))).every(Boolean);
}

/** Ids of the leases that the end of a session's token does not end: in the files, replaced, or about to be let go. */
export function leasesBeyond(
  session: Session,
  { values, inGrace = [] }: { readonly values: Values; readonly inGrace?: Iterable<LeaseRef> },
): readonly string[] {
  const orphans = session.orphans ?? [];
  if (!session.isBatch) return orphans;
  const held = [...values.entries].flatMap((entry) => entry.held?.lease ?? []);
  const superseded = values.superseded.map(({ lease }) => lease);
  const own = [...held, ...superseded, ...inGrace].filter((lease) => lease.session === session.id);
  return [...orphans, ...own.map(({ id }) => id)];
}
