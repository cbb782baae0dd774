import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ANNOTATIONS,
  classify,
  resolveSettings,
  SETTINGS,
} from '../../../../src/config/annotations/index.ts';
import type { ResolvedSettings } from '../../../../src/config/annotations/index.ts';

const PREFIX = 'vouchsafe.dev';

type Given = Readonly<Record<string, string>>;

function prefixed(annotations: Given): Given {
  return Object.fromEntries(Object.entries(annotations).map(([k, v]) => [`${PREFIX}/${k}`, v]));
}

function resolve(pod: Given, namespace: Given = {}, installation: Given = {}): ResolvedSettings {
  return resolveSettings({
    prefix: PREFIX,
    pod: prefixed(pod),
    namespace: prefixed(namespace),
    installation,
  });
}

test('pod takes precedence over namespace, installation and built in, and the source is reported', () => {
  const all = resolve({ role: 'p' }, { role: 'n' }, { role: 'i' }).settings.role;
  assert.deepEqual(all, { value: 'p', source: 'pod', text: 'p' });
  assert.equal(resolve({}, { role: 'n' }, { role: 'i' }).settings.role.source, 'namespace');
  assert.equal(resolve({}, {}, { role: 'i' }).settings.role.source, 'installation');
  assert.deepEqual(resolve({}).settings.role, {
    value: undefined,
    source: 'built in',
    text: undefined,
  });
});

test('every setting except inject can have a default of the installation', () => {
  for (const [name, { levels }] of Object.entries(SETTINGS)) {
    const expected =
      name === 'inject' ? ['pod', 'namespace'] : ['pod', 'namespace', 'installation'];
    assert.deepEqual([...levels], expected, name);
  }
});

test('a namespace can request injection of its pods, and a pod can decline', () => {
  assert.equal(resolve({}, { inject: 'true' }).settings.inject.value, true);
  assert.equal(resolve({ inject: 'false' }, { inject: 'true' }).settings.inject.value, false);
});

