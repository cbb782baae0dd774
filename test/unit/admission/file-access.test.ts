import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import {
  configIn,
  injectPod,
  OVERRIDABLE,
  podWith,
  prefixed,
  problemsOf,
  type Given,
} from './harness.ts';

const X509 = { 'x509-svid': 'true' };
const SAME = { securityContext: { runAsUser: 999 } };
const as = (name: string, ...ids: readonly number[]): object => ({
  name,
  securityContext: { runAsUser: ids[0], ...(ids[1] !== undefined && { runAsGroup: ids[1] }) },
});

const rootWith = (capabilities: object): object => ({
  name: 'web',
  securityContext: { runAsUser: 0, capabilities },
});

function modesOf(annotations: Given, spec: object, mode = 'native'): Record<string, string> {
  const { pod, outcome, message } = injectPod(podWith({ mode, ...annotations }, { ...spec }), {
    installation: OVERRIDABLE,
  });
  assert.equal(outcome, 'injected', message);
  const { files } = configIn(pod, mode === 'native' ? 'vouchsafe-agent' : 'vouchsafe-init');
  return Object.fromEntries(files.map((one) => [one.name, `0${one.mode.toString(8)}`]));
}

for (const [name, spec] of Object.entries({
  'of the pod': SAME,
  'of the pod, with an fsGroup': { securityContext: { runAsUser: 999, fsGroup: 999 } },
  'of all containers': { containers: [as('web', 7), as('side', 7)] },
  'of containers and init containers': {
    securityContext: { runAsUser: 7 },
    initContainers: [{ name: 'first' }],
  },
})) {
  test(`a private key is for its owner where agent and readers share the UID ${name}`, () => {
    for (const mode of ['native', 'pair', 'init']) {
      const { svid, svid_key: key, bundle } = modesOf(X509, spec, mode);
      assert.deepEqual([svid, key, bundle], ['0440', '0400', '0440']);
    }
  });
}

test('a key store is for its owner like a private key', () => {
  const pkcs12 = { ...X509, 'x509-svid-format': 'pkcs12' };
  assert.deepEqual(modesOf(pkcs12, SAME), { app: '0440', svid: '0400', bundle: '0440' });
  const { warnings } = injectPod(podWith({ ...pkcs12, 'file-mode-svid': '0440' }, SAME));
  assert.match(warnings.join(), /the group can read the private key svid,/);
});

test('a private key is not for its owner alone where that would shut a reader out', () => {
  for (const [spec, expected] of [
    [{}, '0444'],
    [{ containers: [as('web', 7), as('side', 8)] }, '0444'],
    [{ containers: [as('web', 7), { name: 'side' }] }, '0444'],
    [{ securityContext: { fsGroup: 5 }, containers: [as('web', 7), as('side', 8)] }, '0440'],
    [{ securityContext: { runAsUser: 0 } }, '0444'],
    [{ securityContext: { runAsUser: 0, fsGroup: 5 } }, '0440'],
  ] as const) {
    assert.equal(modesOf(X509, spec)['svid_key'], expected, JSON.stringify(spec));
  }
  const other = modesOf({ ...X509, 'run-as-user': '5' }, SAME);
  assert.equal(other['svid_key'], '0444');
});

test('a platform that assigns one UID to the pod shares it', () => {
  const installation = parseInstallation({ agent: { setUser: false } });
  const key = (spec: object): unknown => {
    const { pod } = injectPod(podWith(X509, { ...spec }), { installation });
    return configIn(pod).files.find(({ name }) => name === 'svid_key')?.mode;
  };
  assert.equal(key({}), 0o400);
  assert.equal(key(SAME), 0o440);
});

test('other files that may hold a private key are for their owner as well', () => {
  const pki = '{{#with (pki "pki/issue/web" common_name="web")}}{{private_key}}{{/with}}';
  const given = { 'template-tls': pki, 'secret-key': 'kvv2/tls#private_key' };
  assert.deepEqual(modesOf(given, SAME), { app: '0440', tls: '0400', key: '0400' });
  assert.deepEqual(modesOf(given, {}), { app: '0444', tls: '0444', key: '0444' });
  assert.equal(modesOf({ ...given, 'file-mode-tls': '0440' }, SAME)['tls'], '0440');
});

