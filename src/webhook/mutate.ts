/**
 * `POST /mutate`: answers an AdmissionReview, logs one line and counts it. Never logs an object, a patch or the value
 * of an annotation.
 */
import {
  answerReview,
  readReview,
  denyReview,
  type AdmissionRequest,
  type AdmissionReviewResponse,
  type Pod,
  type ReviewContext,
} from '../admission/index.ts';
import type { Annotations } from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import {
  hasCode,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Logger,
  type LogFields,
  type Metrics,
} from '../core/index.ts';
import type { Answer, HttpRequest, Route } from '../http/index.ts';
import { withDeadline } from '../async/index.ts';
import { createReviewCounter } from './review-counter.ts';
import { ReviewQueue } from './review-queue.ts';
import { unreadableNamespaceEvent, eventFor, type AdmissionEvent } from './admission-event.ts';
import { parseReviewBody } from './review-body.ts';
import { cacheTemplateChecks } from './template-check-cache.ts';

/** Looks up the annotations of a namespace. */
export type NamespaceLookup = (name: string, signal: AbortSignal) => Promise<Annotations>;

export interface MutateOptions {
  readonly installation: Installation;
  readonly kubeVersion?: string | undefined;
  readonly checkTemplate: ReviewContext['checkTemplate'];
  /** Without it, annotations of namespaces have no effect. */
  readonly namespaces?: NamespaceLookup | undefined;
  /**
   * True for a namespace that is known to exist. All others share one label in metrics and get no Events. Default: no
   * namespace is known.
   */
  readonly isKnownNamespace?: ((namespace: string) => boolean) | undefined;
  /** The nodes that do not support variables from files. Default: not known, so that no pod is denied because of them. */
  readonly oldNodes?: (() => ReviewContext['oldNodes']) | undefined;
  /** Records decisions that people may wonder about; must return at once. */
  readonly recordEvent?: ((event: AdmissionEvent) => void) | undefined;
  /** Yields to the event loop; called between two reviews. */
  readonly pause: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** The API server waits only a few seconds for the whole review. */
const LOOKUP_TIMEOUT_MS = 2000;
/** Bounds of the queue, in reviews and bytes; one namespace gets a third of the memory. */
const WAITING = { itemsOfOne: 512, sizeOfOne: 8 << 20, sizeOfAll: 24 << 20 };
const MAX_WAIT_MS = 5000;
/** Namespaces that are not known share one turn, because any caller can make up names. No namespace has this name. */
const UNKNOWN = '';
const RETRY_AFTER_SECONDS = 1;
const DURATION_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];

interface Decision {
  readonly answer: AdmissionReviewResponse;
  readonly outcome: string;
  readonly reason: string;
  readonly event?: AdmissionEvent | undefined;
}

/** Makes the route. */
export function createMutateRoute(options: MutateOptions): Route {
  const { clock, logger, metrics, installation, pause } = options;
  const knows = options.isKnownNamespace ?? (() => false);
  const remembering = { ...options, checkTemplate: cacheTemplateChecks(options.checkTemplate) };
  const turns = new ReviewQueue({ bounds: WAITING, maxWaitMs: MAX_WAIT_MS, clock, pause });
  const count = createReviewCounter(metrics, knows);
  const duration = metrics.histogram(
    'vouchsafe_admission_duration_seconds',
    'Time from the headers of a review to its answer.',
    DURATION_BUCKETS,
    ['outcome'],
  );
  return async (request) => {
    const startMs = clock.monotonicMs();
    let bytes = 0;
    let review: AdmissionRequest | undefined;
    const finish = (outcome: string, reason: string, extra: LogFields = {}): void => {
      const durationMs = clock.monotonicMs() - startMs;
      count(review?.namespace, outcome, reason);
      duration.observe(durationMs / 1000, { outcome });
      const fields = { outcome, reason, bytes, duration_ms: Math.round(durationMs * 100) / 100 };
      logger.info('admission review', { ...reviewFields(review), ...fields, ...extra });
    };
    try {
      checkMediaType(request);
      const body = await request.readBody(installation.webhook.maxBodyBytes);
      bytes = body.length;
      review = readReview(parseReviewBody(body));
      const isKnown = options.isKnownNamespace === undefined || knows(review.namespace);
      const owner = isKnown ? review.namespace : UNKNOWN;
      const turn: Turn = (work) =>
        turns.run(owner, body.length, () => {
          if (request.isOpen) return work();
          throw new VouchsafeError('ERR_SERVER_BUSY', 'the caller is gone');
        });
      const { answer, outcome, reason, event } = await decide(review, { ...remembering, turn });
      finish(outcome, reason);
      const { excludedNamespaces } = installation.webhook;
      const mayRecord = knows(review.namespace) && !excludedNamespaces.includes(review.namespace);
      // A dry run must have no side effects.
      if (event !== undefined && mayRecord && !review.dryRun) options.recordEvent?.(event);
      return { status: 200, type: 'application/json', body: JSON.stringify(answer) };
    } catch (caught) {
      if (!request.isOpen) return undefined; // the caller is gone
      const error = toVouchsafeError(caught);
      finish('failed', error.code, { error });
      return errorAnswer(error);
    }
  };
}

