import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import type { Pod } from '../../../src/admission/index.ts';
import { injectPod, podWith, prefixed, problemsOf, type Given } from './harness.ts';

interface Resources {
  readonly requests?: Record<string, string>;
  readonly limits?: Record<string, string>;
}

const same = (amounts: Record<string, string>): Resources => ({
  requests: amounts,
  limits: amounts,
});

/** The resources of each container of the agent. */
function agentsOf(pod: Pod): Resources[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers]
    .filter(({ name }) => name.startsWith('vouchsafe-'))
    .map((one) => one['resources'] as Resources);
}

function resourcesOf(
  annotations: Given,
  spec: object,
  input: Parameters<typeof injectPod>[1] = {},
): { readonly own: Resources; readonly warnings: readonly string[] } {
  const { pod, warnings, outcome, message } = injectPod(podWith(annotations, { ...spec }), input);
  assert.equal(outcome, 'injected', message);
  const [own, ...others] = agentsOf(pod);
  assert.ok(own !== undefined);
  for (const other of others) assert.deepEqual(other, own);
  return { own, warnings };
}

const web = (resources: Resources = {}): object => ({ name: 'web', resources });
const BIG = { cpu: '4', memory: '2Gi' };
const DEFAULT: Resources = {
  requests: { cpu: '10m', memory: '48Mi' },
  limits: { memory: '128Mi' },
};

for (const mode of ['native', 'pair', 'init']) {
  const inMode = (annotations: Given = {}): Given => ({ mode, ...annotations });

  test(`${mode}: a pod without resources of its own gets the defaults`, () => {
    for (const containers of [
      [web()],
      [web({ requests: { cpu: '1' } })],
      [web(same({ cpu: '1' }))],
    ]) {
      const { own, warnings } = resourcesOf(inMode(), { containers });
      assert.deepEqual([own, warnings], [DEFAULT, []]);
    }
  });

  test(`${mode}: a resource of the pod's level is shared, and none is requested for the agent`, () => {
    const both = { cpu: '200m', memory: '256Mi' };
    const cases: readonly (readonly [Resources, Resources])[] = [
      [same(both), { requests: {}, limits: {} }],
      [{ requests: both }, { requests: {}, limits: {} }],
      [{ limits: both }, { requests: {}, limits: {} }],
      [
        { requests: { cpu: '200m' } },
        { requests: { memory: '48Mi' }, limits: { memory: '128Mi' } },
      ],
      [{ limits: { memory: '96Mi' } }, { requests: { cpu: '10m' }, limits: {} }],
      [
        { requests: { cpu: '1' }, limits: { memory: '1Gi' } },
        { requests: {}, limits: {} },
      ],
    ];
    for (const [resources, expected] of cases) {
      const spec = { resources, containers: [web(same({ cpu: '200m', memory: '256Mi' }))] };
      const { own, warnings } = resourcesOf(inMode(), spec);
      assert.deepEqual([own, warnings], [expected, []], JSON.stringify(resources));
    }
    for (const resources of [undefined, null, {}]) {
      assert.deepEqual(resourcesOf(inMode(), { resources }).own, DEFAULT);
    }
  });

  test(`${mode}: defaults of namespace and installation yield to the resources of the pod`, () => {
    const spec = { resources: { limits: { memory: '96Mi' } } };
    const installation = parseInstallation({ defaults: { memory: '64Mi/256Mi', cpu: '20m' } });
    const namespaceAnnotations = prefixed({ memory: '300Mi' });
    const { own } = resourcesOf(inMode(), spec, { installation, namespaceAnnotations });
    assert.deepEqual(own, { requests: { cpu: '20m' }, limits: {} });
  });

  test(`${mode}: the annotations of the pod take precedence if the sums allow it`, () => {
    const spec = {
      resources: same({ cpu: '300m', memory: '256Mi' }),
      containers: [web(same({ cpu: '200m', memory: '128Mi' }))],
    };
    const { own } = resourcesOf(inMode({ cpu: '100m', memory: '64Mi/128Mi' }), spec);
    assert.deepEqual(own, {
      requests: { cpu: '100m', memory: '64Mi' },
      limits: { memory: '128Mi' },
    });
  });

  test(`${mode}: a pod whose containers are all Guaranteed stays so`, () => {
    for (const containers of [
      [web(same(BIG))],
      [web({ limits: BIG })],
      [web({ limits: BIG, requests: { cpu: '4000m', memory: '2048Mi' } })],
      [web({ limits: { cpu: '0.1', memory: '1Gi' }, requests: { cpu: '100m' } })],
      [web(same(BIG)), { name: 'side', resources: same({ cpu: '1', memory: '1G' }) }],
    ]) {
      const { own, warnings } = resourcesOf(inMode(), { containers });
      assert.deepEqual([own, warnings], [same({ cpu: '100m', memory: '128Mi' }), []]);
    }
  });
}

