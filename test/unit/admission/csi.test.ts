import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planVolume, removeInjection, type Pod } from '../../../src/admission/index.ts';
import type { Annotations } from '../../../src/config/annotations/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import { containerOf, injectPod, podWith, prefixed, problemsOf, type Given } from './harness.ts';

const WITH_DRIVER = parseInstallation({ csi: { enabled: true } });
const BY_DEFAULT = parseInstallation({ csi: { enabled: true }, defaults: { mode: 'csi' } });

const csi = (annotations: Given = {}, spec: object = {}): Pod =>
  podWith({ mode: 'csi', ...annotations }, { ...spec });

const inCsi = (pod: Pod): ReturnType<typeof injectPod> =>
  injectPod(pod, { installation: WITH_DRIVER });

/** The `csi` volume of a pod. */
interface CsiSource {
  readonly driver: string;
  readonly readOnly: boolean;
  readonly volumeAttributes?: Annotations;
}

function csiOf(pod: Pod): CsiSource {
  const volume = pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-secrets');
  assert.ok(volume?.['csi'] !== undefined);
  return volume['csi'] as CsiSource; // the one that was made
}

test('csi: a read-only volume and mounts, and nothing else', () => {
  const pod = csi(
    { role: 'web', 'refresh-app': '1m' },
    { initContainers: [{ name: 'migrate' }], containers: [{ name: 'web' }, { name: 'log' }] },
  );
  const result = inCsi(pod);
  assert.deepEqual([result.outcome, result.reason], ['injected', 'requested']);
  assert.deepEqual(result.warnings, []);
  assert.deepEqual(csiOf(result.pod), {
    driver: 'csi.vouchsafe.dev',
    readOnly: true,
    volumeAttributes: { 'refresh-app': '1m', role: 'web', 'secret-app': 'kvv2/app' },
  });
  assert.equal(result.pod.spec.volumes?.length, 1);
  const mount = { name: 'vouchsafe-secrets', mountPath: '/vault/secrets', readOnly: true };
  assert.deepEqual(result.pod.spec.containers, [
    { name: 'web', volumeMounts: [mount] },
    { name: 'log', volumeMounts: [mount] },
  ]);
  assert.deepEqual(result.pod.spec.initContainers, [{ name: 'migrate' }]);
  assert.equal(result.pod.spec.securityContext, undefined);
});

test('the driver accepts what the webhook made, with the same outcome', () => {
  const namespaceAnnotations = prefixed({ role: 'shop', refresh: '1h' });
  const input = { installation: WITH_DRIVER, namespaceAnnotations, namespace: 'shop' };
  const { pod, agentConfig } = injectPod(csi({ 'file-mode': '0400' }), input);
  const plan = planVolume({
    ...input,
    attributes: csiOf(pod).volumeAttributes ?? {},
    pod: { namespace: 'shop', serviceAccount: 'default' },
    hasGroup: false,
    checkTemplate,
  });
  assert.equal(plan.kind, 'planned');
  assert.deepEqual(plan.document, agentConfig);
  assert.equal(plan.config.auth?.role, 'shop');
});

test('defaults of namespace and installation are left to the driver', () => {
  const installation = parseInstallation({ csi: { enabled: true }, defaults: { role: 'all' } });
  const namespaceAnnotations = prefixed({ audience: 'vault', 'x509-svid': 'false' });
  const { pod } = injectPod(csi(), { installation, namespaceAnnotations });
  assert.deepEqual(csiOf(pod).volumeAttributes, { 'secret-app': 'kvv2/app' });
});

test('files that only the namespace requests need no attributes', () => {
  const identity = { kind: 'delegated', socket: '/run/spire/admin/api.sock' };
  const installation = parseInstallation({ csi: { enabled: true, identity } });
  const pod: Pod = { metadata: {}, spec: { containers: [{ name: 'web' }] } };
  const namespaceAnnotations = prefixed({ inject: 'true', mode: 'csi', 'x509-svid': 'true' });
  const result = injectPod(pod, { installation, namespaceAnnotations });
  assert.deepEqual(csiOf(result.pod), { driver: 'csi.vouchsafe.dev', readOnly: true });
  const again = injectPod(result.pod, { installation, namespaceAnnotations });
  assert.equal(again.reason, 'already_injected');
  assert.deepEqual(removeInjection(result.pod, 'vouchsafe.dev'), pod);
});

test('the driver has the name of the installation', () => {
  const installation = parseInstallation({ csi: { enabled: true, driverName: 'csi.example.org' } });
  assert.equal(csiOf(injectPod(csi(), { installation }).pod).driver, 'csi.example.org');
});

