/**
 * Lists objects of the API, then watches them.
 *
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
import {
  NO_LOGGER,
  toVouchsafeError,
  type VouchsafeError,
  type Clock,
  type Logger,
  type Random,
} from '../core/index.ts';
import { createBackoff, DEADLINE, Latest, withDeadline, type Backoff } from '../async/index.ts';
import {
  apiError,
  itemsOf,
  readObject,
  statusOf,
  type ApiObject,
  type KubernetesApi,
} from './api.ts';

export interface InformerOptions<T> {
  readonly api: KubernetesApi;
  /** `/api/v1/namespaces` */
  readonly collection: string;
  /** Only this object of the collection, for which a right to the one object suffices. Default: all objects. */
  readonly name?: string;
  /** Extracts the part of an object that is kept. */
  readonly read: (object: ApiObject) => T;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
}

const PAGE = 500;
/** Waits after a failure: 0.5 s, growing to 30 s. */
const BACKOFF = { minMs: 500, maxMs: 30_000 } as const;
/** Bookmarks come every minute: a watch that is silent for longer has died, and is opened again. */
const SILENCE_MS = 90_000;
/** A watch that ends earlier counts as failed. */
const SHORT_WATCH_MS = 1000;
const GONE = 410;

/** A local view of a collection, or of one object in it. */
export class Informer<T> {
  readonly #options: InformerOptions<T>;
  readonly #logger: Logger;
  readonly #changes = new Latest<undefined>();
  #objects = new Map<string, T>();
  #isWatching = false;
  #isFailing = false;
  /** When the view was last known to be up to date. */
  #freshMs = -Infinity;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#logger = options.logger ?? NO_LOGGER;
  }

  /** The object of that name; undefined where it does not exist or is not known yet. */
  get(name: string): T | undefined {
    return this.#objects.get(name);
  }

  /** Age of the view in milliseconds: 0 while the watch is open, Infinity before the first list. */
  get ageMs(): number {
    return this.#isWatching ? 0 : this.#options.clock.monotonicMs() - this.#freshMs;
  }

  /** Yields after the first list and after changes; bursts are coalesced. */
  changes(signal: AbortSignal): AsyncIterable<undefined> {
    return this.#changes.updates(signal);
  }

  /** Keeps the view up to date until `signal` aborts. Failures are logged once and retried. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, collection } = this.#options;
    const backoff = createBackoff({ ...BACKOFF, random });
    for (;;) {
      let atLeastMs: number | undefined;
      try {
        await this.#listAndWatch(backoff, signal);
      } catch (caught) {
        signal.throwIfAborted();
        const error = toVouchsafeError(caught);
        if (!this.#isFailing) this.#logger.warn('objects cannot be watched', { collection, error });
        this.#isFailing = true;
        atLeastMs = error.retryAfterMs;
      }
      await clock.sleep(backoff.nextMs(atLeastMs), signal);
    }
  }

  /** Returns when the list must be read again. */
  async #listAndWatch(backoff: Backoff, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let version: string | undefined = await this.#list(signal);
    this.#recovered();
    while (version !== undefined) {
      const startMs = clock.monotonicMs();
      version = await this.#watch(version, signal);
      if (clock.monotonicMs() - startMs < SHORT_WATCH_MS) return;
      backoff.reset();
    }
  }

  #recovered(): void {
    const { collection } = this.#options;
    if (this.#isFailing) this.#logger.info('objects are watched again', { collection });
    this.#isFailing = false;
  }

  /** Reads the list; resolves to its resource version. */
  async #list(signal: AbortSignal): Promise<string> {
    const { api, collection: path, read } = this.#options;
    const objects = new Map<string, T>();
    let next = '';
    for (;;) {
      const query = { ...this.#selector(), limit: String(PAGE), ...(next && { continue: next }) };
      const list = await api.send({ method: 'GET', path, query }, signal);
      for (const item of itemsOf(list['items']).map(readObject)) {
        objects.set(item.metadata.name ?? '', read(item));
      }
      const { continue: token } = list.metadata;
      next = typeof token === 'string' ? token : '';
      if (next !== '') continue;
      this.#objects = objects;
      this.#freshMs = this.#options.clock.monotonicMs();
      this.#changes.set(undefined);
      return list.metadata.resourceVersion ?? '';
    }
  }

  /** Resolves to the version to continue from; undefined where the list must be read again. */
  async #watch(from: string, signal: AbortSignal): Promise<string | undefined> {
    const { api, collection, clock } = this.#options;
    const ending = new AbortController();
    let version = from;
    try {
      const query = { ...this.#selector(), resourceVersion: from };
      const watching = AbortSignal.any([signal, ending.signal]);
      const events = (await api.watch(collection, query, watching))[Symbol.asyncIterator]();
      this.#isWatching = true;
      for (;;) {
        const next = await withDeadline({ clock, ms: SILENCE_MS, signal }, () => events.next());
        if (next.done === true) return version;
        const { type, object } = next.value;
        if (type === 'ERROR') throw watchError(collection, object);
        version = object.metadata.resourceVersion ?? version;
        if (type !== 'BOOKMARK') this.#apply(type === 'DELETED', object);
      }
    } catch (error) {
      if (error === DEADLINE) return version;
      if (statusOf(error) === GONE) return undefined;
      throw error;
    } finally {
      ending.abort();
      if (this.#isWatching) this.#freshMs = clock.monotonicMs();
      this.#isWatching = false;
    }
  }

  #apply(isDeleted: boolean, object: ApiObject): void {
    const name = object.metadata.name ?? '';
    if (isDeleted) this.#objects.delete(name);
    else this.#objects.set(name, this.#options.read(object));
    this.#changes.set(undefined);
  }

  #selector(): Readonly<Record<string, string>> {
    const { name } = this.#options;
    return name === undefined ? {} : { fieldSelector: `metadata.name=${name}` };
  }
}

/** The object of an ERROR is a Status. */
function watchError(path: string, { code }: ApiObject): VouchsafeError {
  return apiError({ method: 'GET', path }, typeof code === 'number' ? code : 500);
}