test('a pod with a container of another class is not Guaranteed', () => {
  for (const [containers, initContainers] of [
    [[web(same(BIG)), web()], []],
    [[web(same(BIG))], [{ name: 'first' }]],
    [[web(same(BIG))], [{ name: 'first', resources: same({ cpu: '1' }) }]],
    [[web({ limits: BIG, requests: { cpu: '1' } })], []],
    [[web(same({ memory: '1Gi' }))], []],
    [[web(same({ cpu: '1' }))], []],
    [[web({ requests: BIG })], []],
    [[web(same({ cpu: '0', memory: '0' }))], []],
    [[web(same({ cpu: 'x', memory: '1Gi' }))], []],
  ] as const) {
    assert.deepEqual(resourcesOf({}, { containers, initContainers }).own, DEFAULT);
  }
});

test('settings in a Guaranteed pod', () => {
  const spec = { containers: [web({ limits: BIG })] };
  const own = (annotations: Given, defaults: Given = {}): unknown =>
    resourcesOf(annotations, spec, { installation: parseInstallation({ defaults }) }).own;
  // One value of the pod is request and limit.
  assert.deepEqual(own({ cpu: '250m', memory: '96Mi' }), same({ cpu: '250m', memory: '96Mi' }));
  // Defaults that were made for other pods are raised.
  assert.deepEqual(own({}, { cpu: '10m/50m' }), same({ cpu: '100m', memory: '128Mi' }));
  assert.deepEqual(own({}, { cpu: '20m/1' }), same({ cpu: '1', memory: '128Mi' }));
  assert.deepEqual(own({}, { memory: '64Mi/256Mi' }), same({ cpu: '100m', memory: '256Mi' }));
});

test('an annotation that takes the class Guaranteed causes a warning', () => {
  const spec = { containers: [web({ limits: BIG })] };
  for (const annotations of [{ cpu: '10m/200m' }, { memory: '48Mi/128Mi' }]) {
    const { warnings } = resourcesOf(annotations, spec);
    const [name = ''] = Object.keys(annotations);
    assert.deepEqual(warnings.length, 1);
    assert.match(warnings.join(), new RegExp(`/${name}: the pod loses its QoS class Guaranteed`));
  }
});

test('a CPU limit that makes a start take seconds causes a warning', () => {
  const { warnings } = resourcesOf({ cpu: '10m/10m' }, {});
  assert.match(warnings.join(), /cpu: with a limit of 10m a start takes about 10 s/);
  assert.match(resourcesOf({ cpu: '0/0' }, {}).warnings.join(), /takes for ever/);
  for (const cpu of ['10m', '10m/100m', '1'])
    assert.deepEqual(resourcesOf({ cpu }, {}).warnings, []);
});

const LEVEL = { resources: same({ cpu: '200m', memory: '256Mi' }) };

