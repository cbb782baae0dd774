/**
 * AdmissionReview v1 in and out. Pure.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
 */
import type { CheckTemplate, NodesWithoutEnvFiles } from '../contracts/index.ts';
import type { Annotations } from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { isRecord, VouchsafeError, type Fields } from '../core/index.ts';
import { inject, type InjectionResult } from './inject.ts';
import { jsonPatch } from './json-patch.ts';
import { readPod, type Pod } from './pod.ts';

/** The parts of an admission request that are used. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly namespace: string;
  readonly dryRun: boolean;
  /** The pod to be created; undefined for every other request. */
  readonly pod: Pod | undefined;
}

/** What answers to reviews depend on. */
export interface ReviewContext {
  readonly installation: Installation;
  readonly namespaceAnnotations?: Annotations | undefined;
  readonly kubeVersion?: string | undefined;
  readonly oldNodes?: NodesWithoutEnvFiles | undefined;
  readonly checkTemplate: CheckTemplate;
}

/** The response, an AdmissionReview to be sent as JSON. */
export interface AdmissionReviewResponse {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly status?: {
      readonly code: number;
      readonly reason: string;
      readonly message: string;
      readonly details?: { readonly retryAfterSeconds: number };
    };
    readonly warnings?: readonly string[];
    readonly patchType?: 'JSONPatch';
    /** Base64 of a JSON Patch. */
    readonly patch?: string;
    readonly auditAnnotations?: Readonly<Record<string, string>>;
  };
}

/** A response and what led to it. */
export interface Review {
  readonly request: AdmissionRequest;
  readonly answer: AdmissionReviewResponse;
  /** Undefined if the request was not for the creation of a pod. */
  readonly result: InjectionResult | undefined;
}

/** Deepest nesting of a request; pods need about fifteen levels. */
const MAX_DEPTH = 64;
/** Longest warning that every client shows in full. */
const MAX_WARNING_CHARS = 256;
/** The API server drops warnings beyond 4 KiB in total. */
const MAX_WARNINGS = 15;
const MAX_MESSAGE_CHARS = 8192;

/** Answers an AdmissionReview that was parsed from JSON: {@link readReview}, then {@link answerReview}. */
export function review(body: unknown, context: ReviewContext): Review {
  return answerReview(readReview(body), context);
}

/**
 * Reads an AdmissionReview.
 *
 * @throws VouchsafeError `ERR_ADMISSION_MALFORMED` if it is not one, or its pod is not valid.
 */
export function readReview(body: unknown): AdmissionRequest {
  if (!isShallow(body, MAX_DEPTH)) throw malformed(`it is nested deeper than ${MAX_DEPTH} levels`);
  const reviewed = objectOf(body);
  if (reviewed['kind'] !== 'AdmissionReview') throw malformed('its kind is not AdmissionReview');
  if (reviewed['apiVersion'] !== 'admission.k8s.io/v1') {
    throw malformed('its apiVersion is not admission.k8s.io/v1');
  }
  const request = objectOf(reviewed['request']);
  const { uid, namespace = '' } = request;
  if (typeof uid !== 'string' || uid === '' || uid.length > 256) throw malformed('it has no uid');
  if (typeof namespace !== 'string' || namespace.length > 253) {
    throw malformed('its namespace is not a name');
  }
  const pod = isPodCreation(request) ? readPod(request['object']) : undefined;
  return { uid, namespace, dryRun: request['dryRun'] === true, pod };
}

function isPodCreation(request: Fields): boolean {
  const { operation, subResource = '' } = request;
  const { group: ofKind = '', kind } = objectOf(request['kind'] ?? {});
  // The API server sends both; reviews written by hand often have only the kind.
  const byKind = { group: ofKind, resource: kind === 'Pod' ? 'pods' : kind };
  const { group = '', resource } = objectOf(request['resource'] ?? byKind);
  return operation === 'CREATE' && group === '' && resource === 'pods' && subResource === '';
}

/** Answers a request. Everything except the creation of a pod is allowed unchanged. */
export function answerReview(request: AdmissionRequest, context: ReviewContext): Review {
  const { pod, namespace, uid } = request;
  if (pod === undefined) {
    return { request, answer: envelope({ uid, allowed: true }), result: undefined };
  }
  const result = inject({ ...context, pod, namespace });
  const common = {
    uid,
    allowed: result.outcome !== 'denied',
    auditAnnotations: { outcome: result.outcome, reason: result.reason },
    ...warningsOf(result),
  };
  if (result.outcome === 'denied') {
    const code = result.reason === 'forbidden' ? 403 : 400;
    return { request, answer: denial(common, code, result.message), result };
  }
  if (result.outcome === 'skipped') return { request, answer: envelope(common), result };
  const operations = JSON.stringify(jsonPatch(pod, result.pod));
  const patch = Buffer.from(operations).toString('base64');
  return { request, answer: envelope({ ...common, patchType: 'JSONPatch', patch }), result };
}

/**
 * Denies a request for a reason outside the pod: 503, or 429 for a client that has sent too many requests. Controllers
 * retry after a while; clients of the API server retry by themselves after `retryAfterSeconds`.
 */
export function denyReview(
  uid: string,
  code: 429 | 503,
  message: string,
  retryAfterSeconds?: number,
): AdmissionReviewResponse {
  return denial({ uid, allowed: false }, code, message, retryAfterSeconds);
}

type Response = AdmissionReviewResponse['response'];

/** Status reasons of Kubernetes. */
const REASON_OF = {
  400: 'BadRequest',
  403: 'Forbidden',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
} as const;

function denial(
  response: Response,
  code: keyof typeof REASON_OF,
  message: string,
  retryAfterSeconds?: number,
): AdmissionReviewResponse {
  const status = { code, reason: REASON_OF[code], message: message.slice(0, MAX_MESSAGE_CHARS) };
  const details = retryAfterSeconds === undefined ? {} : { details: { retryAfterSeconds } };
  return envelope({ ...response, status: { ...status, ...details } });
}

function envelope(response: Response): AdmissionReviewResponse {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}

function warningsOf(result: InjectionResult): { readonly warnings?: readonly string[] } {
  const warnings = result.warnings.slice(0, MAX_WARNINGS).map(headerSafe);
  return warnings.length === 0 ? {} : { warnings };
}

/** Warnings are sent in an HTTP header. */
function headerSafe(text: string): string {
  const safe = text.replace(/[^\x20-\x7e]/g, '?');
  return safe.length > MAX_WARNING_CHARS ? `${safe.slice(0, MAX_WARNING_CHARS - 3)}...` : safe;
}

/** Without recursion: it protects the recursive code after it. */
function isShallow(value: unknown, depth: number): boolean {
  let level: unknown[] = [value];
  for (let remaining = depth; level.length > 0; remaining -= 1) {
    if (remaining === 0) return false;
    level = level.flatMap(
      (one) => (typeof one === 'object' && one !== null ? (Object.values(one) as unknown[]) : []), // of any type
    );
  }
  return true;
}

function objectOf(value: unknown): Fields {
  if (isRecord(value)) return value;
  throw malformed('a part of it is not an object');
}

function malformed(what: string): VouchsafeError {
  return new VouchsafeError('ERR_ADMISSION_MALFORMED', `not an AdmissionReview: ${what}`);
}