test('files are collected by name and in order', () => {
  const { files, problems } = resolve({
    'secret-b': 'kv/b',
    'secret-a.json': 'kv/a#key',
    'file-mode-b': '0400',
    'template-from-c_1': 'templates/c',
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(
    files.map(({ name }) => name),
    ['a.json', 'b', 'c_1'],
  );
  assert.equal(files[1]?.['file-mode']?.value, 0o400);
  assert.deepEqual(files[2]?.['template-from']?.value, { name: 'templates', key: 'c' });
});

test('the longest prefix takes precedence', () => {
  assert.deepEqual(classify('template-from-x'), {
    kind: 'file',
    setting: 'template-from',
    file: 'x',
  });
  assert.deepEqual(classify('file-mode'), { kind: 'setting', setting: 'file-mode' });
  assert.deepEqual(classify('file-mode-x'), { kind: 'file', setting: 'file-mode', file: 'x' });
  assert.deepEqual(classify('file-name'), { kind: 'file', setting: 'file', file: 'name' });
  assert.deepEqual(classify('status'), { kind: 'reserved' });
  assert.deepEqual(classify('toString'), { kind: 'unknown' });
});

const UNKNOWN: Readonly<Record<string, string | undefined>> = {
  rol: 'role',
  'auth-metod': 'auth-method',
  'templates-db': 'template-db',
  'secrets-a-b': 'secret-a-b',
  on_change: 'on-change',
  'jwt-svids-cloud': 'jwt-svid-cloud',
  secret: 'secret-<name>',
  'secret-': 'secret-<name>',
  'completely-different': undefined,
};

for (const [given, meant] of Object.entries(UNKNOWN)) {
  test(`unknown annotation ${given}: ${meant === undefined ? 'no guess' : `did you mean ${meant}`}`, () => {
    const { warnings } = resolve({ [given]: 'x' });
    const guess = meant === undefined ? '' : `; did you mean ${PREFIX}/${meant}?`;
    assert.deepEqual(warnings, [`unknown annotation ${PREFIX}/${given}${guess}`]);
  });
}

test('annotations with other prefixes are ignored', () => {
  const given = { 'vouchsafe.dev.example/rol': 'x', 'vault.hashicorp.com/role': 'y' };
  const { warnings } = resolveSettings({ prefix: PREFIX, pod: given, installation: {} });
  assert.deepEqual(warnings, []);
});

test('settings that only a pod can have lead to a warning on a namespace', () => {
  const { warnings, files } = resolve({}, { 'secret-a': 'kv/a', rol: 'x' });
  assert.deepEqual(files, []);
  assert.equal(warnings.length, 2);
  assert.match(warnings.join('\n'), /on the namespace: unknown annotation/);
});

test('an invalid value is a problem only at the level that takes effect', () => {
  const wrong = resolve({}, { mode: 'x' }).problems;
  assert.deepEqual(wrong, [
    { path: `${PREFIX}/mode of the namespace`, message: 'must be one of native, pair, init, csi' },
  ]);
  assert.deepEqual(resolve({ mode: 'init' }, { mode: 'x' }).problems, []);
});

/** Annotations -> the annotation that is rejected, and the other one that its message names. */
type Contradiction = readonly [string, Given, string, RegExp];

const GCP_PROVIDER = 'projects/1/locations/global/workloadIdentityPools/spire/providers/spire';

const CONTRADICTIONS: readonly Contradiction[] = [
  [
    'two templates',
    { 'template-a': 'x', 'template-from-a': 'c/k' },
    'template-from-a',
    /template-a/,
  ],
  [
    'format and template',
    { 'secret-a': 'kv/a', 'template-a': 'x', 'format-a': 'json' },
    'format-a',
    /template-a/,
  ],
  ['format without secret', { 'format-a': 'json' }, 'format-a', /secret-a/],
  ['token with template', { 'jwt-svid-a': 'x', 'template-a': 'x' }, 'jwt-svid-a', /template-a/],
  ['token with secret', { 'jwt-svid-a': 'x', 'secret-a': 'kv/a' }, 'secret-a', /jwt-svid-a/],
  ['token with refresh', { 'jwt-svid-a': 'x', 'refresh-a': '5m' }, 'refresh-a', /jwt-svid-a/],
  ['file without content', { 'file-a': 'x' }, 'file-a', /secret-a/],
  [
    'a password of PEM',
    { 'x509-svid': 'true', 'x509-svid-password': 'p' },
    'x509-svid-password',
    /requires .*x509-svid-format pkcs12/,
  ],
  [
    'a format of files that are not written',
    { 'secret-a': 'kv/a', 'x509-svid-format': 'pkcs12' },
    'x509-svid-format',
    /requires .*x509-svid/,
  ],
  [
    'a key file of PKCS#12',
    { 'x509-svid': 'true', 'x509-svid-format': 'pkcs12', 'file-mode-svid_key': '0400' },
    'file-mode-svid_key',
    /has no effect without a file "svid_key"/,
  ],
  ['X.509 name taken', { 'x509-svid': 'true', 'secret-svid': 'kv/a' }, 'secret-svid', /x509-svid/],
  ['init with on-change', { mode: 'init', 'on-change': 'restart@a' }, 'on-change', /mode init/],
  [
    'init with on-change of a file',
    { mode: 'init', 'secret-a': 'kv/a', 'on-change-a': 'restart@a' },
    'on-change-a',
    /mode init/,
  ],
  [
    'init with revoke-on-exit',
    { mode: 'init', 'revoke-on-exit': 'true' },
    'revoke-on-exit',
    /mode/,
  ],
  ['native with revoke-delay', { mode: 'native', 'revoke-delay': '5s' }, 'revoke-delay', /native/],
  ['init with revoke-delay', { mode: 'init', 'revoke-delay': '5s' }, 'revoke-delay', /mode init/],
  [
    'csi with on-change',
    { mode: 'csi', 'on-change': 'restart@a' },
    'on-change',
    /mode csi: no agent runs in the pod/,
  ],
  [
    'csi with on-change of a file',
    { mode: 'csi', 'secret-a': 'kv/a', 'on-change-a': 'restart@a' },
    'on-change-a',
    /mode csi/,
  ],
  [
    'csi with a template in a ConfigMap',
    { mode: 'csi', 'template-from-a': 'map/key' },
    'template-from-a',
    /mode csi: the driver does not read ConfigMaps; set template-a/,
  ],
  [
    'service account with cert',
    { identity: 'service-account', 'auth-method': 'cert' },
    'identity',
    /auth-method cert/,
  ],
  [
    'an SVID of a method that uses only one kind',
    { 'auth-method': 'jwt', 'auth-svid': 'x509', 'secret-a': 'kv/a' },
    'auth-svid',
    /requires .*auth-method spiffe: jwt uses only one kind of SVID/,
  ],
  [
    'SPIFFE with kubernetes',
    { identity: 'spiffe', 'auth-method': 'kubernetes', role: 'r' },
    'identity',
    /auth-method kubernetes/,
  ],
  ['kubernetes without role', { 'auth-method': 'kubernetes' }, 'auth-method', /role/],
  [
    'SPIFFE ID without effect',
    { identity: 'service-account', 'spiffe-id': 'spiffe://a/b', 'secret-a': 'kv/a' },
    'spiffe-id',
    /identity service-account/,
  ],
  [
    'one path twice',
    { 'secret-a': 'kv/a', 'secret-b': 'kv/b', 'file-b': 'a' },
    'file-b',
    /"a" .*vouchsafe\.dev\/file-a/,
  ],
  [
    'X.509 path taken',
    { 'x509-svid': 'true', 'secret-a': 'kv/a', 'file-a': 'bundle.pem' },
    'file-a',
    /"bundle\.pem"/,
  ],
  [
    'path of a federated bundle',
    { 'x509-svid': 'true', 'secret-a': 'kv/a', 'file-a': 'bundle-partner.example.pem' },
    'file-a',
    /"bundle-partner\.example\.pem" is reserved by vouchsafe\.dev\/x509-svid .*bundle-<trust domain>\.pem/,
  ],
  [
    'name of a federated bundle as the name of a file',
    { 'x509-svid': 'true', 'secret-bundle-x.pem': 'kv/a' },
    'file-bundle-x.pem',
    /reserved/,
  ],
  [
    'path of a federated bundle beside a renamed bundle',
    {
      'x509-svid': 'true',
      'file-bundle': 'tls/ca.crt',
      'jwt-svid-a': 'b',
      'file-a': 'tls/ca-b.crt',
    },
    'file-a',
    /tls\/ca-<trust domain>\.crt/,
  ],
  ['Azure without tenant', { 'azure-client-id': 'c' }, 'azure-client-id', /azure-tenant-id/],
  ['Azure without client', { 'azure-tenant-id': 't' }, 'azure-tenant-id', /azure-client-id/],
  [
    'Azure without token',
    { 'azure-client-id': 'c', 'azure-tenant-id': 't', 'jwt-svid-a': 'other' },
    'azure-client-id',
    /api:\/\/AzureADTokenExchange/,
  ],
  ['a variable without a key', { 'env-P': 'kv/a' }, 'env-P', /must have a key/],
  ['a variable with a dash', { 'env-A-B': 'kv/a#p' }, 'env-A-B', /name of an environment variable/],
  ['a variable with a digit first', { 'env-1A': 'kv/a#p' }, 'env-1A', /without a digit at the/],
  ['a reserved variable', { 'env-VOUCHSAFE_X': 'kv/a#p' }, 'env-VOUCHSAFE_X', /VOUCHSAFE_/],
  ['an empty text', { 'env-template-A': '' }, 'env-template-A', /1 to/],
  [
    'an AWS role without token',
    { 'aws-role-arn': 'arn:aws:iam::123456789012:role/a', 'jwt-svid-a': 'other' },
    'aws-role-arn',
    /requires a .*jwt-svid-<name> with audience sts\.amazonaws\.com/,
  ],
  [
    'an AWS role with a token for another audience than its own',
    {
      'aws-role-arn': 'arn:aws:iam::123456789012:role/a',
      'aws-audience': 'spire',
      'jwt-svid-a': 'sts.amazonaws.com',
    },
    'aws-role-arn',
    /with audience spire/,
  ],
  ['an AWS region without a role', { 'aws-region': 'eu-west-1' }, 'aws-region', /aws-role-arn/],
  [
    'an AWS session without a role',
    { 'aws-role-session-name': 'web' },
    'aws-role-session-name',
    /aws-role-arn/,
  ],
  ['an AWS audience without a role', { 'aws-audience': 'x' }, 'aws-audience', /aws-role-arn/],
  ...['app', 'arn:aws:iam::1:role/a', 'arn:aws:iam::123456789012:user/a'].map(
    (arn): Contradiction => [
      `the AWS role ${arn}`,
      { 'aws-role-arn': arn },
      'aws-role-arn',
      /must be the ARN of a role/,
    ],
  ),
  ['an AWS region that is none', { 'aws-region': 'Frankfurt' }, 'aws-region', /must be a region/],
  [
    'an AWS session name with a slash',
    { 'aws-role-session-name': 'a/b' },
    'aws-role-session-name',
    /must be the name of a session/,
  ],
  [
    'a provider of Google Cloud without token',
    { 'gcp-workload-identity-provider': GCP_PROVIDER, 'jwt-svid-a': 'other' },
    'gcp-workload-identity-provider',
    /with audience \/\/iam\.googleapis\.com\/projects\/1\/.*\/providers\/spire$/,
  ],
  [
    'a provider of Google Cloud by the ID of the project',
    { 'gcp-workload-identity-provider': GCP_PROVIDER.replace('/1/', '/my-project/') },
    'gcp-workload-identity-provider',
    /must be `projects\/<number>/,
  ],
  ...(['gcp-service-account', 'gcp-audience'] as const).map((name): Contradiction => [
    `${name} without a provider`,
    { [name]: 'app@project.iam.gserviceaccount.com' },
    name,
    /requires .*gcp-workload-identity-provider/,
  ]),
  [
    'a service account of Google Cloud that is somebody',
    { 'gcp-service-account': 'someone@example.org' },
    'gcp-service-account',
    /must be a service account/,
  ],
  ...(['template', 'secret', 'template-from', 'jwt-svid', 'refresh'] as const).map(
    (setting): Contradiction => [
      `${setting} of the credential file of Google's libraries`,
      {
        'gcp-workload-identity-provider': GCP_PROVIDER,
        'jwt-svid-a': `//iam.googleapis.com/${GCP_PROVIDER}`,
        [`${setting}-gcp-credentials`]: setting === 'refresh' ? '1m' : 'a/b',
      },
      `${setting}-gcp-credentials`,
      /conflicts with .*gcp-workload-identity-provider, which delivers "gcp-credentials"/,
    ],
  ),
  [
    "the path of the credential file of Google's libraries",
    {
      'gcp-workload-identity-provider': GCP_PROVIDER,
      'jwt-svid-a': `//iam.googleapis.com/${GCP_PROVIDER}`,
      'file-a': 'gcp-credentials.json',
    },
    'file-gcp-credentials',
    /the path "gcp-credentials\.json" is the same as that of .*file-a/,
  ],
  [
    'a mode of a credential file that is not there',
    { 'jwt-svid-a': 'other', 'file-mode-gcp-credentials': '0444' },
    'file-mode-gcp-credentials',
    /has no effect without a file "gcp-credentials"/,
  ],
  [
    'a misspelt env-on-change',
    { 'env-on-chnge': 'none' },
    'env-on-chnge',
    /name of an environment/,
  ],
  ['another env-on-change', { 'env-on-change': 'signal' }, 'env-on-change', /restart, none/],
  [
    'secret and template of a variable',
    { 'env-A': 'kv/a#p', 'env-template-A': 'x' },
    'env-template-A',
    /conflicts with vouchsafe\.dev\/env-A/,
  ],
  [
    'an optional variable without a secret',
    { 'env-optional-A': 'true' },
    'env-optional-A',
    /requires vouchsafe\.dev\/env-A$/,
  ],
  [
    'an optional template of a variable',
    { 'env-optional-A': 'true', 'env-template-A': 'x' },
    'env-optional-A',
    /optionalSecret/,
  ],
  [
    'a variable in a volume',
    { mode: 'csi', 'env-A': 'kv/a#p' },
    'env-A',
    /conflicts with vouchsafe\.dev\/mode csi/,
  ],
  [
    'restarts without an agent that runs',
    { mode: 'init', 'env-A': 'kv/a#p', 'env-on-change': 'restart' },
    'env-on-change',
    /mode init/,
  ],
  ['a name with capitals', { 'secret-App': 'kv/a' }, 'secret-App', /part after the dash/],
];

for (const [name, given, path, other] of CONTRADICTIONS) {
  test(`rejected: ${name}`, () => {
    const { problems } = resolve(given);
    const found = problems.find((problem) => problem.path === `${PREFIX}/${path}`);
    assert.ok(found !== undefined, JSON.stringify(problems));
    assert.match(found.message, other);
  });
}

test('each clash of paths is one problem that names both files', () => {
  const given = {
    'secret-a': 'kv/a',
    'secret-b': 'kv/b',
    'file-b': 'a/b',
    'secret-c': 'kv/c',
    'file-c': 'a/b',
  };
  assert.deepEqual(resolve(given).problems, [
    {
      path: `${PREFIX}/file-b`,
      message: `the path "a/b" requires "a" to be a directory, and that is the path of ${PREFIX}/file-a`,
    },
    {
      path: `${PREFIX}/file-c`,
      message: `the path "a/b" is the same as that of ${PREFIX}/file-b`,
    },
  ]);
});

test('csi as a default conflicts with nothing: a pod that cannot have it gets another mode', () => {
  const given = { 'secret-a': 'kv/a', 'on-change-a': 'restart@a' };
  assert.deepEqual(resolve(given, {}, { mode: 'csi' }).problems, []);
  assert.deepEqual(resolve(given, { mode: 'csi' }).problems, []);
});

test('an on-change of the namespace does not conflict with csi', () => {
  const { problems } = resolve(
    { mode: 'csi', 'secret-a': 'kv/a' },
    { 'on-change': 'http:POST http://127.0.0.1:1/' },
  );
  assert.deepEqual(problems, []);
});

test('defaults of namespace and installation do not conflict with settings that they do not apply to', () => {
  const { problems } = resolve(
    { 'auth-method': 'cert', 'secret-a': 'kv/a' },
    { audience: 'team', 'azure-client-id': 'c', 'azure-tenant-id': 't' },
    { 'spiffe-hint': 'h' },
  );
  assert.deepEqual(problems, []);
});

test('an audience has no effect where the X.509-SVID logs in', () => {
  const given = { 'auth-method': 'spiffe', audience: 'team', 'secret-a': 'kv/a' };
  assert.deepEqual(resolve(given).warnings, []);
  const { problems, warnings } = resolve({ ...given, 'auth-svid': 'x509' });
  assert.deepEqual(problems, []);
  assert.match(warnings.join(), /audience has no effect with .*auth-svid x509/);
});

test('a renamed X.509 file leaves its old name free', () => {
  const given = {
    'x509-svid': 'true',
    'file-svid': 'tls.crt',
    'secret-a': 'kv/a',
    'file-a': 'svid.pem',
  };
  assert.deepEqual(resolve(given).problems, []);
});

test('resolving annotations never throws, and every problem has a path and a message', () => {
  const names = ANNOTATIONS.map(({ name }) => name.replace('<name>', 'x'));
  const annotation = fc.oneof(fc.constantFrom(...names), fc.string());
  fc.assert(
    fc.property(fc.dictionary(annotation, fc.string()), (given) => {
      const { problems, warnings } = resolve(given);
      for (const { path, message } of problems) assert.ok(path !== '' && message !== '');
      assert.ok(warnings.every((warning) => warning !== ''));
    }),
  );
});

test('the table has every annotation of the design', () => {
  const names = new Set(ANNOTATIONS.map(({ name }) => name));
  const design =
    'inject mode role auth-method auth-mount auth-svid audience spiffe-id spiffe-hint vault secret-<name> template-<name> ' +
    'template-from-<name> format-<name> file-<name> file-mode-<name> refresh-<name> on-change-<name> on-change ' +
    'jwt-svid-<name> x509-svid containers init-containers mount-path on-missing-vault init-deadline ' +
    'revoke-on-exit cpu memory ephemeral-storage log-level run-as-user run-as-group image';
  for (const name of design.split(' ')) assert.ok(names.has(name), name);
  for (const row of ANNOTATIONS) assert.ok(row.description !== '' && row.values !== '', row.name);
});

test('a built-in default is what its own grammar would accept', () => {
  for (const [name, spec] of Object.entries(SETTINGS)) {
    const text = /^`([^`]*)`$/.exec(spec.default)?.[1];
    if (text === undefined || spec.builtIn === undefined) continue;
    assert.deepEqual(spec.grammar.parse(text), { value: spec.builtIn }, name);
  }
});

test('a key store that everybody can read leads to a warning, and its federated bundles have their own names', () => {
  const svid = { 'x509-svid': 'true', 'x509-svid-format': 'pkcs12' };
  const { warnings } = resolve({ ...svid, 'file-mode-svid': '0444' });
  assert.match(warnings.join(), /file-mode-svid lets every user .* private key svid$/);
  assert.deepEqual(resolve({ ...svid, 'file-mode-bundle': '0444' }).warnings, []);
  const taken = { ...svid, 'secret-a': 'kv/a', 'file-a': 'bundle-partner.example.p12' };
  assert.match(
    resolve(taken)
      .problems.map(({ message }) => message)
      .join(),
    /is reserved by/,
  );
  assert.deepEqual(resolve({ ...taken, 'file-a': 'svid.pem' }).problems, []);
});

test('only a private key that everybody can read leads to a warning', () => {
  const svid = { 'x509-svid': 'true' };
  const warned = /private key svid_key/;
  assert.match(resolve({ ...svid, 'file-mode': '0444' }).warnings.join(), warned);
  assert.match(resolve({ ...svid, 'file-mode-svid_key': '0404' }).warnings.join(), warned);
  assert.match(resolve(svid, { 'file-mode': '0444' }).warnings.join(), warned);
  for (const modes of [
    {},
    { 'file-mode': '0440' },
    { 'file-mode': '0444', 'file-mode-svid_key': '0400' },
    { 'file-mode-bundle': '0444' },
  ]) {
    assert.doesNotMatch(resolve({ ...svid, ...modes }).warnings.join(), warned);
  }
  assert.deepEqual(resolve({ 'secret-app': 'kv/a', 'file-mode': '0444' }).warnings, []);
});
