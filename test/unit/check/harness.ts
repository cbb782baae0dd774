/** A cluster with Vouchsafe in it, as a scripted API server over HTTPS, and `vouchsafe check` on it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { inject, readPod } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { fieldsOf } from '../../../src/core/index.ts';
import type { ApiObject } from '../../../src/kubernetes/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import type { Finding } from '../../../src/check/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { startScripted, type Reply, type ScriptedRequest } from '../../helpers/scripted-http.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { run, type Fields } from '../cli/harness.ts';

const REGISTRATION = '/apis/admissionregistration.k8s.io/v1';
const NAMED = '/vouchsafe-webhook';

/** Paths of what an installation consists of. */
export const AT = {
  version: '/version',
  webhooks: `${REGISTRATION}/mutatingwebhookconfigurations`,
  policy: `${REGISTRATION}/validatingadmissionpolicies/vouchsafe-injected`,
  binding: `${REGISTRATION}/validatingadmissionpolicybindings/vouchsafe-injected`,
  deployments: '/apis/apps/v1/deployments',
  deployment: `/apis/apps/v1/namespaces/vouchsafe/deployments${NAMED}`,
  service: `/api/v1/namespaces/vouchsafe/services${NAMED}`,
  slices: '/apis/discovery.k8s.io/v1/namespaces/vouchsafe/endpointslices',
  values: `/api/v1/namespaces/vouchsafe/configmaps${NAMED}`,
  driver: '/apis/storage.k8s.io/v1/csidrivers/csi.spiffe.io',
  namespaces: '/api/v1/namespaces',
  namespace: '/api/v1/namespaces/default',
  pods: '/api/v1/pods',
  apps: '/apis/apps/v1',
  quotas: '/api/v1/resourcequotas',
  limitRanges: '/api/v1/limitranges',
} as const;

/** A clock whose sleeps are over at once. */
class LeapingClock extends FakeClock {
  override async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.advance(ms);
  }
}

/** Ends 24 hours after the clock of the checks begins. */
export const CA = createTestCa(new FakeClock()).caPem;

