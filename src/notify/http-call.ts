/**
 * Calls the application over HTTP; the only file here that opens sockets, and only to loopback.
 */
import * as http from 'node:http';
import type { LookupFunction } from 'node:net';
import { codeOf, notifyUrlProblem, VouchsafeError, type Clock } from '../core/index.ts';
import { RestartableDeadline } from '../async/index.ts';

/** Timeout of one call, in milliseconds. */
const TIMEOUT_MS = 5000;
/** The body is not used; after this many bytes the connection is closed. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** One notification by HTTP. */
export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** On loopback, see {@link notifyUrlProblem}. */
  readonly url: string;
}

/**
 * Makes one call with an empty body; redirects are not followed.
 *
 * Rejects with `ERR_CONFIG_INVALID` (not on loopback), `ERR_NOTIFY_TARGET` (nothing listens there),
 * `ERR_NOTIFY_TIMEOUT`, `ERR_NOTIFY_STATUS` (any status but 2xx), and on abort with `signal.reason`.
 */
export async function callHttp(call: HttpCall, clock: Clock, signal: AbortSignal): Promise<void> {
  const name = describeCall(call);
  const problem = notifyUrlProblem(call.url);
  if (problem !== undefined) {
    throw new VouchsafeError('ERR_CONFIG_INVALID', `${name} is not allowed: ${problem}`);
  }
  const message = `${name} was not answered within ${TIMEOUT_MS / 1000} s`;
  const deadline = new RestartableDeadline(
    clock,
    new VouchsafeError('ERR_NOTIFY_TIMEOUT', message),
  );
  deadline.start(TIMEOUT_MS);
  const either = AbortSignal.any([signal, deadline.signal]);
  const status = await request(call, name, either).finally(() => deadline.end());
  if (status < 200 || status > 299) {
    const hint = status >= 300 && status <= 399 ? '; redirects are not followed' : '';
    const text = `${name} was answered with status ${status}${hint}; see the log of the application`;
    throw new VouchsafeError('ERR_NOTIFY_STATUS', text, { details: { status } });
  }
}

/** `POST http://127.0.0.1:8080/-/reload`: without the query, which may contain secrets. */
export function describeCall({ method, url }: HttpCall): string {
  const parsed = URL.parse(url);
  return parsed === null
    ? `${method} of a malformed URL`
    : `${method} ${parsed.origin}${parsed.pathname}`;
}

async function request(call: HttpCall, name: string, signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  // `agent: false` opens a separate connection and ignores proxies of the environment.
  const options = { method: call.method, agent: false, lookup: loopback, signal };
  const outgoing = http.request(call.url, options);
  outgoing.on('response', resolve).on('error', reject).end();
  try {
    const answer = await promise;
    await drain(answer);
    return answer.statusCode ?? 0;
  } catch (error) {
    signal.throwIfAborted();
    throw new VouchsafeError(
      'ERR_NOTIFY_TARGET',
      `${name} failed (${errorName(error)}): is the application listening there, on loopback, in this pod?`,
      { cause: error },
    );
  } finally {
    outgoing.destroy();
  }
}

/** Reads a short body to its end, so that the application can finish its answer. */
async function drain(answer: http.IncomingMessage): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of answer) {
      bytes += Buffer.byteLength(chunk as Buffer); // no encoding is set, so chunks are buffers
      if (bytes > MAX_ANSWER_BYTES) return;
    }
  } catch {
    // The status is known; an error in the body does not matter.
  }
}

/** `localhost` is loopback (RFC 6761), whatever a resolver answers; the socket tries both addresses in order. */
const loopback: LookupFunction = (_hostname, options, callback) => {
  const all = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ];
  if (options.all === true) callback(null, all);
  else callback(null, '127.0.0.1', 4);
};

function errorName(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.name : 'unknown');
}
