/**
 * What is asked of the Kubernetes API, as a port: `rest.ts` speaks HTTP, tests keep objects in memory.
 */
import { VouchsafeError } from '../core/index.ts';

/** An object, as far as every object is alike. */
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
  /** Whether a refusal is to be kept word for word ({@link serverMessageOf}): only where nothing that was sent is secret. */
  readonly keepsServerMessage?: true;
}

/** What a watch tells. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: ApiObject;
}

/** The API. Whatever goes wrong is `ERR_KUBERNETES_API`, or the signal's reason. */
export interface KubernetesApi {
  send(request: ApiRequest, signal: AbortSignal): Promise<ApiObject>;
  /** Resolves when the watch stands; the events end when the API server ends the watch, as it does now and then. */
  watch(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent>>;
}

/** The error of an answer with that HTTP status; `reason` is one of Kubernetes' own words (`Forbidden`). */
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

/** The HTTP status that an error stands for; undefined where there was no answer. */
export function statusOf(error: unknown): number | undefined {
  const status = error instanceof VouchsafeError ? error.details['status'] : undefined;
  return typeof status === 'number' ? status : undefined;
}

/** The API server's own words, where the request kept them. */
export function serverMessageOf(error: unknown): string | undefined {
  const refusal = error instanceof VouchsafeError ? error.details['refusal'] : undefined;
  return typeof refusal === 'string' ? refusal : undefined;
}

/**
 * True where another client was faster: 409. A 422 is not: it stands for an object that is invalid as well as for a JSON
 * Patch whose `test` failed, and nothing in the answer tells one from the other. Who sends such patches looks at the
 * object again.
 */
export function isConflict(error: unknown): boolean {
  return statusOf(error) === 409;
}

/** Reads what the API sent as an object. */
export function readObject(value: unknown): ApiObject {
  const object = fieldsOf(value);
  return { ...object, metadata: fieldsOf(object['metadata']) };
}

/** The fields of an object; none of anything else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  return value as Readonly<Record<string, unknown>>; // an object that is no list has nothing but fields
}

/** The items of a list; none of anything else. */
export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}
