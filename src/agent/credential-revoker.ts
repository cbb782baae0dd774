/**
 * Revokes the credentials that no file uses any more: superseded leases and retired tokens.
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
import type { Login } from './logins.ts';
import type { LeaseRef } from './obtain.ts';
import type { VaultPort } from './ports.ts';
import type { Session } from './sessions.ts';
import type { Values } from './values.ts';

/** Tries of one revocation; after that the lease expires at its TTL. */
const MAX_TRIES = 3;

/** Time for all revocations at the end, in milliseconds: the kubelet does not wait for long. */
const REVOKE_ALL_MS = 5000;

/** Errors that mean that the credential does not exist any more. */
const GONE: readonly ErrorCode[] = ['ERR_VAULT_LEASE_GONE', 'ERR_VAULT_TOKEN_INVALID'];

/** Errors that a retry does not solve. */
const HOPELESS: readonly ErrorCode[] = [...GONE, 'ERR_VAULT_DENIED'];

/** What is revoked with. */
type RevokerLogin = Pick<Login, 'name' | 'sessions'> & {
  readonly vault: Pick<VaultPort, 'revokeLease' | 'revokeToken'>;
};

export interface RevokerOptions {
  /** Each is revoked independently: a Vault that does not answer delays no other one. */
  readonly logins: Iterable<RevokerLogin>;
  readonly values: Values;
  /** How long an application may use an old credential after the notification, in milliseconds. */
  readonly graceMs: number;
  /** Time for {@link CredentialRevoker.revokeAll}, in milliseconds. Default: 5 s. */
  readonly revokeAllMs?: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Revokes unused credentials after a delivery, and all of them at the end. */
export interface CredentialRevoker {
  /** Revokes these leases and the tokens that no delivered value belongs to any more, after the grace period. */
  revokeUnused(superseded: readonly LeaseRef[], signal: AbortSignal): Promise<void>;
  /**
   * Revokes every token of this agent and so every lease; of batch tokens only the leases. One try each, in parallel,
   * within `revokeAllMs`. Revoked tokens are removed from the sessions. Resolves to true if another try could not
   * revoke anything more.
   */
  revokeAll(): Promise<boolean>;
}

/** Creates a {@link CredentialRevoker}. Without a login there is nothing to revoke. */
export function createRevoker({ logins, ...common }: RevokerOptions): CredentialRevoker {
  const revokers = [...logins].map((login) => ({
    login: login.name,
    revoker: createLoginRevoker({ ...common, ...login }),
  }));
  return {
    async revokeUnused(superseded, signal) {
      const tasks = revokers.map(({ login, revoker }) => {
        const own = superseded.filter((lease) => lease.login === login);
        return revoker.revokeUnused(own, signal);
      });
      await Promise.all(tasks);
    },
    async revokeAll() {
      return (await Promise.all(revokers.map(({ revoker }) => revoker.revokeAll()))).every(Boolean);
    },
  };
}

type LoginRevokerOptions = Omit<RevokerOptions, 'logins'> & RevokerLogin;

/** Revokes what belongs to one login. */
function createLoginRevoker(parts: LoginRevokerOptions): CredentialRevoker {
  const { name, vault, sessions, values, clock, logger, revokeAllMs = REVOKE_ALL_MS } = parts;
  const revoking = new Set<Session>();
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
    // The default policy of Vault does not let a token revoke leases; that is logged once.
    const level = warned.has(`${what} ${error.code}`) ? 'debug' : 'warn';
    warned.add(`${what} ${error.code}`);
    logger[level](`${what} was not revoked; it expires at its TTL`, { error });
  }

  /** Retired sessions that no held value and no superseded lease belongs to. */
  function idleSessions(): readonly Session[] {
    // A superseded value is in the files until the next delivery.
    const inUse = new Set(leasesOf(values, name).map(({ session }) => session));
    return sessions.retired.filter((session) => !inUse.has(session.id) && !revoking.has(session));
  }

