/**
 * SPIRE's two ways to SVIDs of pods that do not run yet, for the CSI driver: the Broker API, and the Delegated
 * Identity API of the agent's admin socket.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  startBroker,
  startDelegatedIdentity,
  type DevBroker,
  type DevDelegatedIdentity,
  type DevPod,
  type TrustDomain,
} from '../../../src/dev/workload-api/index.ts';
import { ADMIN_SOCKET, BROKER_SOCKET } from './identity-place.ts';
import { RELEASE } from './release.ts';

/** Short, because files with JWT-SVIDs are seen to be kept fresh: they are replaced at half of it. */
const JWT_TTL_MS = 40_000;

/** What {@link PodApis} need. */
export interface PodApisOptions {
  readonly domain: TrustDomain;
  /** The driver's own SPIFFE ID begins with that of this trust domain. */
  readonly trustDomain: string;
  /** All pods, with what each is entitled to. */
  readonly pods: () => readonly DevPod[];
  /** Registration entries by further selectors, for the Delegated Identity API. */
  readonly entries: () => readonly DevPod[];
}

/** The two servers; they can be stopped and started again. */
export class PodApis implements AsyncDisposable {
  readonly #options: PodApisOptions;
  #broker: Told<DevBroker> | undefined;
  #delegated: Told<DevDelegatedIdentity> | undefined;

  constructor(options: PodApisOptions) {
    this.#options = options;
  }

  /** Starts them again, whether or not they run. */
  async start(): Promise<void> {
    await this.stop();
    const { domain, trustDomain } = this.#options;
    const driver = `spiffe://${trustDomain}/ns/${RELEASE}/sa/${RELEASE}-csi`;
    const common = { domain, jwtTtlMs: JWT_TTL_MS };
    for (const path of [BROKER_SOCKET, ADMIN_SOCKET]) {
      mkdirSync(dirname(path), { recursive: true });
    }
    this.#broker = new Told(
      await startBroker({ ...common, address: `unix://${BROKER_SOCKET}`, brokers: [driver] }),
    );
    this.#delegated = new Told(
      await startDelegatedIdentity({
        ...common,
        address: `unix://${ADMIN_SOCKET}`,
        authorizedDelegates: [driver],
        caller: () => driver,
      }),
    );
    this.refresh();
  }

  /** To be called when pods, or what they are entitled to, may be others than before. */
  refresh(): void {
    const pods = this.#options.pods();
    this.#broker?.setPods(pods);
    this.#delegated?.setPods([...pods, ...this.#options.entries()]);
  }

  /** New X.509-SVIDs for all pods. */
  rotate(): void {
    this.#broker?.api.rotateX509();
    this.#delegated?.api.rotateX509();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#broker?.api.close(), this.#delegated?.api.close()]);
    this.#broker = undefined;
    this.#delegated = undefined;
    for (const path of [BROKER_SOCKET, ADMIN_SOCKET]) rmSync(path, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** A server that hears of changes alone: pods change their status all the time. */
class Told<A extends DevBroker | DevDelegatedIdentity> {
  readonly api: A;
  #known = '';

  constructor(api: A) {
    this.api = api;
  }

  setPods(pods: readonly DevPod[]): void {
    const text = JSON.stringify(pods);
    if (text === this.#known) return;
    this.#known = text;
    this.api.setPods(pods);
  }
}
