/**
 * Identity for pods: a Workload API of its own for each pod, all of one trust domain, behind one socket that pods
 * get by a host path. Which pod is calling is known from the kernel (test/servers/kubernetes/cmd/attest), who it is by
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
import { TRUSTED } from './identity-place.ts';
import { PodApis } from './pod-apis.ts';
import { PodView, type KnownPod } from './pod-view.ts';
import { ready, start } from './processes.ts';
import { place } from './workspace.ts';

export const TRUST_DOMAIN = 'example.org';

/** The identity provider of the cluster. */
export interface Identity extends AsyncDisposable {
  /** For Vault. */
  readonly jwksUrl: string;
  readonly bundlePem: string;
  /** Takes the socket away. */
  stop(): Promise<void>;
  /** Brings it back. */
  start(): Promise<void>;
  /** Gives pods whose SVIDs come by the CSI driver new X.509-SVIDs. */
  rotate(): void;
  /** Pods of this namespace are not registered until they are admitted. */
  withhold(namespace: string): void;
  admit(namespace: string): void;
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
  await pods.apis.start();
  const socket = place('identity', 'api.sock');
  const front = start('attest', [attest, socket, resolver]);
  const listens = (): Promise<void> => ready(front, () => existsSync(socket));
  await listens();
  return {
    jwksUrl: `${oidc.url}/keys`,
    bundlePem: pods.domain.bundlePem,
    async stop() {
      await Promise.all([front.stop(), pods.apis.stop()]);
      rmSync(socket, { force: true });
    },
    async start() {
      front.start();
      await Promise.all([listens(), pods.apis.start()]);
    },
    rotate: () => pods.apis.rotate(),
    withhold: (namespace) => pods.withhold(namespace),
    admit: (namespace) => pods.admit(namespace),
    async [Symbol.asyncDispose]() {
      await front.stop();
      server.close();
      await oidc[Symbol.asyncDispose]();
      await pods[Symbol.asyncDispose]();
    },
  };
}

/** What each pod is served: at a socket of its own, and by the CSI driver. */
class PodIdentities implements AsyncDisposable {
  readonly domain = createTrustDomain(TRUST_DOMAIN);
  readonly apis: PodApis;
  readonly #pods: PodView;
  readonly #served = new Map<string, Promise<Served>>();
  readonly #withheld = new Set<string>();

  constructor(api: Api) {
    this.#pods = new PodView(api, () => this.#refresh());
    this.apis = new PodApis({
      domain: this.domain,
      trustDomain: TRUST_DOMAIN,
      pods: () => this.#pods.all().map((pod) => this.#entryOf(pod)),
      entries: () => this.#trustedEntries(),
    });
  }

  jwks(): { keys: ReturnType<DevWorkloadApi['jwks']>['keys'] } {
    return { keys: this.domain.jwks().keys };
  }

  async socketOf(uid: string): Promise<string> {
    const pod = this.#pods.get(uid);
    if (pod === undefined) throw new Error(`no pod has the UID ${uid}`);
    let served = this.#served.get(uid);
    if (served === undefined) {
      served = this.#serve(pod);
      this.#served.set(uid, served);
    }
    return (await served).path;
  }

  withhold(namespace: string): void {
    this.#withheld.add(namespace);
    this.apis.refresh();
  }

  admit(namespace: string): void {
    this.#withheld.delete(namespace);
    this.apis.refresh();
    for (const served of this.#served.values()) {
      void served.then(({ pod, api }) => api.setIdentities(this.#identities(pod)));
    }
  }

  /** Pods that are gone are served no more. */
  #refresh(): void {
    for (const [uid, served] of this.#served) {
      if (this.#pods.get(uid) !== undefined) continue;
      this.#served.delete(uid);
      void served.then(({ api }) => api.close());
    }
    this.apis.refresh();
  }

  async #serve(pod: KnownPod): Promise<Served> {
    const path = place('identities', `${pod.metadata.uid}.sock`);
    const identities = this.#identities(pod);
    const api = await startWorkloadApi({
      address: `unix://${path}`,
      domain: this.domain,
      identities,
    });
    return { pod, api, path };
  }

  #entryOf(pod: KnownPod): DevPod {
    const { uid, namespace, name } = pod.metadata;
    return { uid, namespace, name, identities: this.#identities(pod) };
  }

  #identities({ metadata: { namespace }, spec }: KnownPod): readonly DevIdentity[] {
    if (this.#withheld.has(namespace)) return [];
    const account = spec.serviceAccountName;
    // Without a name Vault's cert auth would not know what to call it.
    const dnsNames = [`${account}.${namespace}.${TRUST_DOMAIN}`];
    return [{ spiffeId: idOf(namespace, account), dnsNames }];
  }

  /** For pods of each service account that carry a label. */
  #trustedEntries(): readonly DevPod[] {
    const entries = this.#pods.all().map(({ metadata: { namespace }, spec }): [string, DevPod] => {
      const account = spec.serviceAccountName;
      const selectors = [`ns:${namespace}`, `sa:${account}`];
      const label = `pod-label:${TRUSTED.name}:${TRUSTED.value}`;
      const spiffeId = `${idOf(namespace, account)}/trusted`;
      const entry = {
        uid: '',
        namespace,
        name: account,
        identities: [{ spiffeId }],
        selectors: [...selectors, label].map((one) => `k8s:${one}`),
      };
      return [spiffeId, entry];
    });
    return [...new Map(entries).values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pods[Symbol.asyncDispose]();
    await this.apis[Symbol.asyncDispose]();
    for (const served of this.#served.values()) await (await served).api.close();
  }
}

function idOf(namespace: string, serviceAccount: string): string {
  return `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${serviceAccount}`;
}

interface Served {
  readonly pod: KnownPod;
  readonly api: DevWorkloadApi;
  readonly path: string;
}
