/**
 * How long the driver waits for what. Tests shorten these instead of the clock.
 */

/** The bounds of waits that grow with each failure, in milliseconds. */
interface WaitRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Times of a driver, in milliseconds. */
export interface Waits {
  /**
   * How long a call waits for the files: the first one briefly, so that the pod's events soon show what is missing; later
   * ones longer, so that the pod starts as soon as they are ready, not at the kubelet's next try. The kubelet itself waits
   * for two minutes, and a pod that is deleted waits for the call to end.
   */
  readonly firstPublishMs: number;
  readonly laterPublishMs: number;
  /** When a start is abandoned: the kubelet waits for at most two minutes between two calls. */
  readonly abandonedMs: number;
  /** Between two searches for abandoned volumes. */
  readonly sweepMs: number;
  /** For the API server to return the annotations of a namespace; usually they are known already. */
  readonly lookupMs: number;
  /** For an engine to stop; none of its work takes longer. */
  readonly stopMs: number;
  /** For one resumed engine to deliver before the next one starts. */
  readonly resumeMs: number;
  /** For calls in flight when the driver ends. */
  readonly drainMs: number;
  /** Between two tries to read the records of a predecessor. */
  readonly readRetry: WaitRange;
  /** For one try to revoke what a removed volume held. */
  readonly revokeMs: number;
  /** Between two such tries. */
  readonly revokeRetry: WaitRange;
  /**
   * For all revocations when the driver ends: what the grace period of the chart's DaemonSet (30 s) leaves after calls and
   * engines have ended. A node that shuts down has no next driver.
   */
  readonly finishMs: number;
  /** Between two tries to revoke when the driver ends. */
  readonly finishRetryMs: number;
}

/** The times of a driver on a node. */
export const DEFAULT_WAITS: Waits = {
  firstPublishMs: 10_000,
  laterPublishMs: 45_000,
  abandonedMs: 10 * 60_000,
  sweepMs: 60_000,
  lookupMs: 5000,
  stopMs: 5000,
  resumeMs: 5000,
  drainMs: 5000,
  readRetry: { minMs: 200, maxMs: 2000 },
  revokeMs: 5000,
  revokeRetry: { minMs: 1000, maxMs: 60_000 },
  finishMs: 15_000,
  finishRetryMs: 500,
};
