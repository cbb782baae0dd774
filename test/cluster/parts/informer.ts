/** A view of a collection of the API server. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Api } from './api.ts';

const RETRY_MS = 250;

interface Named {
  readonly metadata: { readonly uid: string; readonly namespace: string; readonly name: string };
}

interface Listed<T> {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly T[];
}

/** Its objects, kept up to date by a watch. */
export class Informer<T extends Named> implements AsyncDisposable {
  readonly #api: Api;
  readonly #path: string;
  readonly #onChange: () => void;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #objects = new Map<string, T>();

  /** `onChange` is called when they may be others than before. */
  constructor(api: Api, path: string, onChange: () => void) {
    this.#api = api;
    this.#path = path;
    this.#onChange = onChange;
    this.#running = this.#follow(this.#stop.signal);
  }

  all(): readonly T[] {
    return [...this.#objects.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // The API server ends a watch now and then, and may be busy, or at its own end.
      await this.#listAndWatch(signal).catch(() => undefined);
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #listAndWatch(signal: AbortSignal): Promise<void> {
    const { metadata, items } = await this.#api.get<Listed<T>>(this.#path);
    this.#objects = new Map(items.map((one) => [one.metadata.uid, one]));
    this.#onChange();
    const path = `${this.#path}?watch=1&resourceVersion=${metadata.resourceVersion}`;
    for await (const { type, object } of this.#api.watch<T>(path, signal)) {
      if (type === 'ERROR') return;
      if (type === 'DELETED') this.#objects.delete(object.metadata.uid);
      else this.#objects.set(object.metadata.uid, object);
      this.#onChange();
    }
  }
}
