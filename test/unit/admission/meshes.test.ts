import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { readPod, removeInjection, type Pod } from '../../../src/admission/index.ts';
import { hasPort, withPort } from '../../../src/admission/port-list.ts';
import { containerOf, injectPod, podWith, prefixed, type Given } from './harness.ts';

const ISTIO = 'traffic.sidecar.istio.io/excludeInboundPorts';
const LINKERD = 'config.linkerd.io/skip-inbound-ports';
const KUMA = 'traffic.kuma.io/exclude-inbound-ports';
const CONSUL = 'consul.hashicorp.com/transparent-proxy-exclude-inbound-ports';

/** A pod with additional annotations under their full names, and labels. */
function meshed(
  spec: Readonly<Record<string, unknown>>,
  more: { readonly annotations?: Given; readonly labels?: Given; readonly settings?: Given } = {},
): Pod {
  const pod = podWith(more.settings, spec);
  const annotations = { ...pod.metadata.annotations, ...more.annotations };
  return readPod({ ...pod, metadata: { ...pod.metadata, annotations, labels: more.labels ?? {} } });
}

const withProxy = (name: string): Readonly<Record<string, unknown>> => ({
  containers: [{ name: 'web' }, { name }],
});

const ISTIO_INIT = {
  name: 'istio-init',
  args: ['istio-iptables', '-p', '15001', '-i', '*', '-b', '*', '-d', '15090,15021', '--log'],
};
const LINKERD_INIT = {
  name: 'linkerd-init',
  args: ['--proxy-uid', '2102', '--inbound-ports-to-ignore', '4190,4191,4567-4568'],
};

const namesOf = ({ spec }: Pod): string[] => (spec.initContainers ?? []).map(({ name }) => name);

for (const [proxy, annotation, ports] of [
  ['istio-proxy', ISTIO, '9102'],
  ['linkerd-proxy', LINKERD, '4567,4568,9102'],
  ['kuma-sidecar', KUMA, '9102'],
  ['consul-dataplane', CONSUL, '9102'],
] as const) {
  test(`${proxy}: the agent's port is excluded by the mesh's annotation, which goes with the injection`, () => {
    for (const spec of [
      withProxy(proxy),
      { initContainers: [{ name: proxy, restartPolicy: 'Always' }] },
    ]) {
      const original = meshed(spec);
      const { pod, warnings } = injectPod(original);
      assert.equal(pod.metadata.annotations?.[annotation], ports);
      assert.deepEqual(warnings, []);
      assert.equal(injectPod(pod).reason, 'already_injected');
      assert.deepEqual(removeInjection(pod, 'vouchsafe.dev'), original);
    }
  });

  test(`${proxy}: ports of the pod are kept, and restored`, () => {
    for (const [given, expected] of [
      ['80', '80,9102'],
      [' 80 , 443 ', ' 80 , 443,9102'],
      ['80,', '80,9102'],
      ['1000-2000', '1000-2000,9102'],
      ['', '9102'],
      [' ', '9102'],
      ['9102', '9102'],
      ['80, 9102 ,81', '80, 9102 ,81'],
      ['9000-9200', '9000-9200'],
      ['90-91020,19102', '90-91020,19102'],
      ['http', 'http,9102'],
      ['9200-9000', '9200-9000,9102'],
    ]) {
      const original = meshed(withProxy(proxy), { annotations: { [annotation]: given ?? '' } });
      const { pod } = injectPod(original);
      assert.equal(pod.metadata.annotations?.[annotation], expected, String(given));
      assert.deepEqual(removeInjection(pod, 'vouchsafe.dev'), original);
    }
  });
}