test('containers, init containers and path of the mounts are those of the settings', () => {
  const initContainers = [
    { name: 'first' },
    { name: 'istio-proxy', restartPolicy: 'Always' },
    { name: 'last' },
  ];
  const containers = [{ name: 'web' }, { name: 'log' }];
  const annotations = { containers: 'web', 'init-containers': 'first', 'mount-path': '/secrets' };
  const { pod } = inCsi(csi(annotations, { initContainers, containers }));
  assert.equal(containerOf(pod, 'web').volumeMounts?.[0]?.mountPath, '/secrets');
  assert.equal(containerOf(pod, 'log').volumeMounts, undefined);
  // Before a mesh, too: the volume is there before the first container.
  assert.equal(containerOf(pod, 'first').volumeMounts?.length, 1);
  const all = inCsi(csi({ 'init-containers': 'all' }, { initContainers, containers })).pod;
  assert.deepEqual(
    all.spec.initContainers?.map(({ volumeMounts }) => volumeMounts?.length),
    [1, undefined, 1],
  );
});

test('a volume of the driver that was written by hand stays as it is', () => {
  const byHand = {
    name: 'mine',
    csi: { driver: 'csi.vouchsafe.dev', readOnly: true, volumeAttributes: { role: 'x' } },
  };
  const { pod } = inCsi(csi({}, { volumes: [byHand] }));
  assert.deepEqual(pod.spec.volumes?.[0], byHand);
  assert.deepEqual(removeInjection(pod, 'vouchsafe.dev').spec.volumes, [byHand]);
});

test('Azure SDKs find their file', () => {
  const identity = { kind: 'delegated', socket: '/run/spire/admin/api.sock' };
  const installation = parseInstallation({ csi: { enabled: true, identity } });
  const annotations = {
    'jwt-svid-azure': 'api://AzureADTokenExchange',
    'azure-client-id': 'c',
    'azure-tenant-id': 't',
  };
  const { pod } = injectPod(csi(annotations), { installation });
  const names = containerOf(pod, 'web').env?.map(({ name }) => name);
  assert.ok(names?.includes('AZURE_FEDERATED_TOKEN_FILE'));
  assert.deepEqual(Object.keys(csiOf(pod).volumeAttributes ?? {}), [
    'jwt-svid-azure',
    'secret-app',
  ]);
});

test('settings of an agent lead to a warning, and are not attributes', () => {
  const { pod, warnings } = inCsi(csi({ memory: '1Gi', port: '9000', 'on-missing-vault': 'fail' }));
  assert.equal(warnings.length, 3, warnings.join('\n'));
  assert.match(warnings.join('\n'), /memory has no effect in mode csi: no agent runs/);
  assert.match(
    warnings.join('\n'),
    /on-missing-vault has no effect in mode csi: the kubelet waits for/,
  );
  assert.deepEqual(csiOf(pod).volumeAttributes, { 'secret-app': 'kvv2/app' });
});

test('an on-change of the namespace leads to a warning', () => {
  const namespaceAnnotations = prefixed({ 'on-change': 'http:POST http://127.0.0.1:1/' });
  const result = injectPod(csi(), { installation: WITH_DRIVER, namespaceAnnotations });
  assert.equal(result.outcome, 'injected');
  assert.match(result.warnings.join(), /on-change of the namespace has no effect in mode csi/);
});

test('an unknown annotation leads to a warning, and is not an attribute', () => {
  const { pod, warnings } = inCsi(csi({ rol: 'web' }));
  assert.match(warnings.join(), /did you mean vouchsafe\.dev\/role\?/);
  assert.deepEqual(csiOf(pod).volumeAttributes, { 'secret-app': 'kvv2/app' });
});

/** Name -> annotations, spec, and the only problem. */
const DENIED: Readonly<Record<string, readonly [Given, object, RegExp]>> = {
  'a signal': [{ 'on-change': 'signal:HUP@web' }, {}, /^on-change: conflicts with .*mode csi/],
  'a template in a ConfigMap': [
    { 'template-from-b': 'map/key' },
    {},
    /^template-from-b: .*does not read ConfigMaps/,
  ],
  'an SVID if the driver uses tokens': [
    { 'x509-svid': 'true' },
    {},
    /^x509-svid: requires an SVID/,
  ],
  'an audience without a token': [{ audience: 'x' }, {}, /^audience: .*no service-account token/],
  'an unknown connection': [{ vault: 'prod' }, {}, /^vault: the connection "prod" does not exist/],
  'a volume that is too large': [{ 'volume-size': '1Gi' }, {}, /^volume-size: 1Gi is more than/],
  'an unknown container': [{ containers: 'api' }, {}, /^containers: there is no container "api"/],
  'a mount at the same path': [
    {},
    { containers: [{ name: 'web', volumeMounts: [{ name: 'd', mountPath: '/vault/secrets' }] }] },
    /^mount-path: container "web" mounts volume "d"/,
  ],
  'a reserved volume name': [
    {},
    { volumes: [{ name: 'vouchsafe-secrets', csi: { driver: 'csi.vouchsafe.dev' } }] },
    /^spec\.volumes: .*"vouchsafe-secrets"/,
  ],
  'a pod on Windows': [{}, { os: { name: 'windows' } }, /^spec\.os\.name: /],
};

