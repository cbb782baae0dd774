/**
 * Addresses of API servers, and how to authenticate there.
 */
import type { RequestOptions } from 'node:https';
import { Secret, VouchsafeError, type Clock } from '../core/index.ts';

/** Access to one API server. */
export interface ApiAccess {
  /** `https://10.96.0.1:443` */
  readonly origin: string;
  /** TLS options and credentials of the next request. */
  options(): Promise<RequestOptions>;
}

/** Mount path of the service account in a pod. */
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The token is read again after this time; the kubelet rotates it at 80% of its lifetime of an hour. */
const TOKEN_FRESH_MS = 60_000;
const MAX_FILE_BYTES = 1024 * 1024;

interface Account {
  readonly token: Secret<string>;
  readonly ca: string;
  readonly atMs: number;
}

/** Plain HTTP is allowed only on loopback. */
const LOOPBACK = /^http:\/\/(127\.0\.0\.1|\[::1\]):\d{1,5}\/?$/;

/**
 * An API server on loopback that does not authenticate: `kubectl proxy`, or that of `npm start`.
 *
 * @throws VouchsafeError `ERR_USAGE` for any other address.
 */
export function loopbackAccess(address: string): ApiAccess {
  if (!LOOPBACK.test(address)) {
    const text = `"${address.slice(0, 256)}" is not the address of an API server on this machine, such as http://127.0.0.1:PORT of kubectl proxy`;
    throw new VouchsafeError('ERR_USAGE', text);
  }
  return { origin: address.replace(/\/$/, ''), options: () => Promise.resolve({}) };
}

export interface InClusterOptions {
  /** `KUBERNETES_SERVICE_HOST` and `_PORT`. */
  readonly host: string;
  readonly port: string;
  /** Reads a file of at most `maxBytes`. */
  readonly read: (path: string, maxBytes: number) => Promise<string>;
  readonly clock: Clock;
}

/**
 * The service account of the pod; its token is read again every minute.
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
      // Explicit, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 would switch it off.
      return {
        ca,
        rejectUnauthorized: true,
        headers: { authorization: `Bearer ${token.reveal()}` },
      };
    },
  };
}
