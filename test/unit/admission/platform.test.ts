import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { injectPod, OVERRIDABLE, podWith, problemsOf } from './harness.ts';

const OS = 'kubernetes.io/os';
const ARCH = 'kubernetes.io/arch';
const BETA = 'beta.kubernetes.io/os';

interface Expression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

const at = (key: string, operator: string, ...values: string[]): Expression =>
  values.length === 0 ? { key, operator } : { key, operator, values };

/** A required node affinity: terms of which one has to match. */
function required(...terms: readonly (readonly Expression[])[]): Record<string, unknown> {
  return affinity({
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: terms.map((matchExpressions) => ({ matchExpressions })),
    },
  });
}

function affinity(nodeAffinity: object): Record<string, unknown> {
  return { affinity: { nodeAffinity } };
}

const TERMS = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution';
const CSI = { csi: { enabled: true, identity: { kind: 'service-account' } } };

const WINDOWS: Readonly<Record<string, readonly [object, string]>> = {
  'spec.os': [{ os: { name: 'windows' } }, 'spec.os.name'],
  'a node selector': [{ nodeSelector: { [OS]: 'windows' } }, 'spec.nodeSelector'],
  'the old label': [{ nodeSelector: { [BETA]: 'windows' } }, 'spec.nodeSelector'],
  'another system': [{ nodeSelector: { [OS]: 'freebsd' } }, 'spec.nodeSelector'],
  'the build of Windows': [
    { nodeSelector: { 'node.kubernetes.io/windows-build': '10.0.20348' } },
    'spec.nodeSelector',
  ],
  'the SKU of AKS': [
    { nodeSelector: { 'kubernetes.azure.com/os-sku': 'Windows2022' } },
    'spec.nodeSelector',
  ],
  'the distribution of GKE': [
    required([at('cloud.google.com/gke-os-distribution', 'In', 'windows_ltsc', 'windows_sac')]),
    TERMS,
  ],
  In: [required([at(OS, 'In', 'windows')]), TERMS],
  'In with the old label': [required([at(BETA, 'In', 'windows')]), TERMS],
  NotIn: [required([at(OS, 'NotIn', 'linux')]), TERMS],
  'NotIn of several': [required([at(OS, 'NotIn', 'darwin', 'linux')]), TERMS],
  'one of two expressions': [required([at('disk', 'Exists'), at(OS, 'In', 'windows')]), TERMS],
  'every term': [required([at(OS, 'In', 'windows')], [at(OS, 'NotIn', 'linux')]), TERMS],
  'a term beside one that matches no node': [required([at(OS, 'In', 'windows')], []), TERMS],
  'a build in a term': [required([at('node.kubernetes.io/windows-build', 'Exists')]), TERMS],
  'a term that names its node, too': [
    affinity({
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          {
            matchFields: [at('metadata.name', 'In', 'node-1')],
            matchExpressions: [at(OS, 'In', 'windows')],
          },
        ],
      },
    }),
    TERMS,
  ],
  'options of the pod': [
    { securityContext: { windowsOptions: { runAsUserName: 'ContainerUser' } } },
    'spec.securityContext.windowsOptions',
  ],
  'options of a container': [
    {
      containers: [{ name: 'web', securityContext: { windowsOptions: { hostProcess: true } } }],
    },
    'spec.containers[web].securityContext.windowsOptions',
  ],
  'options of an init container': [
    {
      initContainers: [
        { name: 'first', securityContext: { windowsOptions: { gmsaCredentialSpecName: 'web' } } },
      ],
    },
    'spec.initContainers[first].securityContext.windowsOptions',
  ],
  'a RuntimeClass': [{ runtimeClassName: 'windows-2022' }, 'spec.runtimeClassName'],
  'a RuntimeClass of containerd': [
    { runtimeClassName: 'runhcs-wcow-process' },
    'spec.runtimeClassName',
  ],
};

for (const [name, [spec, path]] of Object.entries(WINDOWS)) {
  for (const mode of ['native', 'pair', 'init', 'csi']) {
    test(`${mode}: a pod for Windows is denied: ${name}`, () => {
      const installation = parseInstallation(mode === 'csi' ? CSI : {});
      const result = injectPod(podWith({ mode }, { ...spec }), { installation });
      const problems = problemsOf(result);
      assert.deepEqual([result.outcome, problems.length], ['denied', 1], problems.join('\n'));
      assert.equal(problems[0]?.slice(0, path.length), path);
      assert.match(problems.join(), /Windows pods cannot be injected$/);
    });
  }
}

