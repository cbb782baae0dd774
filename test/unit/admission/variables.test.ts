import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPod, type Pod } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import type { InjectionInput, InjectionResult } from '../../../src/admission/index.ts';
import { removeInjection } from '../../../src/admission/injection-record.ts';
import type { NodeFacts } from '../../../src/contracts/index.ts';
import { configIn, containerOf, injectPod, podWith, prefixed, problemsOf } from './harness.ts';

const INSTALLATION = parseInstallation({ env: { enabled: true }, csi: { enabled: true } });
const VARIABLE = { 'env-DB_PASSWORD': 'database/creds/app#password' };

/** A container whose user is known, so that it can be restarted. */
const WEB = { name: 'web', image: 'web:1', securityContext: { runAsUser: 1000 } };

function inject(pod: Pod, input: Partial<InjectionInput> = {}): InjectionResult {
  return injectPod(pod, { installation: INSTALLATION, ...input });
}

/** A pod that requests only variables. */
function variablesOnly(
  annotations: Readonly<Record<string, string>> = VARIABLE,
  spec: Readonly<Record<string, unknown>> = {},
): Pod {
  return readPod({
    metadata: { name: 'web', annotations: prefixed({ inject: 'true', ...annotations }) },
    spec: { containers: [WEB], ...spec },
  });
}

function reference(name: string, optional = false): unknown {
  const fileKeyRef = { volumeName: 'vouchsafe-env', path: name, key: name, optional };
  return { name, valueFrom: { fileKeyRef } };
}

test('a variable is a reference to a file of a volume that only the agent mounts', () => {
  const { pod, outcome } = inject(podWith(VARIABLE, { containers: [WEB] }));
  assert.equal(outcome, 'injected');
  const web = containerOf(pod, 'web');
  assert.deepEqual(web.env?.slice(0, 2), [
    reference('VOUCHSAFE_ENV_VERSION'),
    reference('DB_PASSWORD'),
  ]);
  assert.ok(web.volumeMounts?.every(({ name }) => name !== 'vouchsafe-env'));
  const volume = pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-env');
  assert.deepEqual(volume?.['emptyDir'], { medium: 'Memory', sizeLimit: '8Mi' });
  const agent = containerOf(pod, 'vouchsafe-agent');
  const mount = agent.volumeMounts?.find(({ name }) => name === 'vouchsafe-env');
  assert.deepEqual(mount, { name: 'vouchsafe-env', mountPath: '/run/vouchsafe/env' });
  const file = configIn(pod).files.find(({ variable }) => variable === 'DB_PASSWORD');
  assert.deepEqual(file?.source, {
    kind: 'format',
    format: 'raw',
    secret: { path: 'database/creds/app', key: 'password' },
  });
});

test('references come before the variables of the container, which can refer to them', () => {
  const env = [{ name: 'URL', value: 'postgres://app:$(DB_PASSWORD)@db' }];
  const { pod } = inject(podWith(VARIABLE, { containers: [{ ...WEB, env }] }));
  const names = containerOf(pod, 'web').env?.map(({ name }) => name);
  assert.deepEqual(names, ['VOUCHSAFE_ENV_VERSION', 'DB_PASSWORD', 'URL', 'VOUCHSAFE_CONTAINER']);
});

test('a template, and a secret that may be absent', () => {
  const { pod } = inject(
    variablesOnly({
      'env-template-URL': '{{#with (secret "kv/a")}}{{u}}{{/with}}',
      'env-TOKEN': 'kv/a#token',
      'env-optional-TOKEN': 'true',
      'env-on-change': 'none',
    }),
  );
  assert.deepEqual(containerOf(pod, 'web').env, [
    reference('VOUCHSAFE_ENV_VERSION'),
    reference('TOKEN', true),
    reference('URL'),
  ]);
  const { files, env } = configIn(pod);
  assert.deepEqual(
    files.map(({ name, path, mode, source }) => [name, path, mode, source.kind]),
    [
      ['$TOKEN', '..env/TOKEN', 0o400, 'format'],
      ['$URL', '..env/URL', 0o400, 'template'],
    ],
  );
  assert.deepEqual(env, { directory: '/run/vouchsafe/env', onChange: 'none', containers: [] });
});

test('a pod without files mounts no files', () => {
  const { pod } = inject(variablesOnly());
  assert.equal(containerOf(pod, 'web').volumeMounts, undefined);
});