for (const [what, given] of Object.entries({
  'a path': { 'secret-tls': 'kvv2/tls#value', 'file-tls': 'tls/client.key' },
  'a path in PEM': { 'secret-tls': 'kvv2/tls#value', 'file-tls': 'tls/client-key.pem' },
  'a path of ssh': { 'secret-tls': 'kvv2/ssh#value', 'file-tls': '.ssh/id_ed25519' },
  'a name': { 'secret-tls.key': 'kvv2/tls#value' },
  'a name of ssh': { 'secret-id_rsa': 'kvv2/ssh#value' },
  'a key of the secret': { 'secret-tls': 'kvv2/tls#tls.key' },
})) {
  test(`a file that is a private key by ${what} is for its owner`, () => {
    const { app, ...others } = modesOf(given, SAME);
    assert.deepEqual([app, Object.values(others)], ['0440', ['0400']]);
    const shared = { securityContext: { runAsUser: 999, fsGroup: 5 } };
    assert.ok(Object.values(modesOf(given, shared)).includes('0400'));
  });
}

test('a file is not a private key because its name has the word key', () => {
  const given = { 'secret-api_key': 'kvv2/api#key', 'secret-keys': 'kvv2/keys' };
  assert.deepEqual(modesOf(given, SAME), { app: '0440', api_key: '0440', keys: '0440' });
});

test('a mode that somebody chose is kept', () => {
  assert.equal(modesOf({ ...X509, 'file-mode': '0440' }, SAME)['svid_key'], '0440');
  assert.equal(modesOf({ ...X509, 'file-mode-svid_key': '0600' }, SAME)['svid_key'], '0600');
  const both = { ...X509, 'file-mode': '0444', 'file-mode-svid_key': '0400' };
  assert.deepEqual(
    [modesOf(both, SAME)['svid'], modesOf(both, SAME)['svid_key']],
    ['0444', '0400'],
  );
});

test('a chosen mode by which the group reads a key that its reader owns causes a warning', () => {
  const warn = (annotations: Given, spec: object = SAME): string =>
    injectPod(podWith({ ...X509, ...annotations }, { ...spec })).warnings.join('\n');
  assert.match(warn({ 'file-mode': '0440' }), /^vouchsafe\.dev\/file-mode: .*libpq, ssh/);
  assert.match(warn({ 'file-mode-svid_key': '0640' }), /file-mode-svid_key: with 0640 the group/);
  assert.match(warn({ 'file-mode': '0444' }), /lets every user in the containers read/);
  for (const annotations of [{}, { 'file-mode': '0400' }, { 'file-mode-svid_key': '0600' }]) {
    assert.equal(warn(annotations), '');
  }
  const apart = { securityContext: { fsGroup: 5 }, containers: [as('a', 7), as('b', 8)] };
  assert.equal(warn({ 'file-mode': '0440' }, apart), '');
});

/** Modes with which no container of the pod can read. */
const SHUT_OUT: readonly (readonly [string, Given, object])[] = [
  ['unlike UIDs', { 'file-mode': '0400' }, { containers: [as('a', 7), as('b', 8)] }],
  [
    'unlike UIDs, written by the owner',
    { 'file-mode': '0600' },
    { containers: [as('a', 7), as('b', 8)] },
  ],
  ['an agent of another UID', { 'file-mode': '0400', 'run-as-user': '5' }, SAME],
  [
    'a mode of one file',
    { 'file-mode-app': '0400', 'run-as-user': '5' },
    { securityContext: { runAsUser: 999, fsGroup: 5 } },
  ],
  [
    'a file for all but the group',
    { 'file-mode': '0404', 'run-as-user': '5' },
    { securityContext: { runAsUser: 999, fsGroup: 5 } },
  ],
  [
    'a root that may not override permissions',
    { 'file-mode': '0600' },
    { containers: [rootWith({ drop: ['ALL'] })] },
  ],
  [
    'a root without the one capability',
    { 'file-mode': '0600' },
    { containers: [rootWith({ drop: ['DAC_OVERRIDE'], add: ['NET_BIND_SERVICE'] })] },
  ],
  [
    'groups that are not those of the agent',
    { 'file-mode': '0440', 'run-as-group': '5' },
    { containers: [as('a', 7, 1), as('b', 8, 2)] },
  ],
];

for (const [name, annotations, spec] of SHUT_OUT) {
  test(`a mode that nobody can use is denied: ${name}`, () => {
    const pod = podWith(annotations, { ...spec });
    const problems = problemsOf(injectPod(pod, { installation: OVERRIDABLE }));
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(
      problems.join(),
      /^file-mode(-app)?: with 0\d\d\d no container can read the files: the agent \(UID \d+\) owns/,
    );
  });
}

