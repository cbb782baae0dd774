/** Identity for pods: SPIRE, whose agent attests them, and whose discovery provider publishes the keys to Vault. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import type { Api } from './api.ts';
import { eventually } from './eventually.ts';
import { IDENTITY_DIRECTORY, SERVER_SOCKET } from './identity-place.ts';
import type { List } from './objects.ts';
import { Registration } from './registration.ts';
import { AGENT_DIRECTORIES, BUNDLE, DISCOVERY_ADDRESS, ISSUER } from './spire-config.ts';
import {
  AGENT_PODS,
  agentObjects,
  BUNDLE_MAP,
  DAEMON_SET,
  serverObjects,
  STATEFUL_SET,
  type Made,
} from './spire-objects.ts';

/** What Vault needs to believe JWT-SVIDs. */
export interface Issuer {
  /** URL of the discovery provider. */
  readonly url: string;
  readonly caPem: string;
}

/** The identity provider of the cluster. */
export interface Identity extends AsyncDisposable {
  readonly issuer: Issuer;
  /** Its X.509 authority. */
  readonly bundlePem: string;
  /** Takes the agent away. */
  stop(): Promise<void>;
  /** Brings it back. */
  start(): Promise<void>;
  /** Gives all pods new X.509-SVIDs. */
  rotate(): Promise<void>;
  /** Pods of this namespace are not registered until they are admitted. */
  withhold(namespace: string): Promise<void>;
  admit(namespace: string): Promise<void>;
}

const DAY_MS = 86_400_000;
const PATIENCE_MS = 120_000;
/** A label that no node has. */
const NOWHERE = 'vouchsafe-test/nowhere';

/** Starts SPIRE; resolves when its agent serves pods. */
export async function startIdentity(api: Api): Promise<Identity> {
  for (const path of [IDENTITY_DIRECTORY, dirname(SERVER_SOCKET), ...AGENT_DIRECTORIES]) {
    mkdirSync(path, { recursive: true });
  }
  const ca = createTestCa();
  await create(api, serverObjects(ca.issue({ ips: [DISCOVERY_ADDRESS], ttlMs: DAY_MS })));
  await serves(api, STATEFUL_SET);
  const registration = new Registration(api);
  const bundlePem = await eventually('the server has published its bundle', async () => {
    const { data } = await api.get<{ data?: Record<string, string> }>(BUNDLE_MAP);
    return data?.[BUNDLE.key];
  });
  await create(api, agentObjects());
  await serves(api, DAEMON_SET);
  return {
    issuer: { url: ISSUER, caPem: ca.caPem },
    bundlePem,
    async stop() {
      await api.patch(DAEMON_SET, selecting({ [NOWHERE]: 'true' }));
      await eventually('there is no agent', async () => {
        const { items } = await api.get<List<object>>(AGENT_PODS);
        return items.length === 0 ? true : undefined;
      });
    },
    async start() {
      await api.patch(DAEMON_SET, selecting({ [NOWHERE]: null }));
      await serves(api, DAEMON_SET);
    },
    rotate: () => registration.rotate(),
    withhold: (namespace) => registration.withhold(namespace),
    admit: (namespace) => registration.admit(namespace),
    [Symbol.asyncDispose]: () => registration[Symbol.asyncDispose](),
  };
}

async function create(api: Api, made: readonly Made[]): Promise<void> {
  for (const [collection, object] of made) await api.create(collection, object);
}

interface Workload {
  readonly metadata: { readonly generation: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly readyReplicas?: number;
    readonly numberReady?: number;
  };
}

/** Waits until the one pod of a StatefulSet or a DaemonSet is ready. */
async function serves(api: Api, path: string): Promise<void> {
  await eventually(
    `${path} is ready`,
    async () => {
      const { metadata, status } = await api.get<Workload>(path);
      const isRecent = status?.observedGeneration === metadata.generation;
      const ready = status?.readyReplicas ?? status?.numberReady ?? 0;
      return isRecent && ready === 1 ? true : undefined;
    },
    PATIENCE_MS,
  );
}

function selecting(nodeSelector: object): object {
  return { spec: { template: { spec: { nodeSelector } } } };
}