for (const [what, more, annotation] of [
  ['a label of Istio', { labels: { 'sidecar.istio.io/inject': 'true' } }, ISTIO],
  ['a revision of Istio', { labels: { 'istio.io/rev': 'stable' } }, ISTIO],
  ['an annotation of Istio', { annotations: { 'sidecar.istio.io/inject': 'true' } }, ISTIO],
  ['an annotation of Linkerd', { annotations: { 'linkerd.io/inject': 'enabled' } }, LINKERD],
  ['a label of Kuma', { labels: { 'kuma.io/sidecar-injection': 'enabled' } }, KUMA],
  [
    'an annotation of Consul',
    { annotations: { 'consul.hashicorp.com/connect-inject': 'true' } },
    CONSUL,
  ],
] as const) {
  test(`${what} requests a proxy that may be added later: the port is excluded`, () => {
    const { pod } = injectPod(meshed({}, more));
    assert.match(pod.metadata.annotations?.[annotation] ?? '', /\b9102$/);
  });
}

for (const [what, spec, more] of [
  ['no mesh', {}, {}],
  ['a refusal of a mesh', {}, { labels: { 'sidecar.istio.io/inject': 'false' } }],
  [
    'a refusal of a mesh with a revision',
    {},
    { labels: { 'sidecar.istio.io/inject': 'false', 'istio.io/rev': 'stable' } },
  ],
  [
    'a refusal by annotation with a revision',
    {},
    {
      labels: { 'istio.io/rev': 'stable' },
      annotations: { 'sidecar.istio.io/inject': 'false' },
    },
  ],
  ['a label that is not a text', {}, { labels: { 'sidecar.istio.io/inject': true } as never }],
  ['mode init', withProxy('istio-proxy'), { settings: { mode: 'init' } }],
  ['the host network', { ...withProxy('istio-proxy'), hostNetwork: true }, {}],
  ['a container with a similar name', withProxy('istio-proxy-2'), {}],
] as const) {
  test(`${what}: nothing is excluded`, () => {
    const { pod, outcome } = injectPod(meshed(spec, more));
    assert.equal(outcome, 'injected');
    const names = Object.keys(pod.metadata.annotations ?? {});
    assert.deepEqual(
      names.filter((name) => [ISTIO, LINKERD, KUMA, CONSUL].includes(name)),
      [],
    );
  });
}

test('the annotation has the port of the agent, and follows it', () => {
  const first = injectPod(meshed(withProxy('istio-proxy'), { settings: { port: '9200' } })).pod;
  assert.equal(first.metadata.annotations?.[ISTIO], '9200');
  const annotations = { ...first.metadata.annotations, ...prefixed({ port: '9300' }) };
  const second = injectPod({ ...first, metadata: { ...first.metadata, annotations } });
  assert.equal(second.pod.metadata.annotations?.[ISTIO], '9300');
});

test("Linkerd: the namespace's request and ports apply to a pod without its own", () => {
  const namespaceAnnotations = { 'linkerd.io/inject': 'enabled', [LINKERD]: '25,3306' };
  const added = injectPod(meshed({}), { namespaceAnnotations }).pod;
  assert.equal(added.metadata.annotations?.[LINKERD], '25,3306,9102');
  const own = meshed({}, { annotations: { [LINKERD]: '80' } });
  assert.equal(
    injectPod(own, { namespaceAnnotations }).pod.metadata.annotations?.[LINKERD],
    '80,9102',
  );
  const sufficient = { ...namespaceAnnotations, [LINKERD]: '9000-9999' };
  const { pod } = injectPod(meshed({}), { namespaceAnnotations: sufficient });
  assert.equal(pod.metadata.annotations?.[LINKERD], undefined);
});

for (const [init, flag, expected] of [
  [ISTIO_INIT, '-d', '15090,15021,9102'],
  [LINKERD_INIT, '--inbound-ports-to-ignore', '4190,4191,4567-4568,9102'],
] as const) {
  test(`${init.name}: the mesh has injected already, so its init container gets the port`, () => {
    const original = meshed({ initContainers: [init, { name: 'other', args: init.args }] });
    const { pod, warnings } = injectPod(original);
    const args = containerOf(pod, init.name)['args'];
    assert.ok(Array.isArray(args));
    assert.equal(args[args.indexOf(flag) + 1], expected);
    assert.equal(args.length, init.args.length);
    assert.deepEqual(containerOf(pod, 'other')['args'], init.args);
    assert.ok(!warnings.some((one) => one.includes('injected before')));
    assert.equal(injectPod(pod).reason, 'already_injected');
    assert.deepEqual(removeInjection(pod, 'vouchsafe.dev'), original);
  });
}

