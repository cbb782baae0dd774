/**
 * Where the API server is and how one logs in there.
 */
import type { RequestOptions } from 'node:https';
import { Secret, VouchsafeError, type Clock } from '../core/index.ts';

/** The way to one API server. */
export interface ApiAccess {
  /** `https://10.96.0.1:443` */
  readonly origin: string;
  /** TLS and credentials of the next request. */
  options(): Promise<RequestOptions>;
}

/** Where a pod finds its service account. */
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The kubelet replaces the token at four fifths of its life, which is an hour. */
const TOKEN_FRESH_MS = 60_000;
const MAX_FILE_BYTES = 1024 * 1024;

interface Account {
  readonly token: Secret<string>;
  readonly ca: string;
  readonly atMs: number;
}

/** Plain HTTP goes no further than this machine. */
const LOOPBACK = /^http:\/\/(127\.0\.0\.1|\[::1\]):\d{1,5}\/?$/;

/**
 * An API server on this machine that asks nobody who he is: `kubectl proxy`, or one of a show.
 *
 * @throws VouchsafeError `ERR_USAGE` for any other place.
 */
export function loopbackAccess(address: string): ApiAccess {
  if (!LOOPBACK.test(address)) {
    const text = `"${address.slice(0, 256)}" is no API server of this machine; one is http://127.0.0.1:PORT, as of kubectl proxy`;
    throw new VouchsafeError('ERR_USAGE', text);
  }
  return { origin: address.replace(/\/$/, ''), options: () => Promise.resolve({}) };
}

/** What {@link inClusterAccess} needs. */
export interface InClusterOptions {
  /** `KUBERNETES_SERVICE_HOST` and `_PORT`. */
  readonly host: string;
  readonly port: string;
  /** Reads a file of at most `maxBytes`. */
  readonly read: (path: string, maxBytes: number) => Promise<string>;
  readonly clock: Clock;
}

/**
 * The service account of the pod, its token read anew every minute.
 *
 * @see https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
 */
export function inClusterAccess({ host, port, read, clock }: InClusterOptions): ApiAccess {
  let known: Account | undefined;
  const load = async (): Promise<Account> => {
    if (known !== undefined && clock.monotonicMs() - known.atMs < TOKEN_FRESH_MS) return known;
    try {
      const token = new Secret((await read(`${ACCOUNT}/token`, MAX_FILE_BYTES)).trim());
      const ca = await read(`${ACCOUNT}/ca.crt`, MAX_FILE_BYTES);
      known = { token, ca, atMs: clock.monotonicMs() };
      return known;
    } catch (cause) {
      const message = `the service account at ${ACCOUNT} cannot be read`;
      throw new VouchsafeError('ERR_KUBERNETES_API', message, { cause });
    }
  };
  return {
    origin: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    options: async () => {
      const { token, ca } = await load();
      // Said in full, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 would switch it off.
      return {
        ca,
        rejectUnauthorized: true,
        headers: { authorization: `Bearer ${token.reveal()}` },
      };
    },
  };
}