/** Runs `work` when it is the turn of the request's namespace; undefined where too many of its reviews wait. */
type Turn = (work: () => Decision) => Promise<{ readonly result: Decision } | undefined>;

async function decide(
  request: AdmissionRequest,
  options: MutateOptions & { readonly turn: Turn },
): Promise<Decision> {
  const { installation, kubeVersion, checkTemplate, namespaces, clock, logger, turn } = options;
  const oldNodes = options.oldNodes?.();
  const context = { installation, kubeVersion, oldNodes, checkTemplate };
  if (namespaces === undefined || !mayNeedNamespace(request, installation)) {
    return inTurn(turn, request, context);
  }
  let namespaceAnnotations: Annotations;
  try {
    namespaceAnnotations = await withDeadline({ clock, ms: LOOKUP_TIMEOUT_MS }, (signal) =>
      namespaces(request.namespace, signal),
    );
  } catch (error) {
    // Without the annotations of the namespace the pod might get another role or mode than intended.
    logger.warn('annotations of a namespace cannot be read', {
      namespace: request.namespace,
      error: toVouchsafeError(error),
    });
    // The answer is the same where the namespace does not exist, so that callers cannot probe for names.
    const message = `the annotations of namespace ${request.namespace} cannot be read now; this pod needs them, try again`;
    const answer = denyReview(request.uid, 503, message);
    const event = request.pod && unreadableNamespaceEvent(request.pod, request.namespace);
    return { answer, outcome: 'denied', reason: 'namespace_unknown', event };
  }
  return inTurn(turn, request, { ...context, namespaceAnnotations });
}

/** Reviews of one namespace run one after the other; namespaces take turns. */
async function inTurn(
  turn: Turn,
  request: AdmissionRequest,
  context: ReviewContext,
): Promise<Decision> {
  const { uid, namespace } = request;
  const done = await turn(() => decideReview(request, context));
  if (done !== undefined) return done.result;
  const message = `too many pods are being created in namespace ${namespace}; try again`;
  const answer = denyReview(uid, 429, message, RETRY_AFTER_SECONDS);
  return { answer, outcome: 'denied', reason: 'too_many' };
}

/** Pods that are never injected must not wait for an API server that does not answer. */
function mayNeedNamespace(
  { pod, namespace }: AdmissionRequest,
  { annotationPrefix, webhook }: Installation,
): boolean {
  if (pod === undefined || webhook.excludedNamespaces.includes(namespace)) return false;
  return pod.metadata.annotations?.[`${annotationPrefix}/inject`] !== 'false';
}

function decideReview(request: AdmissionRequest, context: ReviewContext): Decision {
  const { pod, namespace } = request;
  const { answer, result } = answerReview(request, context);
  if (pod === undefined || result === undefined) {
    return { answer, outcome: 'skipped', reason: 'not_a_pod' };
  }
  const { outcome, reason } = result;
  const prefix = context.installation.annotationPrefix;
  return { answer, outcome, reason, event: eventFor(pod, namespace, result, prefix) };
}

function checkMediaType(request: HttpRequest): void {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';', 1);
  if (type.trim().toLowerCase() === 'application/json') return;
  throw new VouchsafeError('ERR_ADMISSION_MALFORMED', 'the content type must be application/json', {
    details: { status: 415 },
  });
}

/** The body is machine-readable; the API server shows it to the client that created the pod. */
function errorAnswer(error: VouchsafeError): Answer {
  const type = 'application/json';
  const body = JSON.stringify({ code: error.code, message: error.message });
  if (hasCode(error, 'ERR_ADMISSION_TOO_LARGE'))
    return { status: 413, type, body, closesConnection: true };
  if (hasCode(error, 'ERR_SERVER_BUSY')) return { status: 503, type, body, closesConnection: true };
  // Details of internal errors are only in the log.
  if (!hasCode(error, 'ERR_ADMISSION_MALFORMED'))
    return { status: 500, type, body: JSON.stringify({ code: error.code }) };
  const isMediaType = error.details['status'] === 415;
  return { status: isMediaType ? 415 : 400, type, body, closesConnection: isMediaType };
}

function reviewFields(request: AdmissionRequest | undefined): LogFields {
  if (request === undefined) return {};
  const { uid, namespace, dryRun, pod } = request;
  const fields = { uid, namespace, ...(dryRun && { dry_run: true }) };
  return pod === undefined ? fields : { ...fields, kind: 'Pod', ...nameOf(pod) };
}

/** A pod of a controller has no name yet when it is reviewed. */
function nameOf({ metadata }: Pod): LogFields {
  const [owner] = metadata.ownerReferences ?? [];
  return {
    name: metadata.name ?? metadata.generateName,
    ...(owner !== undefined && { owner: `${owner.kind ?? ''}/${owner.name ?? ''}` }),
  };
}
