/**
 * Two streams read as one. Ring: spiffe.
 */

/** Yields the newest values of both whenever either has a new one, from when both have one. Ends as the first does. */
export async function* newestOfTwo<A, B>(
  first: (signal: AbortSignal) => AsyncIterable<A>,
  second: (signal: AbortSignal) => AsyncIterable<B>,
  signal: AbortSignal,
): AsyncGenerator<readonly [A, B], void, undefined> {
  const stop = new AbortController();
  const linked = AbortSignal.any([signal, stop.signal]);
  const a = new Reader(first(linked));
  const b = new Reader(second(linked));
  try {
    for (;;) {
      if ((await Promise.race([a.advance(), b.advance()])) === 'ended') return;
      if (a.newest !== undefined && b.newest !== undefined) yield [a.newest.value, b.newest.value];
    }
  } finally {
    stop.abort();
    await Promise.allSettled([a.end(), b.end()]);
  }
}

/** Reads a stream step by step; a step that nobody has seen the end of is gone on with, not begun anew. */
class Reader<T> {
  newest: { readonly value: T } | undefined;
  readonly #iterator: AsyncIterator<T>;
  #step: Promise<'advanced' | 'ended'> | undefined;

  constructor(stream: AsyncIterable<T>) {
    this.#iterator = stream[Symbol.asyncIterator]();
  }

  async advance(): Promise<'advanced' | 'ended'> {
    this.#step ??= this.#next();
    return await this.#step;
  }

  async end(): Promise<void> {
    await this.#step;
    await this.#iterator.return?.();
  }

  async #next(): Promise<'advanced' | 'ended'> {
    const result = await this.#iterator.next();
    this.#step = undefined;
    if (result.done === true) return 'ended';
    this.newest = { value: result.value };
    return 'advanced';
  }
}