for (const [mode, container] of [
  ['native', 'vouchsafe-agent'],
  ['pair', 'vouchsafe-init'],
  ['init', 'vouchsafe-init'],
] as const) {
  test(`${mode}: injecting again changes nothing, and removing it gives the pod back`, () => {
    const original = variablesOnly({ ...VARIABLE, mode });
    const { pod } = inject(original);
    assert.equal(configIn(pod, container).files.length, 1);
    assert.equal(inject(pod).outcome, 'skipped');
    assert.deepEqual(removeInjection(pod, 'vouchsafe.dev'), original);
  });
}

test('only the chosen containers get variables', () => {
  const containers = [WEB, { ...WEB, name: 'other' }];
  const initContainers = [{ ...WEB, name: 'migrate' }];
  const { pod } = inject(
    variablesOnly(
      { ...VARIABLE, containers: 'web', 'init-containers': 'migrate' },
      { containers, initContainers },
    ),
  );
  assert.equal(containerOf(pod, 'other').env, undefined);
  assert.equal(containerOf(pod, 'migrate').env?.[1]?.name, 'DB_PASSWORD');
  assert.deepEqual(configIn(pod).env?.containers, ['web'], 'an init container is not restarted');
});

test('a namespace that requests injection injects a pod with only a variable', () => {
  const pod = readPod({
    metadata: { name: 'web', annotations: prefixed(VARIABLE) },
    spec: { containers: [WEB] },
  });
  const namespaceAnnotations = prefixed({ inject: 'true' });
  assert.equal(inject(pod, { namespaceAnnotations }).outcome, 'injected');
  const { outcome, warnings } = inject(pod);
  assert.equal(outcome, 'skipped');
  assert.match(warnings.join(), /requests files or variables, but no injection/);
});

const OLD: NodeFacts = { name: 'old', version: 'v1.34.2', labels: { zone: 'a' } };
const TWO: readonly string[] = ['web', 'other', 'third', 'fourth'];

const DENIALS: Readonly<
  Record<
    string,
    readonly [annotations: object, spec: object, expected: RegExp, input?: Partial<InjectionInput>]
  >
> = {
  'the installation has no variables': [
    {},
    {},
    /^env-DB_PASSWORD: this installation has no variables \(env\.enabled\)/,
    { installation: parseInstallation({}) },
  ],
  'an old API server': [{}, {}, /requires Kubernetes 1\.35.*v1\.34\.2/, { kubeVersion: 'v1.34.2' }],
  'an old node': [
    {},
    {},
    /may be scheduled to old \(v1\.34\.2\), whose kubelet/,
    { oldNodes: [OLD] },
  ],
  'many old nodes': [
    {},
    {},
    /old \(v1\.34\.2\), old \(v1\.34\.2\), old \(v1\.34\.2\) and 2 more/,
    { oldNodes: [OLD, OLD, OLD, OLD, OLD] },
  ],
  'nodes that are not known': [{}, {}, /cannot be listed at the moment/, { oldNodes: 'unknown' }],
  'a variable that a container sets': [
    {},
    { containers: [{ ...WEB, env: [{ name: 'DB_PASSWORD', value: 'x' }] }] },
    /^env-DB_PASSWORD: container "web" sets DB_PASSWORD itself/,
  ],
  'a variable of a template that a container sets': [
    { 'env-template-A': 'x' },
    { containers: [{ ...WEB, env: [{ name: 'A', value: 'x' }] }] },
    /env-template-A: container "web" sets A itself/,
  ],
  'a variable of the Azure SDK': [
    {
      'env-AZURE_CLIENT_ID': 'kv/a#b',
      'azure-client-id': '00000000-0000-0000-0000-000000000001',
      'azure-tenant-id': '00000000-0000-0000-0000-000000000002',
      'jwt-svid-a': 'api://AzureADTokenExchange',
    },
    {},
    /env-AZURE_CLIENT_ID: conflicts with the annotations for a cloud/,
  ],
  'too many variables': [
    Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`env-A${at}`, 'kv/a#b'])),
    {},
    /65 variables are requested; the maximum is 64/,
  ],
  'a template with a mistake': [
    { 'env-template-A': '{{nothing "x"}}' },
    {},
    /env-template-A: \$A:1:3: unknown helper nothing/,
  ],
  'templates that are too long': [
    { 'env-template-A': 'x'.repeat(150_000) },
    {},
    /env-template-A: the agent's configuration would have .*: make the template shorter/,
  ],
  'a container with a reference of its own': [
    {},
    { containers: [{ ...WEB, env: [foreign('vouchsafe-env')] }] },
    /container "web" has a variable from a file of "vouchsafe-env"/,
  ],
  'a container that reads the state of the agent': [
    {},
    { containers: [{ ...WEB, env: [foreign('vouchsafe-state')] }] },
    /container "web" has a variable from a file of "vouchsafe-state"/,
  ],
  'restarts of a pod that never restarts': [
    { 'env-on-change': 'restart' },
    { restartPolicy: 'Never' },
    /^env-on-change: restart@web conflicts with restartPolicy Never/,
  ],
  'restarts without shared processes': [
    { 'env-on-change': 'restart' },
    { shareProcessNamespace: false },
    /^env-on-change: conflicts with shareProcessNamespace: false/,
  ],
  'restarts of a container whose user is not known': [
    { 'env-on-change': 'restart' },
    { containers: [{ name: 'web' }] },
    /^env-on-change: container "web" has no runAsUser/,
  ],
  'containers that conflict in more places than are named': [
    {},
    {
      containers: TWO.map((name) => ({ ...WEB, name, env: [{ name: 'DB_PASSWORD', value: 'x' }] })),
    },
    /^(env-DB_PASSWORD: container "\w+" sets DB_PASSWORD itself[^\n]*\n?){3}$/,
  ],
  'a policy that does not allow the path': [
    {},
    {},
    /^env-DB_PASSWORD: database\/creds\/app: /,
    {
      installation: parseInstallation({
        env: { enabled: true },
        vault: { policies: [{ name: 'team', namespaces: ['*'], paths: ['kv/*'] }] },
      }),
    },
  ],
  'a policy that does not allow the path of a template': [
    { 'env-template-A': '{{#with (secret "sys/x")}}{{a}}{{/with}}' },
    {},
    /env-template-A: sys\/x: /,
    {
      installation: parseInstallation({
        env: { enabled: true },
        vault: { policies: [{ name: 'team', namespaces: ['*'], paths: ['database/*'] }] },
      }),
    },
  ],
  'a volume': [{ mode: 'csi' }, {}, /^env-DB_PASSWORD: conflicts with vouchsafe\.dev\/mode csi/],
};