/** The registration of the chart, with changes. */
export function registration(changes: Fields = {}, metadata: Fields = {}): Fields {
  const webhook = {
    name: 'pods.vouchsafe.dev',
    failurePolicy: 'Fail',
    clientConfig: {
      service: { name: 'vouchsafe-webhook', namespace: 'vouchsafe' },
      caBundle: Buffer.from(CA).toString('base64'),
    },
    namespaceSelector: {
      matchExpressions: [
        { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system'] },
      ],
    },
    ...changes,
  };
  return {
    metadata: {
      name: 'vouchsafe-webhook',
      labels: { 'app.kubernetes.io/instance': 'vouchsafe' },
      creationTimestamp: '2025-12-01T00:00:00Z',
      ...metadata,
    },
    webhooks: [webhook],
  };
}

/** A running pod of a Deployment, annotated for one secret. */
export function pod(metadata: Fields = {}, more: Fields = {}): Fields {
  return {
    metadata: {
      name: 'web-5d9c-x2',
      namespace: 'shop',
      creationTimestamp: '2025-12-24T00:00:00Z',
      labels: { 'pod-template-hash': '5d9c' },
      ownerReferences: [{ kind: 'ReplicaSet', name: 'web-5d9c', controller: true }],
      annotations: { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/secret-app': 'kvv2/app' },
      ...metadata,
    },
    spec: { containers: [{ name: 'web', image: 'web:1' }] },
    ...more,
  };
}

/** The pod with the agent, whose container the kubelet reports as given. */
export function injectedPod(agentStatus: Fields): Fields {
  const { pod: injected } = admitted(pod());
  const status = { initContainerStatuses: [{ name: 'vouchsafe-agent', ...agentStatus }] };
  return { ...fieldsOf(injected), status };
}

function admitted(object: unknown): ReturnType<typeof inject> {
  const installation = parseInstallation({});
  return inject({ pod: readPod(object), namespace: 'shop', installation, checkTemplate });
}

/** What the API server answers by path; a status instead of an object is a rejection. */
export type Objects = Readonly<Record<string, object | number>>;

const NONE = { items: [] };

const HEALTHY: Objects = {
  [AT.version]: { gitVersion: 'v1.34.2' },
  [AT.webhooks]: { items: [registration()] },
  [AT.policy]: { metadata: {} },
  [AT.binding]: { metadata: {}, spec: { validationActions: ['Deny', 'Audit'] } },
  [AT.deployment]: { metadata: {}, spec: { replicas: 2 }, status: { availableReplicas: 2 } },
  [AT.service]: { metadata: {} },
  [AT.slices]: { items: [{ endpoints: [{ conditions: { ready: true } }] }] },
  [AT.values]: { metadata: {}, data: { 'values.yaml': '{}' } },
  [AT.driver]: { metadata: {} },
  [AT.namespace]: {
    metadata: { name: 'default', labels: { 'kubernetes.io/metadata.name': 'default' } },
  },
  [AT.namespaces]: {
    items: [{ metadata: { name: 'shop', labels: { 'kubernetes.io/metadata.name': 'shop' } } }],
  },
  [AT.pods]: { items: [] },
};

/** What differs from a healthy installation. */
export interface Cluster {
  readonly objects?: Objects;
  /** Answers of requests that change something; the webhook itself by default. */
  readonly write?: (request: ScriptedRequest) => Reply;
}

/** What came of a check. */
export interface Checked {
  readonly code: number;
  readonly errors: string;
  readonly findings: readonly Finding[];
  readonly requests: readonly ScriptedRequest[];
  /** The finding of a check; fails the test where there is none, or more than one. */
  readonly the: (check: string) => Finding;
  /** Runs it once more, as a person sees it. */
  readonly text: () => Promise<string>;
}

/** A rejection as the API server writes it. */
export function refusal(status: number, message: string): Reply {
  return { status, body: { kind: 'Status', message, reason: 'InternalError' } };
}

/** Creates pods as an API server with a webhook does, and deletes them. */
export function create({ method, json }: ScriptedRequest): Reply {
  if (method === 'DELETE') return { body: { metadata: {} } };
  return { status: 201, body: createdPod(json) };
}

/** The pod after the webhook has seen it. */
export function createdPod(json: unknown): ApiObject {
  const { metadata, spec } = fieldsOf(admitted(json).pod);
  return { metadata: { ...fieldsOf(metadata), name: 'vouchsafe-check-1' }, spec };
}

/** Runs `vouchsafe check`. */
export async function check(
  t: TestContext,
  { objects = {}, write = create }: Cluster = {},
  words: readonly string[] = [],
): Promise<Checked> {
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue();
  const known: Objects = { ...HEALTHY, ...objects };
  const server = await startScripted(
    t,
    (request) => {
      if (request.method !== 'GET') return write(request);
      const path = request.path.split('?')[0] ?? '';
      const found = known[path] ?? (/\/(resourcequotas|limitranges)$/.test(path) ? NONE : 404);
      return typeof found === 'number' ? refusal(found, 'no') : { body: found };
    },
    { cert: certPem, key: keyPem },
  );
  const file = kubeconfig(t, server.address, ca.caPem);
  const all = ['check', '--kubeconfig', file, ...words];
  const { code, out, errors } = await run([...all, '-o', 'json'], {}, new LeapingClock());
  const { requests } = server;
  const { findings } = JSON.parse(out) as { findings: readonly Finding[] }; // as the command writes it
  const the = (name: string): Finding => {
    const [found, ...others] = findings.filter((one) => one.check === name);
    if (found !== undefined && others.length === 0) return found;
    throw new Error(`${others.length + 1} findings of ${name} in ${out}`);
  };
  const text = async (): Promise<string> => (await run(all, {}, new LeapingClock())).out;
  return { code, errors, findings, requests: [...requests], the, text };
}

/** Writes a kubeconfig with the contexts `here` and `nowhere`. */
export function kubeconfig(t: TestContext, server: string, caPem: string): string {
  const file = join(tempDirectory(t), 'kubeconfig.json');
  const cluster = { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') };
  const document = {
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token: 'hunter2' } }],
    contexts: [
      { name: 'here', context: { cluster: 'c', user: 'u' } },
      { name: 'nowhere', context: { cluster: 'gone', user: 'u' } },
    ],
    'current-context': 'here',
  };
  writeFileSync(file, JSON.stringify(document));
  return file;
}
