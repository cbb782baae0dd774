/** All pods of the cluster, as the API server lists them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Api } from './api.ts';

const PODS = '/api/v1/pods';
const RETRY_MS = 250;

/** A pod, as far as its identity goes. */
export interface KnownPod {
  readonly metadata: { readonly uid: string; readonly namespace: string; readonly name: string };
  readonly spec: { readonly serviceAccountName: string };
}

interface PodList {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly KnownPod[];
}

/** Pods by UID, kept up to date by a watch. */
export class PodView implements AsyncDisposable {
  readonly #api: Api;
  readonly #onChange: () => void;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #pods = new Map<string, KnownPod>();

  /** `onChange` is called when they may be others than before. */
  constructor(api: Api, onChange: () => void) {
    this.#api = api;
    this.#onChange = onChange;
    this.#running = this.#follow(this.#stop.signal);
  }

  get(uid: string): KnownPod | undefined {
    return this.#pods.get(uid);
  }

  all(): readonly KnownPod[] {
    return [...this.#pods.values()];
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
    const { metadata, items } = await this.#api.get<PodList>(PODS);
    this.#pods = new Map(items.map((pod) => [pod.metadata.uid, pod]));
    this.#onChange();
    const path = `${PODS}?watch=1&resourceVersion=${metadata.resourceVersion}`;
    for await (const { type, object } of this.#api.watch<KnownPod>(path, signal)) {
      if (type === 'ERROR') return;
      if (type === 'DELETED') this.#pods.delete(object.metadata.uid);
      else this.#pods.set(object.metadata.uid, object);
      this.#onChange();
    }
  }
}