function foreign(volumeName: string): object {
  return { name: 'X', valueFrom: { fileKeyRef: { volumeName, path: 'a', key: 'X' } } };
}

for (const [name, [annotations, spec, expected, input]] of Object.entries(DENIALS)) {
  test(`denied: ${name}`, () => {
    const given = { ...VARIABLE, ...annotations } as Readonly<Record<string, string>>;
    const result = inject(variablesOnly(given, { ...spec }), input);
    assert.equal(result.outcome, 'denied');
    assert.match(problemsOf(result).join('\n'), expected);
  });
}

test('a pod that is kept from old nodes has its variables', () => {
  for (const spec of [
    { nodeSelector: { zone: 'b' } },
    { nodeName: 'new' },
    { affinity: requiring({ key: 'zone', operator: 'NotIn', values: ['a'] }) },
  ]) {
    assert.equal(inject(variablesOnly(VARIABLE, spec), { oldNodes: [OLD] }).outcome, 'injected');
  }
  const windows: NodeFacts = { ...OLD, labels: { 'kubernetes.io/os': 'windows' } };
  assert.equal(inject(variablesOnly(), { oldNodes: [windows] }).outcome, 'injected');
});

function requiring(...matchExpressions: readonly object[]): object {
  const nodeSelectorTerms = [{ matchExpressions }];
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  return { nodeAffinity: { [required]: { nodeSelectorTerms } } };
}

test('pods without variables run on old nodes, and in installations without variables', () => {
  const input = { installation: parseInstallation({}), kubeVersion: 'v1.31.0' };
  assert.equal(injectPod(podWith(), { ...input, oldNodes: [OLD] }).outcome, 'injected');
});

test('csi as a default: the pod gets an agent, and a warning has the reason', () => {
  const installation = parseInstallation({
    env: { enabled: true },
    csi: { enabled: true },
    defaults: { mode: 'csi', identity: 'service-account' },
  });
  const { pod, warnings } = inject(variablesOnly(), { installation });
  assert.ok(containerOf(pod, 'vouchsafe-agent'));
  assert.match(warnings.join('\n'), /env-DB_PASSWORD: conflicts with vouchsafe\.dev\/mode csi/);
});