for (const [name, [annotations, spec, pattern]] of Object.entries(DENIED)) {
  test(`denied in csi: ${name}`, () => {
    const pod = csi(annotations, spec);
    const result = inCsi(pod);
    assert.deepEqual([result.outcome, result.reason], ['denied', 'invalid']);
    assert.equal(result.pod, pod);
    const problems = problemsOf(result);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems.join(), pattern);
  });
}

test('denied in csi: every reason is reported at once', () => {
  const annotations = { 'on-change': 'restart@x', containers: 'api', vault: 'p', refresh: 'now' };
  const names = problemsOf(inCsi(csi(annotations))).map((problem) => problem.split(':', 1)[0]);
  assert.deepEqual(names.sort(), ['containers', 'on-change', 'refresh', 'vault']);
});

test('denied in csi: an installation without the driver', () => {
  const result = injectPod(csi());
  assert.match(result.message, /^vouchsafe\.dev\/mode: this installation has no CSI driver/);
});

test('forbidden in csi: what no policy allows', () => {
  const policies = [{ name: 'shop', namespaces: ['default'], roles: ['shop'] }];
  const installation = parseInstallation({ csi: { enabled: true }, vault: { policies } });
  const result = injectPod(csi({ role: 'bank' }), { installation });
  assert.deepEqual([result.outcome, result.reason], ['denied', 'forbidden']);
  assert.match(result.message, /policy "shop" does not allow this role$/);
});

test('by default: csi if the pod can have it', () => {
  const { pod, warnings } = injectPod(podWith(), { installation: BY_DEFAULT });
  assert.deepEqual(csiOf(pod).volumeAttributes, { 'secret-app': 'kvv2/app' });
  assert.deepEqual(warnings, []);
  const native = injectPod(podWith({ mode: 'native' }), { installation: BY_DEFAULT }).pod;
  assert.equal(native.spec.initContainers?.length, 1);
});

test('by default: a pod that cannot have csi gets an agent, and a warning with the reason', () => {
  const annotations = { 'on-change': 'http:POST http://127.0.0.1:8080/' };
  const { pod, warnings } = injectPod(podWith(annotations), { installation: BY_DEFAULT });
  assert.equal(pod.spec.initContainers?.[0]?.name, 'vouchsafe-agent');
  assert.deepEqual(warnings.length, 1);
  assert.match(
    warnings.join(),
    /^vouchsafe\.dev\/mode csi of the installation does not fit this pod: vouchsafe\.dev\/on-change: /,
  );
});

test('by default: a namespace with csi and no driver gets agents', () => {
  const namespaceAnnotations = prefixed({ mode: 'csi' });
  const { pod, warnings } = injectPod(podWith(), { namespaceAnnotations });
  assert.equal(pod.spec.initContainers?.[0]?.name, 'vouchsafe-agent');
  assert.match(warnings.join(), /mode csi of the namespace does not fit this pod: .*no CSI driver/);
});

test('by default: a problem of both modes is reported once', () => {
  const result = injectPod(podWith({ vault: 'prod' }), { installation: BY_DEFAULT });
  assert.equal(result.outcome, 'denied');
  assert.equal(problemsOf(result).length, 1);
  assert.deepEqual(result.warnings, []);
});

test('an attribute that was added later is removed', () => {
  const { pod } = inCsi(csi());
  const source = csiOf(pod);
  const volumeAttributes = { ...source.volumeAttributes, role: 'other' };
  const volumes = [{ name: 'vouchsafe-secrets', csi: { ...source, volumeAttributes } }];
  const again = inCsi({ ...pod, spec: { ...pod.spec, volumes } });
  assert.equal(again.outcome, 'injected');
  assert.deepEqual(csiOf(again.pod), source);
});

test('what the API server adds to the volume is kept', () => {
  const { pod } = inCsi(csi());
  const volumes = [{ name: 'vouchsafe-secrets', csi: { ...csiOf(pod), fsType: '' } }];
  assert.equal(inCsi({ ...pod, spec: { ...pod.spec, volumes } }).reason, 'already_injected');
});

test('a copied pod gets its volume, with a warning', () => {
  const { metadata } = inCsi(csi()).pod;
  const result = inCsi({ metadata, spec: { containers: [{ name: 'web' }] } });
  assert.equal(result.outcome, 'injected');
  assert.match(result.warnings.join(), /copied from a running pod/);
  assert.equal(csiOf(result.pod).driver, 'csi.vouchsafe.dev');
});

test('a pod with a changed mode has nothing of the other one', () => {
  const native = injectPod(podWith(), { installation: WITH_DRIVER }).pod;
  const annotations = { ...native.metadata.annotations, ...prefixed({ mode: 'csi' }) };
  const { pod } = inCsi({ ...native, metadata: { ...native.metadata, annotations } });
  assert.deepEqual(
    [pod.spec.initContainers, pod.spec.volumes?.map(({ name }) => name)],
    [undefined, ['vouchsafe-secrets']],
  );
  assert.equal(csiOf(pod).readOnly, true);
});
