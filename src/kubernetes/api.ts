/**
 * The Kubernetes API as an interface: `rest.ts` implements it over HTTP, tests in memory.
 */
import { fieldsOf, VouchsafeError } from '../core/index.ts';

/** The fields that all objects have. */
export interface ApiObject {
  readonly metadata: {
    readonly name?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** One request. A list as `body` of a PATCH is a JSON Patch, an object is a merge patch. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `/api/v1/namespaces/shop` */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /**
   * Whether a refusal is to be kept word for word ({@link serverMessageOf}): only where nothing that was sent is
   * secret.
   */
  readonly keepsServerMessage?: true;
}

/** An event of a watch. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: ApiObject;
}

/** The API. All errors are `ERR_KUBERNETES_API`, or the reason of the signal. */
export interface KubernetesApi {
  send(request: ApiRequest, signal: AbortSignal): Promise<ApiObject>;
  /** Resolves when the watch is open. The events end when the API server closes the watch, which it does regularly. */
  watch(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent>>;
}

/** The error of a response with this HTTP status; `reason` is that of the Status (`Forbidden`). */
export function apiError(
  { method, path }: Pick<ApiRequest, 'method' | 'path'>,
  status: number,
  more: {
    readonly reason?: string;
    readonly retryAfterMs?: number;
    readonly refusal?: string;
  } = {},
): VouchsafeError {
  const { reason, retryAfterMs, refusal } = more;
  const word = reason !== undefined && /^[A-Za-z]{1,40}$/.test(reason) ? ` ${reason}` : '';
  return new VouchsafeError('ERR_KUBERNETES_API', `${method} ${path}: HTTP ${status}${word}`, {
    details: { status, ...(refusal !== undefined && { refusal }) },
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** The HTTP status of an error; undefined where there was no response. */
export function statusOf(error: unknown): number | undefined {
  const status = error instanceof VouchsafeError ? error.details['status'] : undefined;
  return typeof status === 'number' ? status : undefined;
}

/** The message of the API server, where the request kept it. */
export function serverMessageOf(error: unknown): string | undefined {
  const refusal = error instanceof VouchsafeError ? error.details['refusal'] : undefined;
  return typeof refusal === 'string' ? refusal : undefined;
}

/**
 * True where another client was faster: 409. A 422 is either an invalid object or a JSON Patch whose `test` failed, and
 * the response does not say which: after such a patch, the caller has to read the object again.
 */
export function isConflict(error: unknown): boolean {
  return statusOf(error) === 409;
}

/** Reads a value of the API as an object. */
export function readObject(value: unknown): ApiObject {
  const object = fieldsOf(value);
  return { ...object, metadata: fieldsOf(object['metadata']) };
}

/** The items of a list; none for any other value. */
export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}