/** Modes that every container can use. */
const READABLE: readonly (readonly [string, Given, object])[] = [
  ['equal UIDs', { 'file-mode': '0400' }, SAME],
  ['a reader that is root', { 'file-mode': '0400' }, { securityContext: { runAsUser: 0 } }],
  [
    'a root that may override permissions',
    { 'file-mode': '0400' },
    { containers: [rootWith({ drop: ['ALL'], add: ['DAC_OVERRIDE'] })] },
  ],
  [
    'a root that lacks other capabilities',
    { 'file-mode': '0400' },
    { containers: [rootWith({ drop: ['NET_RAW'] })] },
  ],
  ['an fsGroup', { 'file-mode': '0440' }, { securityContext: { fsGroup: 5 } }],
  ['everybody', { 'file-mode': '0444' }, {}],
  [
    'the group of the agent',
    { 'file-mode': '0440', 'run-as-group': '5' },
    { containers: [as('a', 7, 5), as('b', 8, 5)] },
  ],
  [
    'the group of the pod',
    { 'file-mode': '0440' },
    { securityContext: { runAsGroup: 5 }, containers: [as('a', 7), as('b', 8)] },
  ],
  [
    'a supplemental group',
    { 'file-mode': '0440', 'run-as-group': '5' },
    { securityContext: { supplementalGroups: [4, 5] }, containers: [as('a', 7), as('b', 8)] },
  ],
  ['no mode that somebody chose', {}, { containers: [as('a', 7), as('b', 8)] }],
];

for (const [name, annotations, spec] of READABLE) {
  test(`a mode that all can use causes no warning: ${name}`, () => {
    const pod = podWith(annotations, { ...spec });
    const { outcome, warnings, message } = injectPod(pod, { installation: OVERRIDABLE });
    assert.deepEqual([outcome, warnings], ['injected', []], message);
  });
}

test('a mode that shuts out only some containers causes a warning', () => {
  const spec = { containers: [as('web', 7), as('side', 8)] };
  const pod = podWith({ 'file-mode': '0400', 'run-as-user': '7' }, spec);
  const { outcome, warnings } = injectPod(pod, { installation: OVERRIDABLE });
  assert.equal(outcome, 'injected');
  assert.match(
    warnings.join(),
    /^vouchsafe\.dev\/file-mode: with 0400 container "side" cannot read/,
  );
});

test('a mode that may shut out a container whose UID is unknown causes a warning', () => {
  for (const mode of ['0400', '0600', '0440']) {
    const { outcome, warnings } = injectPod(podWith({ 'file-mode': mode }));
    assert.equal(outcome, 'injected');
    assert.match(warnings.join(), new RegExp(`with ${mode} container "web" may be unable to read`));
  }
});

test('the level of a mode is named', () => {
  const spec = { containers: [as('a', 7), as('b', 8)] };
  const installation = parseInstallation({ defaults: { 'file-mode': '0400' } });
  assert.match(
    problemsOf(injectPod(podWith({}, spec), { installation })).join(),
    /^file-mode of the installation: /,
  );
  const namespaceAnnotations = prefixed({ 'file-mode': '0400' });
  assert.match(
    problemsOf(injectPod(podWith({}, spec), { namespaceAnnotations })).join(),
    /^file-mode of the namespace: /,
  );
});

test('csi: the driver owns the files, so a mode for the owner shuts out all but root', () => {
  const values = { csi: { enabled: true, identity: { kind: 'service-account' } } };
  const installation = parseInstallation(values);
  const inCsi = (mode: string, spec: object): ReturnType<typeof injectPod> =>
    injectPod(podWith({ mode: 'csi', 'file-mode': mode }, { ...spec }), { installation });
  assert.match(
    problemsOf(inCsi('0400', SAME)).join(),
    /^file-mode: with 0400 no container can read the files: the CSI driver \(UID 0\)/,
  );
  for (const spec of [
    { securityContext: { runAsUser: 0 } },
    { securityContext: { runAsUser: 7, fsGroup: 5 } },
  ]) {
    const { outcome, warnings } = inCsi('0440', spec);
    assert.deepEqual([outcome, warnings], ['injected', []]);
  }
  assert.match(inCsi('0400', {}).warnings.join(), /container "web" may be unable to read/);
  const byDefault = parseInstallation({ ...values, defaults: { mode: 'csi' } });
  const fallback = injectPod(podWith({ 'file-mode': '0400' }, SAME), { installation: byDefault });
  assert.deepEqual(configIn(fallback.pod).files[0]?.mode, 0o400);
});
