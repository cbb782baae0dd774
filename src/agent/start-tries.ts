/**
 * How long the kubelet's hook may hold one try of a start. Pure.
 *
 * While the hook runs, the kubelet shows no reason and does not end the pod. So a try is short, the hook then fails, and
 * the kubelet starts the container again, after a back-off that grows with each failure: the tries are as few as the
 * deadline allows, because Vault may return while the agent does not run.
 *
 * @see https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
 */

/** The first try, in milliseconds: a wrong role is seen soon. */
const FIRST_TRY_MS = 8000;
/** Another try, in milliseconds: a pod that is deleted during it ends within 20 s. */
const TRY_MS = 17_000;
/** The kubelet's back-off after the first failures, in milliseconds; it is never longer than the last one. */
const BACK_OFFS_MS = [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000] as const;
/** The kubelet looks again up to half a back-off late. */
const BACK_OFF_JITTER = 0.5;
/** Time in which the kubelet sees the end of a container and starts it again, in milliseconds. */
const RESTART_MS = 5000;

/** The tries of a start, in the containers that the kubelet has started one after the other. */
export interface StartTries {
  /** When the first one began, by the monotonic clock. */
  readonly beganAtMs: number;
  /** Their number, with the present one. */
  readonly count: number;
}

/** The time that one try may take. */
export interface TryLimit {
  readonly ms: number;
  /** True if the deadline is at its end; otherwise another try follows. */
  readonly isLast: boolean;
}

/** The time for the present try. A try that would leave too little time for another one lasts until the deadline. */
export function limitOfTry(tries: StartTries, deadlineMs: number, nowMs: number): TryLimit {
  // The kubelet may have been late: the deadline does not pass without a try.
  const leastMs = Math.min(FIRST_TRY_MS, deadlineMs);
  const leftMs = Math.max(leastMs, deadlineMs - (nowMs - tries.beganAtMs));
  const ms = tries.count === 1 ? FIRST_TRY_MS : TRY_MS;
  return leftMs - ms <= backOffMs(tries) + RESTART_MS
    ? { ms: leftMs, isLast: true }
    : { ms, isLast: false };
}

/** How long a token has to live until the next try can renew it, in milliseconds. */
export function lifeBetweenTriesMs(tries: StartTries): number {
  return backOffMs(tries) * (1 + BACK_OFF_JITTER) + 6 * RESTART_MS;
}

function backOffMs({ count }: StartTries): number {
  return BACK_OFFS_MS[Math.min(count, BACK_OFFS_MS.length) - 1] ?? 0;
}