for (const args of [undefined, null, [], ['-d'], ['-d', 15], 'text', ['-p', '15001']]) {
  test(`istio-init with arguments ${JSON.stringify(args)} stays as it is, with a warning`, () => {
    const init = { name: 'istio-init', ...(args !== undefined && { args }) };
    const original = meshed({ initContainers: [init] }, { settings: { 'start-gate': 'probe' } });
    const { pod, warnings } = injectPod(original);
    assert.deepEqual(containerOf(pod, 'istio-init'), init);
    assert.ok(warnings.some((one) => one.includes(`set ${ISTIO}: "9102" in the pod template`)));
    const hook = { settings: { 'start-gate': 'hook' } };
    const hooked = injectPod(meshed({ initContainers: [init] }, hook)).warnings;
    assert.ok(!hooked.some((one) => one.includes('startup probe')), 'a hook needs no port');
    assert.deepEqual(removeInjection(pod, 'vouchsafe.dev'), original);
  });
}

test('a list that is longer than any list of ports stays as it is', () => {
  const list = '80,'.repeat(2000);
  const init = { name: 'istio-init', args: ['-d', list] };
  const original = meshed({ initContainers: [init] }, { annotations: { [ISTIO]: list } });
  const { pod } = injectPod(original);
  assert.equal(pod.metadata.annotations?.[ISTIO], list);
  assert.deepEqual(containerOf(pod, 'istio-init'), init);
  assert.deepEqual(removeInjection(pod, 'vouchsafe.dev'), original);
});

test('a mesh that injects again with the annotation, and changes of others after the injection, are kept', () => {
  const first = injectPod(meshed({ initContainers: [ISTIO_INIT] })).pod;
  const args = ISTIO_INIT.args.map((one) => (one === '15090,15021' ? '15090,9102,15021' : one));
  const initContainers = first.spec.initContainers?.map((one) =>
    one.name === 'istio-init' ? { ...one, args } : one,
  );
  const annotations = { ...first.metadata.annotations, [ISTIO]: '9102,80' };
  const changed = readPod({
    ...first,
    metadata: { ...first.metadata, annotations },
    spec: { ...first.spec, initContainers },
  });
  const { pod } = injectPod(changed);
  assert.deepEqual(containerOf(pod, 'istio-init')['args'], args);
  assert.equal(pod.metadata.annotations?.[ISTIO], '9102,80');
  assert.equal(injectPod(pod).reason, 'already_injected');
});

test('a record that was edited restores only the annotations and arguments of meshes', () => {
  const was = { was: 'planted', now: 'x' };
  const injected = JSON.stringify({ annotations: { team: was }, args: { web: was, first: was } });
  const settings = { status: 'injected', injected };
  const spec = { initContainers: [{ name: 'first', args: ['-d', 'x'] }] };
  const pod = meshed(spec, { settings, annotations: { team: 'x' } });
  const removed = removeInjection(pod, 'vouchsafe.dev');
  assert.equal(removed.metadata.annotations?.['team'], 'x');
  assert.deepEqual(removed.spec.initContainers, spec.initContainers);
});

const native = (name: string): object => ({ name, restartPolicy: 'Always' });
const named = (...names: string[]): object[] => names.map((name) => ({ name }));

