/** A SPIFFE Broker API beside the Workload API: by it the CSI driver gets SVIDs of pods that do not run yet. */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  startBroker,
  type DevBroker,
  type DevPod,
  type TrustDomain,
} from '../../../src/dev/workload-api/index.ts';
import { BROKER_SOCKET } from './identity-place.ts';
import { RELEASE } from './release.ts';

/** How often the API server is asked for pods, as a SPIRE agent asks the kubelet. */
const PERIOD_MS = 250;

/** What a {@link Broker} needs. */
export interface BrokerOptions {
  readonly domain: TrustDomain;
  /** The driver's own SPIFFE ID begins with that of this trust domain. */
  readonly trustDomain: string;
  /** All pods, with what each is entitled to. */
  readonly pods: () => Promise<readonly DevPod[]>;
}

/** The server; it can be stopped and started again. */
export class Broker implements AsyncDisposable {
  readonly #options: BrokerOptions;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: BrokerOptions) {
    this.#options = options;
  }

  /** Starts it anew, whether or not it runs. */
  async start(): Promise<void> {
    await this.stop();
    const { domain, trustDomain } = this.#options;
    mkdirSync(dirname(BROKER_SOCKET), { recursive: true });
    rmSync(BROKER_SOCKET, { force: true });
    const api = await startBroker({
      ...{ address: `unix://${BROKER_SOCKET}`, domain },
      brokers: [`spiffe://${trustDomain}/ns/${RELEASE}/sa/${RELEASE}-csi`],
    });
    this.#stop = new AbortController();
    this.#running = this.#follow(api, this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    rmSync(BROKER_SOCKET, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #follow(api: DevBroker, signal: AbortSignal): Promise<void> {
    let known = '';
    while (!signal.aborted) {
      const pods = await this.#options.pods().catch(() => undefined); // the API server may be busy
      const text = JSON.stringify(pods);
      // New SVIDs for everybody at each look would be no life for those who follow them.
      if (pods !== undefined && text !== known) api.setPods(pods);
      known = text;
      await delay(PERIOD_MS, undefined, { signal }).catch(() => undefined);
    }
    await api.close();
  }
}
