/**
 * Records decisions as Events on the owners of pods. It never delays or fails a review: Events beyond the limits are
 * dropped and counted. Each namespace has its own limit, and namespaces take turns in writing.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
 */
import type { EventDetails } from '../contracts/index.ts';
import {
  NO_LOGGER,
  NO_METRICS,
  toVouchsafeError,
  type Clock,
  type Counter,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import { FairQueue, Latest, withDeadline } from '../async/index.ts';
import { statusOf, type ApiRequest, type KubernetesApi } from './api.ts';
import { microTime } from './leader-election.ts';
import { TokenBucket } from './token-bucket.ts';

export interface EventsOptions {
  readonly api: KubernetesApi;
  /** `vouchsafe.dev/webhook` */
  readonly controller: string;
  /** This replica: the name of its pod. */
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** Limits of all requests, of new Events of one namespace, and of one object in it. */
const OVERALL = { burst: 50, perSecond: 5 } as const;
const PER_NAMESPACE = { burst: 30, perSecond: 1 / 10 } as const;
const PER_OBJECT = { burst: 10, perSecond: 1 / 60 } as const;
/** A repetition within this time increases the count of the same Event. */
const SERIES_MS = 10 * 60_000;
/** Shortest time between two updates of a count. */
const UPDATE_MS = 30_000;
/** Most objects and series that are remembered. */
const MAX_KNOWN = 2000;
/** Most namespaces with recent Events that are remembered: the number that Kubernetes is tested with. */
const MAX_NAMESPACES = 10_000;
const MAX_QUEUE = 500;
const MAX_NOTE_CHARS = 1024;

interface Series {
  readonly details: EventDetails;
  /** Name of the Event, shared by all repetitions. */
  readonly name: string;
  readonly firstMs: number;
  count: number;
  lastMs: number;
  /** The count that was written; 0 before the Event was created. */
  writtenCount: number;
  writtenMs: number;
  isQueued: boolean;
}

/** Writes Events in the background. */
export class EventRecorder {
  readonly #options: EventsOptions;
  readonly #logger: Logger;
  readonly #outcomes: Counter;
  readonly #series = new Map<string, Series>();
  readonly #namespaces = new Map<string, TokenBucket>();
  readonly #objects = new Map<string, TokenBucket>();
  readonly #queue = new FairQueue<Series>({
    bounds: { sizeOfAll: MAX_QUEUE },
    onEvicted: (series) => this.#drop(series),
  });
  readonly #work = new Latest<undefined>();
  readonly #overall: TokenBucket;
  #isFailing = false;

  constructor(options: EventsOptions) {
    this.#options = options;
    this.#logger = options.logger ?? NO_LOGGER;
    this.#overall = new TokenBucket(OVERALL, options.clock);
    this.#outcomes = (options.metrics ?? NO_METRICS).counter(
      'vouchsafe_events_total',
      'Events by outcome: written, counted (as a repetition of an older one), dropped or failed.',
      ['outcome'],
    );
  }

  /** Queues an Event; returns at once and never throws. */
  record(details: EventDetails): void {
    const { clock, random } = this.#options;
    const { namespace, regarding, reason, note } = details;
    // Both become part of a path, and come from the creator of the pod.
    if (!isName(namespace) || !isName(regarding.name)) return;
    const object = JSON.stringify([namespace, regarding]);
    const key = JSON.stringify([object, reason, note]);
    const nowMs = clock.monotonicMs();
    const known = this.#series.get(key);
    if (known !== undefined && nowMs - known.lastMs < SERIES_MS) {
      known.count += 1;
      known.lastMs = nowMs;
      this.#outcomes.add({ outcome: 'counted' });
      return;
    }
    if (!this.#takeTokens(namespace, object)) {
      this.#outcomes.add({ outcome: 'dropped' });
      return;
    }
    const suffix = Math.floor(random.next() * 2 ** 48).toString(16);
    const name = `${regarding.name.slice(0, 200)}.${suffix}`;
    const times = { firstMs: clock.now(), lastMs: nowMs, writtenMs: nowMs };
    const series = { details, name, ...times, count: 1, writtenCount: 0, isQueued: true };
    remember(this.#series, key, series);
    this.#enqueue(series);
    this.#work.set(undefined);
  }

  /** Takes a token of the namespace and one of the object. Where the object has none, the namespace keeps its token. */
  #takeTokens(namespace: string, object: string): boolean {
    const { clock } = this.#options;
    const ofObject = this.#objects.get(object) ?? new TokenBucket(PER_OBJECT, clock);
    if (ofObject.waitMs() > 0) return false;
    const known = this.#namespaces.get(namespace);
    if (known === undefined) this.#forgetNamespaces();
    if (known === undefined && this.#namespaces.size >= MAX_NAMESPACES) return false;
    const ofNamespace = known ?? new TokenBucket(PER_NAMESPACE, clock);
    if (!ofNamespace.take()) return false;
    this.#namespaces.set(namespace, ofNamespace);
    ofObject.take();
    remember(this.#objects, object, ofObject);
    return true;
  }

  /** A bucket that is full again is equivalent to a new one. */
  #forgetNamespaces(): void {
    if (this.#namespaces.size < MAX_NAMESPACES) return;
    for (const [name, bucket] of this.#namespaces) {
      if (bucket.isFull) this.#namespaces.delete(name);
    }
  }

  #enqueue(series: Series): void {
    if (!this.#queue.add(series.details.namespace, series)) this.#drop(series);
  }

  #drop(series: Series): void {
    series.isQueued = false;
    // A count is queued again when it is due; an Event that was never written starts over.
    if (series.writtenCount === 0) series.lastMs = -Infinity;
    this.#outcomes.add({ outcome: 'dropped' });
  }

  /** Writes until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      this.#requeue();
      const next = this.#queue.shift();
      if (next !== undefined) {
        await clock.sleep(this.#overall.waitMs(), signal);
        this.#overall.take();
        await this.#write(next, signal);
        continue;
      }
      await this.#idle(signal);
    }
  }

  /** Waits for a new Event, or until counts may be due. */
  async #idle(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const deadline = { clock, ms: UPDATE_MS, signal };
    await withDeadline(deadline, (inner) => this.#work.wait(inner)).catch(() => undefined);
    this.#work.clear();
    signal.throwIfAborted();
  }

  /** Queues counts that are due to be written, and removes series that are over. */
  #requeue(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [key, series] of this.#series) {
      const isBehind = series.writtenCount > 0 && series.count > series.writtenCount;
      if (isBehind && !series.isQueued && nowMs - series.writtenMs >= UPDATE_MS) {
        series.isQueued = true;
        this.#enqueue(series);
      }
      const isOver = nowMs - series.lastMs >= SERIES_MS;
      if (isOver && !isBehind && !series.isQueued) this.#series.delete(key);
    }
  }

  async #write(series: Series, signal: AbortSignal): Promise<void> {
    const { count } = series;
    series.isQueued = false;
    series.writtenMs = this.#options.clock.monotonicMs();
    try {
      await this.#options.api.send(this.#request(series, count), signal);
      if (series.writtenCount === 0) this.#outcomes.add({ outcome: 'written' });
      series.writtenCount = count;
      this.#isFailing = false;
    } catch (caught) {
      signal.throwIfAborted();
      this.#outcomes.add({ outcome: 'failed' });
      // Not retried: Events are best effort. A terminating namespace rejects new ones, and an expired one is gone.
      if (series.writtenCount === 0) series.lastMs = -Infinity;
      series.writtenCount = count;
      const isExpected = [404, 409].includes(statusOf(caught) ?? 0);
      if (isExpected || this.#isFailing) return;
      this.#isFailing = true;
      this.#logger.warn('Event cannot be written', { error: toVouchsafeError(caught) });
    }
  }

  #request(series: Series, count: number): ApiRequest {
    const { clock, controller, instance } = this.#options;
    const { namespace, regarding, type, reason, note } = series.details;
    const collection = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
    const agoMs = clock.monotonicMs() - series.lastMs;
    const counted = {
      series: { count, lastObservedTime: microTime(clock.now() - agoMs) },
    };
    if (series.writtenCount > 0) {
      return { method: 'PATCH', path: `${collection}/${series.name}`, body: counted };
    }
    const body = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: series.name, namespace },
      eventTime: microTime(series.firstMs),
      reportingController: controller,
      reportingInstance: instance,
      action: 'Inject',
      regarding: { ...regarding, namespace },
      type,
      reason,
      note: note.slice(0, MAX_NOTE_CHARS),
      ...(count > 1 && counted),
    };
    return { method: 'POST', path: collection, body };
  }
}

function isName(text: string): boolean {
  return /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(text);
}

/** Adds an entry, and evicts the oldest one at the limit. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > MAX_KNOWN && oldest !== undefined) map.delete(oldest);
}
