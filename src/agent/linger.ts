/**
 * Between SIGTERM and the revocation, where the application is told to end at the same time: it may need its
 * credentials while it drains.
 */
import type { Clock, Logger } from '../core/index.ts';
import { raceAbort, runAll } from '../async/index.ts';
import type { VaultPort } from './ports.ts';
import type { Session, Sessions } from './sessions.ts';

/**
 * Life of a token meanwhile, in milliseconds: nobody knows whether the kubelet grants the whole grace period, and what
 * a killed agent held must be over ten seconds after the pod.
 */
const KEPT_ALIVE_MS = 8000;

/** How often it is granted anew; also the most that one try takes. */
const KEEP_ALIVE_MS = 2000;

/** How often is looked whether anybody is left. */
const LOOK_MS = 1000;

/** What {@link linger} needs. */
export interface LingerParts {
  readonly sessions: Sessions;
  readonly vault: Pick<VaultPort, 'renewToken'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The most that it takes. */
  readonly delayMs: number;
  /** Whether anybody may still use what is going to be revoked. */
  readonly isNeeded: () => Promise<boolean>;
}

/**
 * Waits until nobody needs the credentials any more, or `delayMs`. Meanwhile every token lives for a few seconds from
 * each renewal: whoever is killed here leaves nothing that lasts. Tokens that cannot be renewed, or not for so short,
 * keep their TTL. Ends at once when `signal` aborts; never rejects.
 */
export async function linger(parts: LingerParts, signal: AbortSignal): Promise<void> {
  const { clock, logger, delayMs, isNeeded } = parts;
  if (delayMs === 0 || !(await isNeeded())) return;
  logger.info('told to stop: the application keeps its credentials while it ends', {
    at_most_ms: delayMs,
  });
  const done = new AbortController();
  const endsAtMs = clock.monotonicMs() + delayMs;
  await runAll(AbortSignal.any([signal, done.signal]), [
    (inner) => keepAlive(parts, inner),
    async (inner) => {
      while (clock.monotonicMs() < endsAtMs && (await isNeeded())) {
        await clock.sleep(Math.min(LOOK_MS, endsAtMs - clock.monotonicMs()), inner);
      }
      done.abort();
    },
  ]);
}

async function keepAlive(parts: LingerParts, signal: AbortSignal): Promise<void> {
  const { sessions, clock } = parts;
  const lasting = new WeakSet<Session>();
  for (;;) {
    const { current, retired } = sessions;
    const all = current === undefined ? retired : [current, ...retired];
    const renewed = all.filter((one) => one.renewable && !one.isBatch && !lasting.has(one));
    const pause = clock.sleep(KEEP_ALIVE_MS, signal);
    const limit = new AbortController();
    const tries = renewed.map(async (session) => {
      if (!(await isShort(session, parts, limit.signal))) lasting.add(session);
    });
    await pause.finally(() => limit.abort());
    await Promise.all(tries);
  }
}

/** Grants a token a few seconds more; false where it has got more than that all the same. */
async function isShort(
  { id, token }: Session,
  { vault, logger }: LingerParts,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const { ttlMs } = await raceAbort(vault.renewToken(token, signal, KEPT_ALIVE_MS), signal);
    return ttlMs <= KEPT_ALIVE_MS;
  } catch (error) {
    // Tried again in a moment; a token that is lost meanwhile is replaced as ever.
    if (!signal.aborted) logger.debug('vault token was not kept alive', { session: id, error });
    return true;
  }
}
