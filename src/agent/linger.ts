/**
 * The time between SIGTERM and the revocation. The application receives SIGTERM as well, and may need its credentials
 * while it drains.
 */
import type { Clock, Logger } from '../core/index.ts';
import { raceAbort, runAll } from '../async/index.ts';
import type { VaultPort } from './ports.ts';
import type { Login } from './logins.ts';
import type { Session } from './sessions.ts';

/**
 * TTL of a token during that time, in milliseconds. The kubelet may kill the agent at any moment; then its credentials
 * must end within ten seconds of the pod.
 */
const KEPT_ALIVE_MS = 8000;

/** Interval of the renewals, in milliseconds; also the limit of one try. */
const KEEP_ALIVE_MS = 2000;

/** Interval of the checks whether a container is left, in milliseconds. */
const LOOK_MS = 1000;

type LingerLogin = Pick<Login, 'sessions'> & {
  readonly vault: Pick<VaultPort, 'renewToken'>;
};

export interface LingerParts {
  readonly logins: Iterable<LingerLogin>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The longest wait, in milliseconds. */
  readonly delayMs: number;
  /** Whether another container may still use the credentials. */
  readonly isNeeded: () => Promise<boolean>;
}

/**
 * Waits until no container needs the credentials any more, at most `delayMs`. Meanwhile every token is renewed for only
 * a few seconds at a time, so that it expires soon if the agent is killed. Tokens that cannot be renewed, or not for so
 * short a time, keep their TTL. Ends at once when `signal` aborts; never rejects.
 */
export async function linger(parts: LingerParts, signal: AbortSignal): Promise<void> {
  const { clock, logger, delayMs, isNeeded } = parts;
  if (delayMs === 0 || !(await isNeeded())) return;
  logger.info('stopping: credentials stay valid while the application shuts down', {
    at_most_ms: delayMs,
  });
  const done = new AbortController();
  const endsAtMs = clock.monotonicMs() + delayMs;
  await runAll(AbortSignal.any([signal, done.signal]), [
    ...[...parts.logins].map((login) => (inner: AbortSignal) => keepAlive(login, parts, inner)),
    async (inner) => {
      while (clock.monotonicMs() < endsAtMs && (await isNeeded())) {
        await clock.sleep(Math.min(LOOK_MS, endsAtMs - clock.monotonicMs()), inner);
      }
      done.abort();
    },
  ]);
}

async function keepAlive(
  { sessions, vault }: LingerLogin,
  { clock, logger }: LingerParts,
  signal: AbortSignal,
): Promise<void> {
  const lasting = new WeakSet<Session>();
  for (;;) {
    const { current, retired } = sessions;
    const all = current === undefined ? retired : [current, ...retired];
    const renewed = all.filter((one) => one.renewable && !one.isBatch && !lasting.has(one));
    const pause = clock.sleep(KEEP_ALIVE_MS, signal);
    const limit = new AbortController();
    const tries = renewed.map(async (session) => {
      if (!(await isShort(session, { vault, logger }, limit.signal))) lasting.add(session);
    });
    await pause.finally(() => limit.abort());
    await Promise.all(tries);
  }
}

/** Renews a token for a few seconds; false if Vault granted more than that. */
async function isShort(
  { id, token }: Session,
  { vault, logger }: Pick<LingerLogin, 'vault'> & Pick<LingerParts, 'logger'>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const { ttlMs } = await raceAbort(vault.renewToken(token, signal, KEPT_ALIVE_MS), signal);
    return ttlMs <= KEPT_ALIVE_MS;
  } catch (error) {
    // It is tried again soon; an invalid token is replaced as usual.
    if (!signal.aborted) logger.debug('vault token was not kept alive', { session: id, error });
    return true;
  }
}