test('by default containers can restart: the pod shares its processes, and a warning says so', () => {
  const { pod, warnings } = inject(variablesOnly());
  assert.equal(pod.spec.shareProcessNamespace, true);
  assert.deepEqual(configIn(pod).env?.containers, ['web']);
  assert.equal(configIn(pod).env?.onChange, undefined);
  assert.match(warnings.join('\n'), /env-on-change: the pod gets shareProcessNamespace/);
  assert.equal(containerOf(pod, 'vouchsafe-agent').securityContext?.runAsUser, 1000);
});

test('a pod that shares its processes, or requests restarts, needs no warning', () => {
  const shared = inject(variablesOnly(VARIABLE, { shareProcessNamespace: true }));
  assert.deepEqual(shared.warnings, []);
  const requested = inject(variablesOnly({ ...VARIABLE, 'env-on-change': 'restart' }));
  assert.deepEqual(requested.warnings, []);
  assert.equal(configIn(requested.pod).env?.onChange, 'restart');
});

for (const [name, spec, reason] of [
  ['never restarts', { restartPolicy: 'Never' }, /restartPolicy Never/],
  ['shares no processes', { shareProcessNamespace: false }, /shareProcessNamespace: false/],
  ['has the processes of its node', { hostPID: true }, /hostPID/],
  ['has no known user', { containers: [{ name: 'web' }] }, /has no runAsUser/],
  [
    'has several users',
    { containers: [WEB, { name: 'b', securityContext: { runAsUser: 2 } }] },
    /different users/,
  ],
] as const) {
  test(`a pod that ${name} keeps its variables, and a warning has the reason`, () => {
    const { pod, warnings, outcome } = inject(variablesOnly(VARIABLE, spec));
    assert.equal(outcome, 'injected');
    assert.deepEqual(configIn(pod).env?.containers, []);
    assert.match(warnings.join('\n'), reason);
    assert.match(warnings.join('\n'), /keep the variables that they started with/);
  });
}

test('restarts as a default of the installation do not deny a pod', () => {
  const defaults = { 'env-on-change': 'restart' };
  const installation = parseInstallation({ env: { enabled: true }, defaults });
  const pod = variablesOnly(VARIABLE, { restartPolicy: 'Never' });
  assert.equal(inject(pod, { installation }).outcome, 'injected');
});

test('init: nothing restarts, and the pod is left as it is', () => {
  const { pod, warnings } = inject(variablesOnly({ ...VARIABLE, mode: 'init' }));
  assert.equal(pod.spec.shareProcessNamespace, undefined);
  assert.deepEqual(warnings, []);
});

test('a pod whose containers are all those of a platform has nothing to restart', () => {
  const containers = [{ name: 'istio-proxy', image: 'proxy' }];
  const { pod, warnings } = inject(variablesOnly(VARIABLE, { containers }));
  assert.equal(pod.spec.shareProcessNamespace, undefined);
  assert.match(warnings.join('\n'), /no container sees the files/);
});

test('notifications and restarts have one user', () => {
  const annotations = { ...VARIABLE, 'secret-a': 'kv/a', 'on-change': 'signal:HUP@web' };
  const { pod } = inject(variablesOnly(annotations));
  assert.equal(containerOf(pod, 'vouchsafe-agent').securityContext?.runAsUser, 1000);
});

test('a template with an SVID, and a path without JSON', () => {
  const { pod, warnings } = inject(
    variablesOnly({
      'env-template-ID': '{{spiffeId}}',
      'env-CA': 'pki/ca#x',
      identity: 'service-account',
      'env-on-change': 'none',
    }),
  );
  assert.notEqual(configIn(pod).spiffe, undefined);
  assert.match(warnings.join('\n'), /env-CA: pki\/ca has no JSON/);
});

test('a container that may end with exit code 0 is warned of', () => {
  const { warnings, pod } = inject(variablesOnly(VARIABLE, { restartPolicy: 'OnFailure' }));
  assert.match(warnings.join('\n'), /does not start again if it ends with exit code 0/);
  assert.deepEqual(configIn(pod).env?.containers, ['web']);
  const requested = { ...VARIABLE, 'env-on-change': 'restart' };
  const second = inject(variablesOnly(requested, { restartPolicy: 'OnFailure' }));
  assert.match(second.warnings.join('\n'), /exit code 0/);
});

test('a template without an expression needs no Vault', () => {
  const { pod } = inject(variablesOnly({ 'env-template-A': 'fixed', 'env-on-change': 'none' }));
  assert.equal(configIn(pod).vault, undefined);
});
