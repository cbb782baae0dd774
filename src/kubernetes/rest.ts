/**
 * The Kubernetes API over HTTP: a deadline per request, responses of limited size, watches that end with their signal.
 *
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { fieldsOf, VouchsafeError, type Clock } from '../core/index.ts';
import { raceAbort, RestartableDeadline, withDeadline } from '../async/index.ts';
import type { ApiAccess } from './client-config.ts';
import {
  apiError,
  readObject,
  type ApiRequest,
  type KubernetesApi,
  type WatchEvent,
} from './api.ts';

const TIMEOUT_MS = 10_000;
/** Largest response: a list of 500 objects, or one watch event. */
const MAX_ANSWER_BYTES = 16 * 2 ** 20;
/** The API server ends a watch after this time, so that a dead connection is detected. */
const WATCH_SECONDS = 240;
const WATCH_PATIENCE_MS = (WATCH_SECONDS + 30) * 1000;

const WATCH_QUERY = {
  watch: 'true',
  allowWatchBookmarks: 'true',
  timeoutSeconds: String(WATCH_SECONDS),
} as const;

const WATCH_TYPES = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'] as const;

/** Creates the API; connections are kept alive. */
export function createKubernetesApi(access: ApiAccess, clock: Clock): KubernetesApi {
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: 15_000, maxSockets: 32 });
  const open = async (request: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> => {
    const response = await exchange(await access.options(), { access, agent, request, signal });
    const { statusCode: status = 0 } = response;
    if (status < 200 || status > 299) throw await errorOf(request, response);
    return response;
  };
  return {
    async send(request, signal) {
      try {
        return await withDeadline({ clock, ms: TIMEOUT_MS, signal }, async (inner) => {
          const response = await open(request, inner);
          return readObject(JSON.parse(await readText(response)));
        });
      } catch (caught) {
        signal.throwIfAborted();
        throw failure(request, caught);
      }
    },
    async watch(path, query, signal) {
      const request: ApiRequest = { method: 'GET', path, query: { ...query, ...WATCH_QUERY } };
      const deadline = new RestartableDeadline(clock);
      deadline.start(TIMEOUT_MS);
      const either = AbortSignal.any([signal, deadline.signal]);
      try {
        const response = await raceAbort(open(request, either), either);
        deadline.start(WATCH_PATIENCE_MS);
        return events(request, response, { signal, deadline });
      } catch (caught) {
        deadline.end();
        signal.throwIfAborted();
        throw failure(request, caught);
      }
    },
  };
}

interface Exchange {
  readonly access: ApiAccess;
  readonly agent: Agent;
  readonly request: ApiRequest;
  readonly signal: AbortSignal;
}

async function exchange(
  options: RequestOptions,
  { access, agent, request, signal }: Exchange,
): Promise<IncomingMessage> {
  const { method, path, query = {}, body } = request;
  const url = new URL(`${access.origin}${path}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const all: RequestOptions = {
    ...options,
    method,
    signal,
    headers: {
      ...(options.headers as Readonly<Record<string, string>> | undefined), // ApiAccess always sets an object
      accept: 'application/json',
      'user-agent': 'vouchsafe',
      ...(payload !== undefined && {
        'content-type': mediaType(request),
        'content-length': String(Buffer.byteLength(payload)),
      }),
    },
  };
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...all, agent: options.agent ?? agent })
      : httpRequest(url, all);
  outgoing.once('response', resolve);
  // Not `once`: an abort during the response is also emitted here, and must not be uncaught.
  outgoing.on('error', reject);
  outgoing.end(payload);
  return promise;
}

function mediaType({ method, body }: ApiRequest): string {
  if (method !== 'PATCH') return 'application/json';
  return Array.isArray(body) ? 'application/json-patch+json' : 'application/merge-patch+json';
}

/** Keeps only the reason of the Status, because its message may quote the request; the message, too, on request. */
async function errorOf(request: ApiRequest, response: IncomingMessage): Promise<VouchsafeError> {
  const { statusCode: status = 0, headers } = response;
  const seconds = Number(headers['retry-after']);
  let said: Readonly<Record<string, unknown>> = {};
  try {
    said = fieldsOf(JSON.parse(await readText(response)));
  } catch {
    // From a proxy, or cut off: the HTTP status suffices.
  }
  const { reason, message } = said;
  return apiError(request, status, {
    ...(typeof reason === 'string' && { reason }),
    ...(request.keepsServerMessage && typeof message === 'string' && { refusal: message }),
    ...(seconds > 0 && seconds < 3600 && { retryAfterMs: seconds * 1000 }),
  });
}

function failure({ method, path }: ApiRequest, caught: unknown): VouchsafeError {
  if (caught instanceof VouchsafeError) return caught;
  const what = caught instanceof SyntaxError ? 'the response is not valid JSON' : 'no response';
  return new VouchsafeError('ERR_KUBERNETES_API', `${method} ${path}: ${what}`, { cause: caught });
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new RangeError('the response is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function* events(
  request: ApiRequest,
  response: IncomingMessage,
  { signal, deadline }: { readonly signal: AbortSignal; readonly deadline: RestartableDeadline },
): AsyncGenerator<WatchEvent, void, undefined> {
  try {
    for await (const line of linesOf(response)) {
      const event = fieldsOf(JSON.parse(line));
      const type = WATCH_TYPES.find((one) => one === event['type']);
      if (type !== undefined) yield { type, object: readObject(event['object']) };
    }
  } catch (caught) {
    signal.throwIfAborted();
    throw failure(request, caught);
  } finally {
    deadline.end();
    response.destroy();
  }
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_ANSWER_BYTES) throw new RangeError('the event is too large');
    yield* lines.filter((line) => line !== '');
  }
}