for (const [what, settings, initContainers, expected] of [
  ['istio-init', {}, named('istio-init'), 'istio-init agent'],
  ['linkerd-init', {}, named('linkerd-init', 'migrate'), 'linkerd-init agent migrate'],
  ['kuma-init', {}, named('migrate', 'kuma-init'), 'migrate kuma-init agent'],
  ['istio-validation', {}, named('istio-validation', 'a'), 'istio-validation agent a'],
  ['consul', {}, named('consul-connect-inject-init'), 'consul-connect-inject-init agent'],
  [
    'a native proxy',
    {},
    [...named('linkerd-init'), native('linkerd-proxy'), ...named('a')],
    'linkerd-init linkerd-proxy agent a',
  ],
  [
    'an init container that sees the files before a mesh without a proxy',
    { 'init-containers': 'migrate' },
    named('istio-validation', 'migrate', 'istio-init'),
    'istio-validation agent migrate istio-init',
  ],
  [
    'all init containers see the files',
    { 'init-containers': 'all' },
    named('migrate', 'istio-init'),
    'agent migrate istio-init',
  ],
  [
    'one after the mesh sees the files',
    { 'init-containers': 'b' },
    named('a', 'istio-init', 'b'),
    'a istio-init agent b',
  ],
  ['init-first', { 'init-first': 'true' }, named('a', 'istio-init'), 'agent a istio-init'],
  [
    'init-first and a native proxy',
    { 'init-first': 'true' },
    [...named('istio-init'), native('istio-proxy')],
    'agent istio-init istio-proxy',
  ],
] as const) {
  test(`the place of the agent: ${what}`, () => {
    const original = meshed({ initContainers }, { settings });
    for (const mode of ['native', 'pair', 'init']) {
      const { pod, problems } = injectPod(
        meshed({ initContainers }, { settings: { ...settings, mode } }),
      );
      assert.deepEqual(problems, []);
      const names = namesOf(pod).map((one) => one.replace(/^vouchsafe-(agent|init)$/, 'agent'));
      assert.equal(names.join(' '), expected);
    }
    assert.deepEqual(removeInjection(injectPod(original).pod, 'vouchsafe.dev'), original);
  });
}

test('a redirection without its proxy is a warning that names what helps', () => {
  const warningsOf = (spec: object, more = {}): string[] =>
    injectPod(meshed({ ...spec }, more)).warnings.filter((one) => one.includes('starts after it'));
  const init = { initContainers: [ISTIO_INIT], ...withProxy('istio-proxy') };
  const [warning = ''] = warningsOf(init);
  assert.match(warning, /^istio-init: Istio .*native sidecar.*init-first.*excludeOutboundPorts/);
  assert.ok(warning.length <= 256, String(warning.length));
  const byPlugIn = warningsOf({ initContainers: [{ name: 'linkerd-network-validator' }] });
  assert.match(
    byPlugIn.join(),
    /^linkerd-network-validator: (?!.*init-first)/,
    'order does not help',
  );
  for (const [spec, more] of [
    [{ initContainers: [ISTIO_INIT, native('istio-proxy')] }, {}],
    [init, { settings: { 'init-first': 'true' } }],
    [init, { annotations: { 'traffic.sidecar.istio.io/excludeOutboundPorts': '8200' } }],
    [{ initContainers: named('migrate') }, {}],
  ] as const) {
    assert.deepEqual(warningsOf(spec, more), []);
  }
});

const ADDED = ['istio-proxy', 'linkerd-proxy', 'kuma-sidecar', 'consul-dataplane', 'queue-proxy'];
const SETUPS = ['istio-init', 'istio-validation', 'linkerd-init', 'kuma-init', 'vault-agent-init'];

test('containers that platforms add do not see the files by default, and do if they are named', () => {
  const containers = [{ name: 'web' }, ...named(...ADDED, 'vault-agent')];
  const { pod } = injectPod(meshed({ containers }));
  assert.equal(containerOf(pod, 'web').volumeMounts?.length, 1);
  for (const name of [...ADDED, 'vault-agent']) {
    assert.equal(containerOf(pod, name).volumeMounts, undefined, name);
    const chosen = injectPod(meshed({ containers }, { settings: { containers: name } })).pod;
    assert.equal(containerOf(chosen, name).volumeMounts?.length, 1, name);
    assert.equal(containerOf(chosen, 'web').volumeMounts, undefined);
  }
});

