/**
 * The limits of all listeners.
 */

/** Interval at which Node enforces the timeouts; with its default of 30 s, connections live that much longer. */
export const CHECK_MS = 1000;
/** Timeout of a TLS handshake, and of the headers of a request, from the connection or the previous answer. */
export const HEADERS_MS = 5000;
/** Timeout of a body, from the end of the headers. The API server sends it at once. */
export const BODY_MS = 10_000;
/** Longest time without progress while an answer is sent. */
export const WRITE_MS = 10_000;
/** Longest headers of a request. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** Limits of the connections of a listener. */
export interface Limits {
  readonly maxConnections: number;
  /** Of one caller; Infinity where many callers may share an address. */
  readonly maxPerPeer: number;
  readonly keepAliveMs: number;
}

/** For kubelets, Prometheus and people. An idle connection takes about 5 kB. */
export const PROBE_LIMITS: Limits = {
  maxConnections: 256,
  maxPerPeer: 16,
  keepAliveMs: 5000,
};

/**
 * For API servers: behind kube-proxy, konnectivity or NAT all of them have one address. They keep connections open for
 * 90 s; ours live longer, so that they never send into one that is being closed.
 */
export const REVIEW_LIMITS: Limits = {
  maxConnections: 512,
  maxPerPeer: Infinity,
  keepAliveMs: 120_000,
};

/** Most bytes of all requests and answers that a listener has in memory. */
export const MAX_BODIES_BYTES = 16 * 1024 * 1024;
/** Part of {@link MAX_BODIES_BYTES} that a request takes besides its body: headers, and memory of Node. */
export const REQUEST_BYTES = 16 * 1024;

/** Most concurrent requests of one HTTP/2 connection. */
export const MAX_STREAMS = 250;
