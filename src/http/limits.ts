/**
 * The bounds of every listener, in one place.
 */

/** How often Node looks for connections whose time is over. Its own default of 30 s lets idle ones live that long. */
export const CHECK_MS = 1000;
/** From the connection, or the last answer's end, to the end of a handshake, and of a request's headers. */
export const HEADERS_MS = 5000;
/** From the headers to the end of the body. The API server sends at once. */
export const BODY_MS = 10_000;
/** How long a peer may take none of an answer. */
export const WRITE_MS = 10_000;
/** Most headers of a request. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** How many connections a listener keeps, and for how long without a request. */
export interface Limits {
  readonly maxConnections: number;
  /** Of one caller; infinity where many callers may share an address. */
  readonly maxPerPeer: number;
  readonly keepAliveMs: number;
}

/** A kubelet, a Prometheus, a person. A connection that says nothing costs about 5 kB. */
export const PROBE_LIMITS: Limits = {
  maxConnections: 256,
  maxPerPeer: 16,
  keepAliveMs: 5000,
};

/**
 * The API servers: behind kube-proxy, konnectivity or a NAT all of them are one address. They keep connections for
 * 90 s, and must never send into one that is being closed.
 */
export const REVIEW_LIMITS: Limits = {
  maxConnections: 512,
  maxPerPeer: Infinity,
  keepAliveMs: 120_000,
};

/** Bytes of all requests and answers that a listener has in memory. */
export const MAX_BODIES_BYTES = 16 * 1024 * 1024;
/** What a request counts for among them beside its body: headers, and what Node has for it. */
export const REQUEST_BYTES = 16 * 1024;

/** Requests of one HTTP/2 connection at a time. */
export const MAX_STREAMS = 250;
