/**
 * Combines two streams.
 */
import { Latest } from '../async/index.ts';

/** Once both streams have a value, yields the newest of both whenever either changes. Ends or throws with the first to do so. */
export async function* combineLatest<A, B>(
  first: (signal: AbortSignal) => AsyncIterable<A>,
  second: (signal: AbortSignal) => AsyncIterable<B>,
  signal: AbortSignal,
): AsyncGenerator<readonly [A, B], void, undefined> {
  const stop = new AbortController();
  const linked = AbortSignal.any([signal, stop.signal]);
  const changed = new Latest<undefined>();
  const a = new Reader(first(linked), changed);
  const b = new Reader(second(linked), changed);
  try {
    for await (const _ of changed.updates(linked)) {
      const end = a.end ?? b.end;
      if (end === 'ended') return;
      if (end !== undefined) throw end.error;
      if (a.newest !== undefined && b.newest !== undefined) yield [a.newest.value, b.newest.value];
    }
  } finally {
    stop.abort();
    await Promise.all([a.done, b.done]);
  }
}

/** Reads a stream to its end, and keeps its newest value. */
class Reader<T> {
  newest: { readonly value: T } | undefined;
  end: 'ended' | { readonly error: unknown } | undefined;
  /** Never rejects. */
  readonly done: Promise<void>;

  constructor(stream: AsyncIterable<T>, changed: Latest<undefined>) {
    this.done = this.#read(stream, changed);
  }

  async #read(stream: AsyncIterable<T>, changed: Latest<undefined>): Promise<void> {
    try {
      for await (const value of stream) {
        this.newest = { value };
        changed.set(undefined);
      }
      this.end = 'ended';
    } catch (error) {
      this.end = { error };
    }
    changed.set(undefined);
  }
}
