import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planVolume, type PlannedVolume, type VolumeInput } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import type { VolumeRefusal } from '../../../src/contracts/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import { prefixed, type Given } from './harness.ts';

const SPIFFE = {
  csi: {
    identity: {
      kind: 'broker',
      socket: '/run/spire/broker/api.sock',
      agentIds: ['spiffe://example.org/spire/agent/x'],
    },
  },
};

/** Values of the installation, and other deviations from the defaults. */
interface Unusual extends Partial<Omit<VolumeInput, 'installation'>> {
  readonly values?: object;
}

function plan(attributes: Given, unusual: Unusual = {}): PlannedVolume | VolumeRefusal {
  const { values = {}, ...input } = unusual;
  return planVolume({
    attributes,
    installation: parseInstallation(values),
    pod: { namespace: 'shop', serviceAccount: 'web' },
    hasGroup: false,
    checkTemplate,
    ...input,
  });
}

function planned(attributes: Given, unusual: Unusual = {}): PlannedVolume {
  const result = plan(attributes, unusual);
  if (result.kind === 'planned') return result;
  throw new Error(result.problems.map(({ path, message }) => `${path}: ${message}`).join('\n'));
}

function problemsOf(attributes: Given, unusual: Unusual = {}): string[] {
  const result = plan(attributes, unusual);
  assert.equal(result.kind, 'refused');
  return result.problems.map(({ path, message }) =>
    `${path}: ${message}`.replace(/^vouchsafe\.dev\//, ''),
  );
}

const APP = { role: 'web', 'secret-app': 'kvv2/app' };

test("the kubelet's token logs in by jwt, and the plan has its audience", () => {
  const { config, tokenAudience, sizeBytes, warnings } = planned(APP);
  assert.equal(tokenAudience, 'vault');
  assert.equal(config.auth?.method, 'jwt');
  assert.equal(config.auth.role, 'web');
  assert.ok(config.auth.tokenFile !== undefined);
  assert.equal(config.spiffe, undefined);
  assert.equal(sizeBytes, 8 * 1024 * 1024);
  assert.deepEqual(warnings, []);
});

test('a secret of a volume may be optional', () => {
  const secretOf = (attributes: Given): unknown => {
    const [file] = planned({ ...APP, ...attributes }).config.files;
    return file !== undefined && 'secret' in file.source ? file.source.secret : undefined;
  };
  assert.deepEqual(secretOf({ 'optional-app': 'true' }), { path: 'kvv2/app', optional: true });
  assert.deepEqual(secretOf({ 'optional-app': 'false' }), { path: 'kvv2/app' });
  assert.match(
    problemsOf({ ...APP, 'optional-app': '1' }).join(),
    /^optional-app: must be true or false/,
  );
});

test('the document has nothing of an agent in a pod', () => {
  const namespaceAnnotations = prefixed({
    'on-change': 'http:POST http://127.0.0.1:1/',
    'log-level': 'debug',
    'on-missing-vault': 'wait',
    port: '9999',
  });
  const { config } = planned(APP, { namespaceAnnotations });
  assert.deepEqual(config.onChange, []);
  assert.equal(config.listen, undefined);
  assert.equal(config.stateDirectory, undefined);
  assert.equal(config.terminationLog, undefined);
  assert.equal(config.logLevel, 'info');
});

test('kubernetes auth uses a token for the audience of the settings', () => {
  const attributes = { ...APP, 'auth-method': 'kubernetes', audience: 'vault' };
  const { config, tokenAudience } = planned(attributes);
  assert.equal(config.auth?.method, 'kubernetes');
  assert.equal(tokenAudience, 'vault');
});

test("kubernetes auth without an audience uses the API server's own, if the kubelet passes such tokens", () => {
  const attributes = { ...APP, 'auth-method': 'kubernetes' };
  const values = { csi: { tokenAudiences: ['vault', ''] } };
  assert.equal(planned(attributes, { values }).tokenAudience, '');
  assert.deepEqual(problemsOf(attributes), [
    'audience: the CSI driver gets no service-account token for audience "" (csi.tokenAudiences)',
  ]);
});

test('with the Broker API an SVID logs in, and SVIDs are files', () => {
  const attributes = {
    ...APP,
    'x509-svid': 'true',
    'jwt-svid-azure': 'api://x',
    'spiffe-id': 'spiffe://example.org/web',
  };
  const { config, tokenAudience } = planned(attributes, { values: SPIFFE });
  assert.equal(tokenAudience, undefined);
  assert.equal(config.auth?.tokenFile, undefined);
  assert.deepEqual(config.spiffe, {
    socket: 'unix:///run/spire/broker/api.sock',
    spiffeId: 'spiffe://example.org/web',
    hint: undefined,
  });
  assert.deepEqual(
    config.files.map(({ name }) => name),
    ['app', 'azure', 'svid', 'svid_key', 'bundle'],
  );
});

test('with the Broker API a token logs in if the pod sets it', () => {
  const { config, tokenAudience } = planned(
    { ...APP, identity: 'service-account' },
    { values: SPIFFE },
  );
  assert.equal(tokenAudience, 'vault');
  assert.equal(config.spiffe, undefined);
});

test('volume takes precedence over namespace and installation', () => {
  const values = { defaults: { role: 'installation', refresh: '1h', 'file-mode': '0400' } };
  const namespaceAnnotations = prefixed({ role: 'namespace', refresh: '2h', mode: 'init' });
  const { config } = planned(APP, { values, namespaceAnnotations });
  assert.equal(config.auth?.role, 'web');
  assert.equal(config.files[0]?.refreshMs, 7_200_000);
  assert.equal(config.files[0].mode, 0o400);
});

test('files are readable for the fsGroup if the pod has one, else for all', () => {
  assert.equal(planned(APP, { hasGroup: true }).config.files[0]?.mode, 0o440);
  assert.equal(planned(APP).config.files[0]?.mode, 0o444);
  const attributes = { ...APP, 'file-mode-app': '0400' };
  assert.equal(planned(attributes, { hasGroup: true }).config.files[0]?.mode, 0o400);
});

test('the size is that of the attribute, up to the maximum', () => {
  assert.equal(planned({ ...APP, 'volume-size': '1.5Mi' }).sizeBytes, 1_572_864);
  const values = { csi: { maxVolumeSize: '8Mi' } };
  assert.equal(planned(APP, { values }).sizeBytes, 8 * 1024 * 1024);
});

test('the memory limit of a rendering is that of the driver, not that of agents', () => {
  assert.equal(planned(APP).config.maxRenderBytes, 8 * 1024 * 1024);
  const values = { agent: { maxRenderBytes: '64Mi' }, csi: { maxRenderBytes: '2Mi' } };
  assert.equal(planned(APP, { values }).config.maxRenderBytes, 2 * 1024 * 1024);
});

/** Name -> attributes besides the usual ones, and the only problem. */
const REFUSED: Readonly<Record<string, readonly [Given, RegExp]>> = {
  'an unknown name': [{ rol: 'web' }, /^rol: is not known; did you mean vouchsafe\.dev\/role\?/],
  'an unknown name for a file': [{ 'tempalte-app': 'x' }, /did you mean .*\/template-app\?/],
  'an attribute of the kubelet that was not removed': [
    { 'csi.storage.k8s.io/pod.name': 'x' },
    /^csi\.storage\.k8s\.io\/pod\.name: is not known/,
  ],
  'another mode': [{ mode: 'native' }, /^mode: conflicts with the CSI volume/],
  'a signal': [
    { 'on-change': 'signal:HUP@web' },
    /^on-change: conflicts with .*mode csi: no agent/,
  ],
  'an HTTP call for one file': [
    { 'on-change-app': 'http:POST http://127.0.0.1:1/' },
    /^on-change-app: conflicts with .*mode csi/,
  ],
  'a template in a ConfigMap': [
    { 'template-from-app': 'map/key' },
    /^template-from-app: conflicts with .*does not read ConfigMaps; set template-app/,
  ],
  'an environment variable': [
    { 'env-PASSWORD': 'kvv2/app#p' },
    /^env-PASSWORD: conflicts with vouchsafe\.dev\/mode csi: the kubelet reads variables/,
  ],
  'a setting of the containers': [{ containers: 'web' }, /^containers: is not an attribute of/],
  'a setting of the mounts': [{ 'mount-path': '/x' }, /^mount-path: .*set mountPath/],
  'a setting of the agent': [{ memory: '1Gi' }, /^memory: .*no agent runs in the pod/],
  'a deadline without effect': [{ 'init-deadline': '1m' }, /^init-deadline: .*without a limit/],
  'an annotation of the webhook': [
    { status: 'injected' },
    /^status: is not an attribute of a volume/,
  ],
  'inject: false': [{ inject: 'false' }, /^inject: /],
  'an unknown connection': [{ vault: 'prod' }, /^vault: the connection "prod" does not exist/],
  'an audience without a token': [
    { audience: 'other' },
    /^audience: .*no service-account token for audience "other" \(csi/,
  ],
  'an X.509-SVID without a source': [{ 'x509-svid': 'true' }, /^x509-svid: requires an SVID, but/],
  'a JWT-SVID without a source': [{ 'jwt-svid-a': 'x' }, /^jwt-svid-a: requires an SVID, but/],
  'a template that needs an SVID without a source': [
    { 'template-b': '{{spiffeId}}' },
    /^template-b: requires an SVID, but/,
  ],
  'an auth method that needs an SVID without a source': [
    { 'auth-method': 'cert' },
    /^auth-method: requires an SVID, but/,
  ],
  'an identity without a source': [{ identity: 'spiffe' }, /^identity: requires an SVID, but/],
  'a template that cannot be parsed': [{ 'template-app': '{{#if x}}' }, /^template-app: app:1:/],
  'a volume without a limit': [
    { 'volume-size': '0' },
    /^volume-size: 0 is less than the minimum of 65536/,
  ],
  'a volume that is too large': [
    { 'volume-size': '1Gi' },
    /^volume-size: 1Gi is more than the maximum of 8388608/,
  ],
  'a document that is too large': [
    { 'template-app': 'x'.repeat(120_000) },
    /^template-app: .*maximum is 102400: make the templates shorter/,
  ],
};

for (const [name, [attributes, pattern]] of Object.entries(REFUSED)) {
  test(`rejected: ${name}`, () => {
    const problems = problemsOf({ ...APP, ...attributes });
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems.join(), pattern);
  });
}

test('rejected: nothing to deliver', () => {
  assert.match(problemsOf({ role: 'web' }).join(), /nothing to deliver/);
});

test('rejected: a connection whose CA is in a ConfigMap', () => {
  const connection = { address: 'https://v', caConfigMap: { name: 'trust', key: 'ca.crt' } };
  const values = { vault: { connections: { main: connection } } };
  assert.match(
    problemsOf(APP, { values }).join(),
    /^vault: the CA of connection "main" is in a Con/,
  );
});

test('rejected: an address, with which the driver would bypass network policies', () => {
  const values = { vault: { allowPodAddress: true } };
  const address = 'https://10.0.0.1:6443';
  const message = /^vault: an address is supported only for an agent/;
  assert.match(problemsOf({ ...APP, vault: address }, { values }).join(), message);
  const namespaceAnnotations = prefixed({ vault: address });
  assert.match(problemsOf(APP, { values, namespaceAnnotations }).join(), message);
  const ofInstallation = { ...values, defaults: { vault: address } };
  assert.equal(planned(APP, { values: ofInstallation }).config.vault?.address, address);
});

test('rejected: more audiences than a document can have', () => {
  const audiences = (count: number): Given => ({
    'jwt-svid-x': Array.from({ length: count }, (_, index) => `a${index}`).join(),
  });
  assert.equal(planned(audiences(16), { values: SPIFFE }).config.files.length, 1);
  assert.deepEqual(problemsOf(audiences(17), { values: SPIFFE }), [
    'jwt-svid-x: must have at most 16 items',
  ]);
});

test('rejected: more files than a document can have', () => {
  const files = Array.from({ length: 257 }, (_, index) => [`secret-f${index}`, 'kvv2/app']);
  const problems = problemsOf(Object.fromEntries(files) as Given); // pairs of texts
  assert.match(problems.join(), /257 files are requested; the maximum is 256/);
});

test('rejected: what no policy allows the service account, with the name of the policy', () => {
  const values = {
    vault: {
      policies: [
        { name: 'shop', namespaces: ['shop'], serviceAccounts: ['web'], roles: ['web'] },
        { name: 'bank', namespaces: ['bank'], roles: ['*'] },
      ],
    },
  };
  assert.equal(plan(APP, { values }).kind, 'planned');
  const wrongRole = plan({ ...APP, role: 'bank' }, { values });
  assert.ok(wrongRole.kind === 'refused' && wrongRole.isForbidden);
  assert.match(wrongRole.problems[0]?.message ?? '', /policy "shop" does not allow this role$/);
  const other = plan(APP, { values, pod: { namespace: 'shop', serviceAccount: 'other' } });
  assert.ok(other.kind === 'refused' && other.isForbidden);
  assert.match(other.problems[0]?.message ?? '', /no policy applies to service account other/);
});

test('every reason is reported at once', () => {
  const problems = problemsOf({
    ...APP,
    rol: 'x',
    vault: 'prod',
    containers: 'web',
    'on-change': 'restart@web',
    'volume-size': '1Gi',
  });
  const names = problems.map((problem) => problem.split(':', 1)[0]);
  assert.deepEqual(names.sort(), ['containers', 'on-change', 'rol', 'vault', 'volume-size']);
});

test('unknown annotations of the namespace are a warning, and reject nothing', () => {
  const { warnings } = planned(APP, { namespaceAnnotations: prefixed({ rol: 'x' }) });
  assert.match(warnings.join('\n'), /on the namespace: unknown annotation vouchsafe\.dev\/rol/);
});

test('rejected: a refresh of the pod below the minimum of the driver', () => {
  const limit = 'is less than the minimum of this installation, 10s (csi.minRefresh)';
  assert.deepEqual(problemsOf({ ...APP, refresh: '9s' }), [`refresh: 9s ${limit}`]);
  assert.deepEqual(problemsOf({ ...APP, 'refresh-app': '1s' }), [`refresh-app: 1s ${limit}`]);
  assert.equal(planned({ ...APP, refresh: '10s' }).warnings.length, 0);
  const values = { csi: { minRefresh: '2m' } };
  assert.match(problemsOf({ ...APP, 'refresh-app': '119s' }, { values }).join(), /1m59s|119s/);
});

test('a default that is too short is raised, with a warning, whatever level sets it', () => {
  const refreshOf = (unusual: Unusual): unknown => {
    const { config, warnings } = planned(APP, unusual);
    assert.match(warnings.join(), /is less than csi\.minRefresh/);
    return config.files[0]?.refreshMs;
  };
  assert.equal(refreshOf({ values: { defaults: { refresh: '1s' } } }), 10_000);
  assert.equal(refreshOf({ namespaceAnnotations: prefixed({ refresh: '1s' }) }), 10_000);
  assert.equal(refreshOf({ values: { csi: { minRefresh: '1h' } } }), 3_600_000);
});

test('rejected: too many dependencies of calls with literal arguments', () => {
  const values = { csi: { maxDependencies: 2 } };
  const two = { ...APP, 'template-x': '{{secret "kvv2/app"}}{{secret "kvv2/b"}}' };
  assert.equal(plan(two, { values }).kind, 'planned');
  const problems = problemsOf({ ...two, 'template-y': '{{secrets "kvv2/c"}}' }, { values });
  assert.deepEqual(problems, [
    'mode: the volume depends on 3 secrets; the maximum is 2 (csi.maxDependencies)',
  ]);
});