for (const [name, annotations, spec, pattern] of [
  [
    'requests over those of the pod',
    { cpu: '50m' },
    { ...LEVEL, containers: [web({ requests: { cpu: '200m' } })] },
    /^cpu: .*request 250m, more than the 200m of spec\.resources: remove the annotation/,
  ],
  [
    'requests that default to limits',
    { cpu: '50m' },
    { ...LEVEL, containers: [web({ limits: { cpu: '0.16' } })] },
    /request 210m/,
  ],
  [
    'only limits of the pod',
    { cpu: '50m' },
    { resources: { limits: { cpu: '200m' } }, containers: [web({ requests: { cpu: '.2' } })] },
    /more than the 200m/,
  ],
  [
    'a limit over that of the pod',
    { memory: '16Mi/512Mi' },
    LEVEL,
    /^memory: the agent's limit of 512Mi is more than the limit of spec\.resources, 256Mi/,
  ],
  [
    'a sidecar before an init container',
    { memory: '100Mi' },
    {
      ...LEVEL,
      initContainers: [{ name: 'first', resources: { requests: { memory: '200Mi' } } }],
    },
    /request 300Mi/,
  ],
  [
    'an init container and a sidecar',
    { mode: 'pair', memory: '100Mi' },
    { ...LEVEL, containers: [web({ requests: { memory: '200Mi' } })] },
    /request 300Mi/,
  ],
] as const) {
  test(`denied with both settings: ${name}`, () => {
    const problems = problemsOf(injectPod(podWith(annotations, spec)));
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems.join(), pattern);
  });
}

test('init containers run one after another: the largest one counts', () => {
  const spec = {
    ...LEVEL,
    initContainers: [{ name: 'first', resources: { requests: { memory: '250Mi' } } }],
    containers: [web({ requests: { memory: '200Mi' } })],
  };
  for (const mode of ['init', 'pair']) {
    const annotations = { mode, memory: '50Mi' };
    assert.equal(injectPod(podWith(annotations, spec)).outcome, 'injected', mode);
  }
  assert.equal(injectPod(podWith({ memory: '50Mi' }, spec)).outcome, 'denied');
});

test('the overhead of a RuntimeClass changes nothing', () => {
  const spec = { ...LEVEL, overhead: { cpu: '250m', memory: '120Mi' } };
  assert.deepEqual(resourcesOf({}, spec).own, { requests: {}, limits: {} });
});

test('ephemeral storage is set only if requested', () => {
  const disk = 'ephemeral-storage';
  assert.deepEqual(resourcesOf({ [disk]: '10Mi/20Mi' }, {}).own, {
    requests: { ...DEFAULT.requests, [disk]: '10Mi' },
    limits: { ...DEFAULT.limits, [disk]: '20Mi' },
  });
  const installation = parseInstallation({ defaults: { [disk]: '32Mi' } });
  const { own } = resourcesOf({}, LEVEL, { installation });
  assert.deepEqual(own, same({ [disk]: '32Mi' }));
  const namespaceAnnotations = prefixed({ [disk]: '64Mi' });
  const ofNamespace = resourcesOf({}, {}, { installation, namespaceAnnotations }).own;
  assert.equal(ofNamespace.limits?.[disk], '64Mi');
});

test('a request over its own limit is denied', () => {
  for (const annotations of [
    { cpu: '2/1' },
    { memory: '1Gi/1G' },
    { 'ephemeral-storage': '2/1' },
  ]) {
    const problems = problemsOf(injectPod(podWith(annotations)));
    assert.equal(problems.length, 1);
    assert.match(problems.join(), /must not request more than its limit/);
  }
});

test('resources that are not well-formed are left to the API server', () => {
  for (const resources of [
    'x',
    [],
    { requests: 'x' },
    { limits: { cpu: {} } },
    { requests: null },
  ]) {
    assert.deepEqual(resourcesOf({}, { resources }).own, DEFAULT);
  }
});