test('a pod in which no container sees the files causes a warning', () => {
  const csi = parseInstallation({
    csi: { enabled: true, identity: { kind: 'service-account' } },
  });
  for (const mode of ['native', 'pair', 'init', 'csi']) {
    const warningsOf = (containers: readonly object[], settings: Given = {}): string => {
      const pod = meshed({ containers }, { settings: { mode, ...settings } });
      const { outcome, warnings } = injectPod(pod, { installation: csi });
      assert.equal(outcome, 'injected');
      return warnings.filter((one) => one.includes('no container sees')).join();
    };
    assert.match(
      warningsOf(named('istio-proxy')),
      /^vouchsafe\.dev\/containers: no container sees the files: .* "istio-proxy"/,
    );
    assert.equal(warningsOf(named('istio-proxy'), { containers: 'istio-proxy' }), '');
    assert.equal(warningsOf(named('web', 'istio-proxy')), '');
  }
});

test('init containers that platforms add do not see the files with init-containers: all', () => {
  for (const name of SETUPS) {
    const initContainers = named('first', name, 'last');
    const { pod } = injectPod(
      meshed({ initContainers }, { settings: { 'init-containers': 'all' } }),
    );
    assert.equal(containerOf(pod, name).volumeMounts, undefined, name);
    assert.equal(containerOf(pod, 'first').volumeMounts?.length, 1);
    assert.equal(containerOf(pod, 'last').volumeMounts?.length, 1);
    const asked = { settings: { 'init-containers': name, 'init-first': 'true' } };
    const chosen = injectPod(meshed({ initContainers }, asked)).pod;
    assert.equal(containerOf(chosen, name).volumeMounts?.length, 1, name);
  }
});

for (const [what, spec, more, sees] of [
  ['beside main', { containers: named('main', 'wait') }, {}, false],
  [
    'with a label of Argo',
    { containers: named('step', 'wait') },
    { labels: { 'workflows.argoproj.io/workflow': 'w' } },
    false,
  ],
  [
    'with an annotation of Argo',
    { containers: named('step', 'wait') },
    { annotations: { 'workflows.argoproj.io/node-name': 'n' } },
    false,
  ],
  ["in a pod that is not Argo's", { containers: named('web', 'wait') }, {}, true],
] as const) {
  test(`the container wait ${what} ${sees ? 'sees' : 'does not see'} the files`, () => {
    const initContainers = named('init');
    const settings = { 'init-containers': 'all' };
    const { pod } = injectPod(meshed({ ...spec, initContainers }, { ...more, settings }));
    assert.equal(containerOf(pod, 'wait').volumeMounts?.length, sees ? 1 : undefined);
    assert.equal(containerOf(pod, 'init').volumeMounts?.length, sees ? 1 : undefined);
  });
}

test('a port that is added to a list is in it, once, and nothing else is lost', () => {
  const item = fc.oneof(
    fc.nat(70_000).map(String),
    fc.tuple(fc.nat(70_000), fc.nat(70_000)).map(([a, b]) => `${a}-${b}`),
    fc.constantFrom('', ' ', '*', '-', 'http', ' 9102 ', '9102'),
  );
  const list = fc.array(item, { maxLength: 5 }).map((items) => items.join(','));
  fc.assert(
    fc.property(list, fc.integer({ min: 1, max: 65_535 }), (text, port) => {
      const added = withPort(text, port);
      assert.ok(hasPort(added, port));
      const before = text.split(',').filter((one) => one.trim() !== '');
      const after = added.split(',').filter((one) => one.trim() !== '');
      const trimmed = (items: string[]): string[] => items.map((one) => one.trim());
      assert.deepEqual(trimmed(after), [...trimmed(before), String(port)]);
    }),
  );
});
