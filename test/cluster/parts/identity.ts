/**
 * Identity for pods: a Workload API of its own for each pod, all of one trust domain, behind one socket that pods
 * get by a host path. Which pod is calling is told by the kernel (test/servers/kubernetes/cmd/attest), who it is by
 * the API server.
 */
import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import {
  createTrustDomain,
  startOidcProvider,
  startWorkloadApi,
  type DevIdentity,
  type DevPod,
  type DevWorkloadApi,
} from '../../../src/dev/workload-api/index.ts';
import type { Api } from './api.ts';
import { Broker } from './broker.ts';
import { ready, start } from './processes.ts';
import { place } from './workspace.ts';

export const TRUST_DOMAIN = 'example.org';

/** The identity provider of the cluster. */
export interface Identity extends AsyncDisposable {
  /** For Vault. */
  readonly jwksUrl: string;
  /** Takes the socket away. */
  stop(): Promise<void>;
  /** Brings it back. */
  start(): Promise<void>;
  /** Pods of this namespace are not registered until they are admitted. */
  withhold(namespace: string): void;
  admit(namespace: string): void;
}

interface Pod {
  readonly metadata: { readonly uid: string; readonly namespace: string; readonly name: string };
  readonly spec: { readonly serviceAccountName: string };
}

/** Starts it. */
export async function startIdentity(attest: string, api: Api): Promise<Identity> {
  const pods = new PodIdentities(api);
  const resolver = place('resolver.sock');
  rmSync(resolver, { force: true });
  const server = createServer((connection) => {
    connection.on('error', () => undefined);
    createInterface({ input: connection }).once('line', (uid) => {
      // Who is not known gets no answer, and the caller no connection.
      pods.socketOf(uid).then(
        (path) => connection.end(`${path}\n`),
        () => connection.destroy(),
      );
    });
  }).listen(resolver);
  await once(server, 'listening');
  const oidc = await startOidcProvider({ jwks: () => pods.jwks() });
  const broker = new Broker({
    ...{ domain: pods.domain, trustDomain: TRUST_DOMAIN },
    pods: () => pods.all(),
  });
  await broker.start();
  const socket = place('identity', 'api.sock');
  const front = start('attest', [attest, socket, resolver]);
  const listens = (): Promise<void> => ready(front, () => existsSync(socket));
  await listens();
  return {
    jwksUrl: `${oidc.url}/keys`,
    async stop() {
      await Promise.all([front.stop(), broker.stop()]);
      rmSync(socket, { force: true });
    },
    async start() {
      front.start();
      await Promise.all([listens(), broker.start()]);
    },
    withhold: (namespace) => pods.withhold(namespace),
    admit: (namespace) => pods.admit(namespace),
    async [Symbol.asyncDispose]() {
      await Promise.all([front.stop(), broker.stop()]);
      server.close();
      await oidc[Symbol.asyncDispose]();
      await pods[Symbol.asyncDispose]();
    },
  };
}

/** What each pod is served, by its UID. */
class PodIdentities implements AsyncDisposable {
  readonly #api: Api;
  readonly domain = createTrustDomain(TRUST_DOMAIN);
  readonly #served = new Map<string, Promise<Served>>();
  readonly #withheld = new Set<string>();
  #known: ReadonlyMap<string, Pod> = new Map();
  #reading: Promise<void> | undefined;

  constructor(api: Api) {
    this.#api = api;
  }

  jwks(): { keys: ReturnType<DevWorkloadApi['jwks']>['keys'] } {
    return { keys: this.domain.jwks().keys };
  }

  async socketOf(uid: string): Promise<string> {
    const pod = await this.#pod(uid);
    let served = this.#served.get(uid);
    if (served === undefined) {
      served = this.#serve(pod);
      this.#served.set(uid, served);
    }
    return (await served).path;
  }

  /** Every pod of the cluster, with what it is entitled to. */
  async all(): Promise<readonly DevPod[]> {
    const { items } = await this.#api.get<{ items: readonly Pod[] }>('/api/v1/pods');
    return items.map((pod) => {
      const { uid, namespace, name } = pod.metadata;
      return { uid, namespace, name, identities: this.#identities(pod) };
    });
  }

  withhold(namespace: string): void {
    this.#withheld.add(namespace);
  }

  admit(namespace: string): void {
    this.#withheld.delete(namespace);
    for (const served of this.#served.values()) {
      void served.then(({ pod, api }) => api.setIdentities(this.#identities(pod)));
    }
  }

  async #serve(pod: Pod): Promise<Served> {
    const path = place('identities', `${pod.metadata.uid}.sock`);
    const identities = this.#identities(pod);
    const api = await startWorkloadApi({
      ...{ address: `unix://${path}`, domain: this.domain, identities },
    });
    return { pod, api, path };
  }

  #identities({ metadata: { namespace }, spec }: Pod): readonly DevIdentity[] {
    if (this.#withheld.has(namespace)) return [];
    const path = `/ns/${namespace}/sa/${spec.serviceAccountName}`;
    return [{ spiffeId: `spiffe://${TRUST_DOMAIN}${path}` }];
  }

  async #pod(uid: string): Promise<Pod> {
    if (!this.#known.has(uid)) await (this.#reading ??= this.#read());
    const pod = this.#known.get(uid);
    if (pod === undefined) throw new Error(`no pod has the UID ${uid}`);
    return pod;
  }

  /** Whoever asks meanwhile waits for the same answer; pods that are gone are served no more. */
  async #read(): Promise<void> {
    try {
      const { items } = await this.#api.get<{ items: readonly Pod[] }>('/api/v1/pods');
      this.#known = new Map(items.map((pod) => [pod.metadata.uid, pod]));
      for (const [uid, served] of this.#served) {
        if (this.#known.has(uid)) continue;
        this.#served.delete(uid);
        void served.then(({ api }) => api.close());
      }
    } finally {
      this.#reading = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const served of this.#served.values()) await (await served).api.close();
  }
}

interface Served {
  readonly pod: Pod;
  readonly api: DevWorkloadApi;
  readonly path: string;
}