test('the default memory grows with the volume', () => {
  for (const [size, limit] of [
    ['1Mi', '128Mi'],
    ['16Mi', '128Mi'],
    ['17Mi', '134Mi'],
    ['64Mi', '416Mi'],
    ['512Mi', '3104Mi'],
  ] as const) {
    const { own, warnings } = resourcesOf({ 'volume-size': size }, {});
    assert.deepEqual([own.limits?.['memory'], own.requests?.['memory']], [limit, '48Mi']);
    assert.deepEqual(warnings, []);
  }
  const spec = { containers: [web({ limits: BIG })] };
  const { own } = resourcesOf({ 'volume-size': '64Mi' }, spec);
  assert.deepEqual(own, same({ cpu: '100m', memory: '416Mi' }));
});

for (const [name, annotations, defaults, spec] of [
  ['of the pod', { 'volume-size': '512Mi', memory: '128Mi' }, {}, {}],
  ['of the pod, with a request', { 'volume-size': '64Mi', memory: '48Mi/415Mi' }, {}, {}],
  ['of the installation', { 'volume-size': '64Mi' }, { memory: '48Mi/128Mi' }, {}],
  ['by a size of the installation', { memory: '64Mi' }, { 'volume-size': '16Mi' }, {}],
  [
    'of a Guaranteed pod',
    { 'volume-size': '64Mi', memory: '96Mi' },
    {},
    { containers: [web(same(BIG))] },
  ],
] as const) {
  test(`a volume that the memory cannot fill is denied with both settings: ${name}`, () => {
    const installation = parseInstallation({ defaults });
    const problems = problemsOf(injectPod(podWith(annotations, { ...spec }), { installation }));
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(
      problems.join(),
      /^volume-size( of the installation)?: \d+Mi conflicts with vouchsafe\.dev\/memory: .* limit of \d+Mi/,
    );
  });
}

test('the memory of the pod as a whole has to hold the volume as well', () => {
  const spec = { resources: { limits: { memory: '256Mi' } } };
  assert.match(
    problemsOf(injectPod(podWith({ 'volume-size': '64Mi' }, spec))).join(),
    /^volume-size: 64Mi conflicts with spec\.resources\.limits\.memory of the pod: .*256Mi: .*at most 37Mi/,
  );
  assert.equal(injectPod(podWith({ 'volume-size': '37Mi' }, spec)).outcome, 'injected');
  const requests = { resources: { requests: { memory: '256Mi' } } };
  assert.equal(injectPod(podWith({ 'volume-size': '64Mi' }, requests)).outcome, 'injected');
});

test('a volume that is too small for any set, or has no limit, is denied', () => {
  for (const mode of ['native', 'pair', 'init']) {
    for (const size of ['0', '0Mi', '500m', '63Ki']) {
      assert.match(
        problemsOf(injectPod(podWith({ mode, 'volume-size': size }))).join('\n'),
        /^volume-size: \S+ is less than the minimum of 65536 bytes$/,
      );
    }
    assert.equal(injectPod(podWith({ mode, 'volume-size': '64Ki' })).outcome, 'injected');
  }
  const installation = parseInstallation({ defaults: { 'volume-size': '0' } });
  assert.match(
    problemsOf(injectPod(podWith({}), { installation })).join(),
    /^volume-size of the installation: 0 is less/,
  );
});

test('a memory limit in which no agent can run causes a warning', () => {
  for (const [memory, isWarned] of [
    ['10Mi', true],
    ['16Mi/31Mi', true],
    ['16Mi/32Mi', false],
    ['48Mi', false],
  ] as const) {
    const { outcome, warnings } = injectPod(podWith({ memory }));
    assert.equal(outcome, 'injected');
    assert.equal(/^vouchsafe\.dev\/memory: with a limit of \d+Mi /.test(warnings.join()), isWarned);
  }
});

test('enough memory, or no size that somebody set, does not conflict', () => {
  for (const annotations of [
    { 'volume-size': '64Mi', memory: '416Mi' },
    { 'volume-size': '64Mi', memory: '48Mi/1Gi' },
    { memory: '48Mi' },
    { memory: '16Mi/32Mi' },
  ]) {
    assert.equal(injectPod(podWith(annotations)).outcome, 'injected');
  }
});