  /** True of a token that expired in its grace period: Vault would reject it. */
  function hasExpired({ id }: Session): boolean {
    return sessions.retired.every((session) => session.id !== id);
  }

  async function revokeSession(session: Session, signal: AbortSignal): Promise<void> {
    for (const id of session.orphans ?? []) {
      await attempt('lease', () => vault.revokeLease(session.token, id, signal), signal);
    }
    if (!session.isBatch) {
      await attempt('token', () => vault.revokeToken(session.token, signal), signal);
    }
  }

  return {
    async revokeUnused(superseded, signal) {
      const idle = idleSessions();
      if (superseded.length === 0 && idle.length === 0) return;
      for (const session of idle) revoking.add(session);
      const leases = superseded.filter(({ isToken }) => isToken !== true);
      for (const lease of leases) inGrace.add(lease);
      await clock.sleep(parts.graceMs, signal);
      const { current } = sessions;
      for (const lease of leases) {
        inGrace.delete(lease);
        // Leases of an older token end with the token, which is revoked below.
        if (current?.id !== lease.session) continue;
        await attempt('lease', () => vault.revokeLease(current.token, lease.id, signal), signal);
      }
      for (const session of idle) {
        if (!hasExpired(session)) await revokeSession(session, signal);
        sessions.forget(session);
        revoking.delete(session);
      }
    },

    revokeAll() {
      const { current, retired } = sessions;
      const isOver = current === undefined || current.plan.expiresAtMs <= clock.monotonicMs();
      const all = isOver ? retired : [current, ...retired];
      const around = { name, vault, sessions, values, inGrace, notRevoked };
      const reason = new VouchsafeError('ERR_VAULT_TIMEOUT', 'Vault did not answer in time');
      const deadline = new RestartableDeadline(clock, reason);
      deadline.start(revokeAllMs);
      return revokeOnce(all, around, deadline.signal).finally(() => deadline.end());
    },
  };
}

/** One try for each token, or for the leases of a batch token; resolves to true if another try is of no use. */
async function revokeOnce(
  ending: readonly Session[],
  parts: Pick<LoginRevokerOptions, 'name' | 'vault' | 'sessions' | 'values'> & {
    readonly inGrace: Iterable<LeaseRef>;
    readonly notRevoked: (what: 'lease' | 'token', error: VouchsafeError) => void;
  },
  signal: AbortSignal,
): Promise<boolean> {
  const { name, vault, sessions, values, inGrace, notRevoked } = parts;
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
    const leases = leasesBeyond(session, { login: name, values, inGrace }).map((id) =>
      once('lease', () => vault.revokeLease(token, id, signal)),
    );
    const own = isBatch ? [] : [once('token', () => vault.revokeToken(token, signal))];
    const isDone = (await Promise.all([...leases, ...own])).every(Boolean);
    if (isDone) sessions.end(session);
    return isDone;
  };
  return (await Promise.all(ending.map(revoke))).every(Boolean);
}

/** Ids of the leases that outlive the token of a session: in the files, superseded, or in their grace period. */
export function leasesBeyond(
  session: Session,
  { login, values, inGrace = [] }: BeyondOptions,
): readonly string[] {
  const orphans = session.orphans ?? [];
  if (!session.isBatch) return orphans;
  const own = [...leasesOf(values, login), ...inGrace].filter(
    (lease) => lease.session === session.id && lease.isToken !== true,
  );
  return [...orphans, ...own.map(({ id }) => id)];
}

interface BeyondOptions {
  /** Name of the login of the session. */
  readonly login: string | undefined;
  readonly values: Values;
  readonly inGrace?: Iterable<LeaseRef>;
}

/** The leases of one login that are held or superseded. */
function leasesOf(values: Values, login: string | undefined): readonly LeaseRef[] {
  const held = [...values.entries].flatMap((entry) => entry.held?.lease ?? []);
  const superseded = values.superseded.map(({ lease }) => lease);
  return [...held, ...superseded].filter((lease) => lease.login === login);
}