const OPEN: Readonly<Record<string, object>> = {
  'Linux by spec.os': { os: { name: 'linux' } },
  'Linux by a selector': { nodeSelector: { [OS]: 'linux' } },
  'one of two systems': required([at(OS, 'In', 'linux', 'windows')]),
  'one of two terms': required([at(OS, 'In', 'windows')], [at(OS, 'In', 'linux')]),
  'a term without the label': required([at(OS, 'In', 'windows')], [at('disk', 'Exists')]),
  'NotIn of another system': required([at(OS, 'NotIn', 'windows')]),
  'a label that exists': required([at(OS, 'Exists')]),
  'no build of Windows': required([at('node.kubernetes.io/windows-build', 'DoesNotExist')]),
  'another SKU': { nodeSelector: { 'kubernetes.azure.com/os-sku': 'AzureLinux' } },
  'only a preference': affinity({
    preferredDuringSchedulingIgnoredDuringExecution: [
      { weight: 1, preference: { matchExpressions: [at(OS, 'In', 'windows')] } },
    ],
  }),
  'only a toleration': {
    tolerations: [{ key: 'os', operator: 'Equal', value: 'windows', effect: 'NoSchedule' }],
  },
  'only a node name': { nodeName: 'windows-1' },
  'terms without requirements': required([]),
  'the name of a node': affinity({
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchFields: [at('metadata.name', 'In', 'windows')] }],
    },
  }),
  'no affinity': { affinity: null },
  'no terms': affinity({ requiredDuringSchedulingIgnoredDuringExecution: null }),
  'empty options': { securityContext: { windowsOptions: {} } },
  'options of a pod that runs on Linux': {
    nodeSelector: { [OS]: 'linux' },
    containers: [{ name: 'web', securityContext: { windowsOptions: { runAsUserName: 'a' } } }],
  },
  'a RuntimeClass that selects Linux': {
    nodeSelector: { [OS]: 'linux' },
    runtimeClassName: 'windows-less',
  },
  'another RuntimeClass': { runtimeClassName: 'gvisor' },
  'a supported architecture': { nodeSelector: { [ARCH]: 'arm64' } },
  'one of several architectures': required([at(ARCH, 'In', 's390x', 'amd64')]),
  'all but one architecture': required([at(ARCH, 'NotIn', 'amd64')]),
};

for (const [name, spec] of Object.entries(OPEN)) {
  test(`a pod that can run on Linux is injected: ${name}`, () => {
    const { outcome, message } = injectPod(podWith({}, { ...spec }));
    assert.equal(outcome, 'injected', message);
  });
}

const ELSEWHERE: Readonly<Record<string, object>> = {
  'a selector': { nodeSelector: { [ARCH]: 's390x' } },
  'the old label': { nodeSelector: { 'beta.kubernetes.io/arch': 'arm' } },
  In: required([at(ARCH, 'In', 'ppc64le', 'riscv64')]),
  NotIn: required([at(ARCH, 'NotIn', 'amd64', 'arm64')]),
  'NotIn twice': required([at(ARCH, 'NotIn', 'amd64'), at(ARCH, 'NotIn', 'arm64')]),
  'a selector and a term together': {
    nodeSelector: { [ARCH]: 'amd64' },
    ...required([at(ARCH, 'NotIn', 'amd64')]),
  },
};

for (const [name, spec] of Object.entries(ELSEWHERE)) {
  test(`a pod for an architecture without an image is denied: ${name}`, () => {
    const problems = problemsOf(injectPod(podWith({}, { ...spec })));
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems.join(), /another architecture than amd64, arm64.*agent\.architectures/);
  });
}

test('an image that is built for more architectures serves their pods', () => {
  const installation = parseInstallation({ agent: { architectures: ['amd64', 's390x'] } });
  const pod = (arch: string): ReturnType<typeof podWith> =>
    podWith({}, { nodeSelector: { [ARCH]: arch } });
  assert.equal(injectPod(pod('s390x'), { installation }).outcome, 'injected');
  assert.match(problemsOf(injectPod(pod('arm64'), { installation })).join(), /than amd64, s390x/);
});

test('an image of the pod is for the architecture that the pod chooses', () => {
  const spec = { nodeSelector: { [ARCH]: 's390x' } };
  const pod = podWith({ image: 'registry.example/agent:1' }, spec);
  assert.equal(injectPod(pod, { installation: OVERRIDABLE }).outcome, 'injected');
  const windows = podWith(
    { image: 'registry.example/agent:1' },
    { nodeSelector: { [OS]: 'windows' } },
  );
  assert.equal(injectPod(windows, { installation: OVERRIDABLE }).outcome, 'denied');
});

test('a namespace of injected pods does not inject its Windows pods', () => {
  const pod = podWith({ inject: 'true' }, { nodeSelector: { [OS]: 'windows' } });
  const namespaceAnnotations = { 'vouchsafe.dev/inject': 'true' };
  assert.equal(injectPod(pod, { namespaceAnnotations }).outcome, 'denied');
});
