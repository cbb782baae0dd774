import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import {
  AGENT_CONFIG_SCHEMA,
  parseAgentConfig,
  parseAgentConfigText,
  type AgentEnvironment,
} from '../../../../src/config/agent/index.ts';
import { VouchsafeError } from '../../../../src/core/index.ts';

const HEAD = { apiVersion: 'vouchsafe.dev/v1', kind: 'AgentConfig' };
const ENVIRONMENT: AgentEnvironment = {
  spiffeEndpointSocket: 'unix:///run/agent.sock',
  vaultAddress: 'https://vault:8200',
};
const SCHEMA_FILE = new URL(
  '../../../../src/config/agent/agent-config.schema.json',
  import.meta.url,
);

function problemsOf(document: unknown, environment: AgentEnvironment = ENVIRONMENT): string[] {
  try {
    parseAgentConfig(document, environment);
    return [];
  } catch (error) {
    assert.ok(error instanceof VouchsafeError);
    assert.equal(error.code, 'ERR_CONFIG_INVALID');
    const { problems } = error.details;
    return Array.isArray(problems) ? problems.map(String) : [];
  }
}

test('the smallest document gets every documented default', () => {
  const config = parseAgentConfig(
    { ...HEAD, files: [{ name: 'app', secret: 'kvv2/app' }] },
    ENVIRONMENT,
  );
  assert.deepEqual(config, {
    spiffe: { socket: 'unix:///run/agent.sock', spiffeId: undefined, hint: undefined },
    vault: {
      address: 'https://vault:8200',
      namespace: undefined,
      caFile: undefined,
      caPem: undefined,
      tlsServerName: undefined,
      redirectHosts: [],
      proxy: undefined,
      timeoutMs: 20_000,
    },
    auth: {
      method: 'jwt',
      mount: 'jwt',
      role: undefined,
      audience: 'vault',
      tokenFile: undefined,
    },
    outputDirectory: '/vault/secrets',
    env: undefined,
    files: [
      {
        name: 'app',
        path: 'app',
        mode: 0o440,
        source: { kind: 'format', format: 'json', secret: { path: 'kvv2/app' } },
        refreshMs: 300_000,
        onChange: [],
      },
    ],
    logins: [],
    grants: undefined,
    onChange: [],
    onMissingVault: 'fail',
    initDeadlineMs: 120_000,
    startGate: 'probe',
    revokeOnExit: true,
    revokeGraceMs: 10_000,
    revokeDelayMs: 0,
    maxRenderBytes: 32 * 1024 * 1024,
    stateDirectory: undefined,
    listen: undefined,
    terminationLog: undefined,
    logLevel: 'info',
  });
});

test('the result is frozen at every depth', () => {
  const config = parseAgentConfig(
    { ...HEAD, files: [{ name: 'app', secret: 'kvv2/app' }] },
    ENVIRONMENT,
  );
  assert.ok(Object.isFrozen(config.files[0]?.source));
});

test('a secret with #key is printed raw', () => {
  const { files } = parseAgentConfig(
    { ...HEAD, files: [{ name: 'p', secret: 'kvv2/app#password' }] },
    ENVIRONMENT,
  );
  assert.deepEqual(files[0]?.source, {
    kind: 'format',
    format: 'raw',
    secret: { path: 'kvv2/app', key: 'password' },
  });
});

test('a secret that may be absent is marked as that', () => {
  const { files } = parseAgentConfig(
    {
      ...HEAD,
      files: [
        { name: 'a', secret: 'kvv2/a#b', optional: true },
        { name: 'b', secret: 'kvv2/a#b', optional: false },
        { name: 'c', secret: 'kvv2/a', template: '{{b}}', optional: true },
      ],
    },
    ENVIRONMENT,
  );
  const [opt, not, own] = files.map(({ source }) => source);
  const secret = { path: 'kvv2/a', key: 'b' };
  assert.deepEqual(opt, { kind: 'format', format: 'raw', secret: { ...secret, optional: true } });
  assert.deepEqual(not, { kind: 'format', format: 'raw', secret });
  assert.deepEqual(own, {
    kind: 'template',
    text: '{{b}}',
    secret: { path: 'kvv2/a', optional: true },
  });
});

test('X.509 files can have the names and modes of another tool', () => {
  const { files, vault, auth } = parseAgentConfig(
    { ...HEAD, x509Svid: { svidFile: 'svid.0.pem', keyFile: 'svid.0.key', keyMode: '0600' } },
    ENVIRONMENT,
  );
  assert.deepEqual(
    files.map(({ name, path, mode }) => [name, path, mode]),
    [
      ['svid', 'svid.0.pem', 0o440],
      ['svid_key', 'svid.0.key', 0o600],
      ['bundle', 'bundle.pem', 0o440],
    ],
  );
  assert.equal(vault, undefined, 'SVIDs alone need no Vault, even where VAULT_ADDR is set');
  assert.equal(auth, undefined);
});

test('X.509 files in PKCS#12 are a key store and a trust store', () => {
  const filesOf = (x509Svid: object): unknown =>
    parseAgentConfig({ ...HEAD, x509Svid }, ENVIRONMENT).files.map(({ name, path, source }) => [
      ...[name, path, source],
    ]);
  const source = { kind: 'x509-svid', password: 'changeit' };
  assert.deepEqual(filesOf({ format: 'pkcs12' }), [
    ['svid', 'svid.p12', { ...source, part: 'svid' }],
    ['bundle', 'bundle.p12', { ...source, part: 'bundle' }],
  ]);
  const own = { format: 'pkcs12', password: 'own', svidFile: 'key.jks', bundleFile: 'trust.jks' };
  assert.deepEqual(filesOf(own), [
    ['svid', 'key.jks', { ...source, part: 'svid', password: 'own' }],
    ['bundle', 'trust.jks', { ...source, part: 'bundle', password: 'own' }],
  ]);
});

test('a service-account token needs no Workload API', () => {
  const document = {
    ...HEAD,
    auth: { tokenFile: '/token', role: 'r' },
    files: [{ name: 'a', secret: 'kv/a' }],
  };
  const config = parseAgentConfig(document, { vaultAddress: 'http://vault:8200' });
  assert.equal(config.spiffe, undefined);
  assert.equal(config.auth?.tokenFile, '/token');
});

test('method kubernetes reads the token of the pod', () => {
  const document = {
    ...HEAD,
    auth: { method: 'kubernetes', role: 'r' },
    files: [{ name: 'a', secret: 'kv/a' }],
  };
  const { auth } = parseAgentConfig(document, ENVIRONMENT);
  assert.equal(auth?.tokenFile, '/var/run/secrets/kubernetes.io/serviceaccount/token');
  assert.equal(auth.mount, 'kubernetes');
});

test('the document takes precedence over the environment, whose values are then not parsed', () => {
  const config = parseAgentConfig(
    {
      ...HEAD,
      spiffe: { socket: 'unix:///own.sock' },
      vault: { address: 'https://own:8200' },
      files: [{ name: 'a', secret: 'kv/a' }],
    },
    { spiffeEndpointSocket: 'x', vaultAddress: 'not a URL', vaultNamespace: 'team' },
  );
  assert.equal(config.vault?.proxy, undefined);
  assert.equal(config.vault?.address, 'https://own:8200');
  assert.equal(config.vault.namespace, 'team');
  assert.equal(config.spiffe?.socket, 'unix:///own.sock');
});

test('a template requires neither Vault nor an SVID, but gets both if they are configured', () => {
  const document = { ...HEAD, files: [{ name: 'a', template: 'hello' }] };
  assert.equal(parseAgentConfig(document, {}).vault, undefined);
  assert.equal(parseAgentConfig(document, ENVIRONMENT).vault?.address, 'https://vault:8200');
});

test('every problem is listed at once, with its path', () => {
  const problems = problemsOf(
    {
      apiVersion: 'vouchsafe.dev/v2',
      vault: { address: 'vault', caFile: '/a', caPem: 'x' },
      logLevel: 'loud',
      initDedline: '2m',
      files: [
        { name: 'A', mode: 288, secret: 'kv' },
        { name: 'b', format: 'json' },
        { name: 'c', template: 'x', jwtSvid: ['a'] },
        { name: 'c', secret: 'kv/c', path: '../c' },
      ],
    },
    {},
  );
  const places = problems.map((problem) => problem.slice(0, problem.indexOf(': ')));
  assert.deepEqual(places, [
    'initDedline',
    'apiVersion',
    'kind',
    'vault.address',
    'vault.caPem',
    'files[0].name',
    'files[0].mode',
    'files[0].secret',
    'files[0]',
    'files[1].format',
    'files[2].jwtSvid',
    'files[3].path',
    'logLevel',
    'files',
    'files',
    'spiffe.socket',
  ]);
  assert.match(problems[0] ?? '', /did you mean "initDeadline"/);
});

const REFUSED: Readonly<Record<string, readonly [unknown, RegExp]>> = {
  'no object': [[], /document: must be an object, not a list/],
  null: [null, /must be an object, not null/],
  'nothing to deliver': [HEAD, /nothing to deliver/],
  'no Vault address': [
    { ...HEAD, files: [{ name: 'a', secret: 'kv/a' }] },
    /vault\.address.*VAULT_ADDR/,
  ],
  'no socket': [{ ...HEAD, x509Svid: true }, /spiffe\.socket.*SPIFFE_ENDPOINT_SOCKET/],
  'kubernetes without a role': [
    { ...HEAD, auth: { method: 'kubernetes' }, x509Svid: true },
    /auth\.role: is missing/,
  ],
  'cert with a token file': [
    { ...HEAD, auth: { method: 'cert', tokenFile: '/t' }, x509Svid: true },
    /auth\.tokenFile: conflicts with/,
  ],
  'an SVID of a method that uses only one kind': [
    { ...HEAD, auth: { method: 'cert', svid: 'x509' }, x509Svid: true },
    /auth\.svid: requires method spiffe/,
  ],
  'a client certificate without TLS': [
    {
      ...HEAD,
      vault: { address: 'http://vault:8200' },
      auth: { method: 'cert' },
      x509Svid: true,
      logins: [{ name: 'other', auth: { method: 'spiffe', svid: 'x509' } }],
    },
    /auth\.method: cert requires an https address[^]*logins\[0\]\.auth\.method: spiffe requires/,
  ],
  'a key file of PKCS#12': [
    { ...HEAD, x509Svid: { format: 'pkcs12', keyFile: 'k' } },
    /x509Svid\.keyFile: has no effect with format pkcs12/,
  ],
  'a password of PEM': [
    { ...HEAD, x509Svid: { password: 'p' } },
    /x509Svid\.password: has no effect with format pem/,
  ],
  'a hook without a state directory': [
    { ...HEAD, startGate: 'hook', x509Svid: true },
    /startGate: hook requires stateDirectory/,
  ],
  'a hook that waits for ever': [
    { ...HEAD, startGate: 'hook', stateDirectory: '/s', onMissingVault: 'wait', x509Svid: true },
    /startGate: hook conflicts with onMissingVault wait/,
  ],
  'one file inside another': [
    {
      ...HEAD,
      files: [
        { name: 'a', path: 'x', secret: 'kv/a' },
        { name: 'b', path: 'x/y', secret: 'kv/b' },
      ],
    },
    /files: the path "x\/y"/,
  ],
  'an X.509 file that is also another one': [
    { ...HEAD, x509Svid: true, files: [{ name: 'a', path: 'svid.pem', secret: 'kv/a' }] },
    /the path "svid\.pem"/,
  ],
  'an optional template without a secret': [
    { ...HEAD, files: [{ name: 'a', template: 'x', optional: true }] },
    /files\[0\]\.optional: requires secret; within a template use optionalSecret/,
  ],
  'an optional SVID': [
    { ...HEAD, files: [{ name: 'a', jwtSvid: ['b'], optional: true }] },
    /files\[0\]\.optional: requires secret/,
  ],
  'an optional that is a text': [
    { ...HEAD, files: [{ name: 'a', secret: 'kv/a', optional: 'true' }] },
    /files\[0\]\.optional: must be true or false/,
  ],
  'an action outside the pod': [
    { ...HEAD, x509Svid: true, onChange: ['http:POST http://example.org/'] },
    /onChange\[0\]: .*loopback/,
  ],
  'a private key where a CA belongs': [
    { ...HEAD, x509Svid: true, vault: { caPem: '-----BEGIN EC PRIVATE KEY-----' } },
    /vault\.caPem: must not contain a private key/,
  ],
};

for (const [name, [document, pattern]] of Object.entries(REFUSED)) {
  test(`rejected: ${name}`, () => {
    assert.match(problemsOf(document, {}).join('\n'), pattern);
  });
}

test('the proxy comes from the document, otherwise from the environment', () => {
  const files = [{ name: 'a', secret: 'kv/a' }];
  const environment = { ...ENVIRONMENT, vaultProxy: 'https://other.example' };
  const proxyOf = (vault?: object): string | undefined =>
    parseAgentConfig({ ...HEAD, ...(vault && { vault }), files }, environment).vault?.proxy;
  assert.equal(proxyOf(), 'https://other.example');
  assert.equal(proxyOf({ proxy: 'http://Proxy.example:3128/' }), 'http://proxy.example:3128');
});

for (const [proxy, message] of [
  ['proxy.example:3128', /^vault\.proxy: must be the URL of an HTTP proxy/],
  ['socks5://proxy.example', /^vault\.proxy: must be the URL of an HTTP proxy/],
  ['http://user:planted@proxy.example', /^vault\.proxy: must not contain credentials/],
  ['http://planted@proxy.example', /^vault\.proxy: must not contain credentials/],
  ['http://proxy.example/planted', /^vault\.proxy: must not have a path/],
] as const) {
  test(`the proxy ${proxy} is rejected, in the document and from the environment`, () => {
    const files = [{ name: 'a', secret: 'kv/a' }];
    const problems = [
      ...problemsOf({ ...HEAD, vault: { proxy }, files }),
      ...problemsOf({ ...HEAD, files }, { ...ENVIRONMENT, vaultProxy: proxy }),
    ];
    assert.equal(problems.length, 2);
    assert.match(problems[0] ?? '', message);
    assert.match(problems[1] ?? '', /^vault\.proxy: from the environment: must/);
    for (const problem of problems) assert.ok(!problem.includes('planted'), problem);
  });
}

test('a problem with an environment variable says that it comes from the environment', () => {
  const problems = problemsOf(
    { ...HEAD, files: [{ name: 'a', secret: 'kv/a' }] },
    { ...ENVIRONMENT, vaultAddress: 'vault:8200' },
  );
  assert.deepEqual(problems.length, 1);
  assert.match(problems[0] ?? '', /^vault\.address: from the environment/);
});

test('YAML is read as well as JSON', async () => {
  const yaml = 'apiVersion: vouchsafe.dev/v1\nkind: AgentConfig\nx509Svid: true\n';
  const json = JSON.stringify({ ...HEAD, x509Svid: true });
  assert.deepEqual(
    await parseAgentConfigText(yaml, ENVIRONMENT),
    await parseAgentConfigText(json, ENVIRONMENT),
  );
});

for (const [name, source] of Object.entries({
  'broken YAML': 'a: [1\nb: token-that-must-not-be-shown',
  'a duplicate key': 'a: 1\na: token-that-must-not-be-shown',
  'an alias bomb': `a: &a [${'x,'.repeat(50)}]\nb: &b [${'*a,'.repeat(50)}]\nc: [${'*b,'.repeat(50)}]`,
})) {
  test(`${name} is rejected without quoting it`, async () => {
    await assert.rejects(parseAgentConfigText(source, ENVIRONMENT), (error: unknown) => {
      assert.ok(error instanceof VouchsafeError);
      assert.equal(error.code, 'ERR_CONFIG_UNREADABLE');
      assert.doesNotMatch(error.message, /must-not-be-shown/);
      return true;
    });
  });
}

test('YAML with keys that are not strings is rejected without quoting them on stderr', async () => {
  const said: string[] = [];
  const listen = ({ message }: Error): void => void said.push(message);
  process.on('warning', listen);
  await assert.rejects(parseAgentConfigText('? {must-not-be-shown: 1}\n: 2'), VouchsafeError);
  await new Promise(setImmediate);
  process.off('warning', listen);
  assert.deepEqual(said, []);
});

test('the published schema is the one that the reader uses', () => {
  const schema = JSON.stringify(AGENT_CONFIG_SCHEMA, null, 2);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(SCHEMA_FILE, schema);
  const published: unknown = JSON.parse(readFileSync(SCHEMA_FILE, 'utf8'));
  assert.deepEqual(published, JSON.parse(schema), 'run with UPDATE_GOLDEN=1, then prettier');
});

/** A field that is mostly right. */
function field(...good: readonly unknown[]): fc.Arbitrary<unknown> {
  const wrong = fc.constantFrom<unknown>('', 'x', true, 5, null, [], {}, ['aud'], '99z', [5]);
  return fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: wrong },
  );
}

function objectWith(fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> {
  const unknown = fc.record({ unknown: fc.constant(1) });
  const known = fc.record(fields, { requiredKeys: [] });
  const both = fc.tuple(known, unknown).map(([a, b]) => ({ ...a, ...b }));
  return fc.oneof({ weight: 19, arbitrary: known }, { weight: 1, arbitrary: both });
}

const anyFile = fc.tuple(
  objectWith({
    path: field('x', 'd/y'),
    mode: field('0440', '600'),
    format: field('json', 'env'),
    refresh: field('5m', '30'),
    onChange: field([], ['signal:HUP@web'], ['restart@web']),
  }),
  fc.record({ name: field('a', 'b'), secret: field('kvv2/app', 'kvv2/app#key') }),
);

const anyDocument = fc
  .tuple(
    objectWith({
      spiffe: objectWith({ socket: field('unix:///run/agent.sock'), hint: field('h') }),
      vault: objectWith({ address: field('https://vault:8200'), timeout: field('10s') }),
      auth: objectWith({
        method: field('jwt', 'cert'),
        mount: field('auth/jwt'),
        role: field('r'),
      }),
      output: objectWith({ directory: field('/d'), mode: field('0444') }),
      x509Svid: field(true, false, { keyMode: '0600' }),
      onChange: field(['http:POST http://127.0.0.1:1/']),
      initDeadline: field('1m'),
      logLevel: field('debug'),
    }),
    fc.array(anyFile, { maxLength: 2 }),
  )
  .map(([rest, files]) => ({
    ...HEAD,
    ...rest,
    files: files.map(([file, common]) => ({ ...file, ...common })),
  }));

test('what the schema rejects the reader rejects, too', () => {
  const isValid = new Ajv2020({ strict: true, allErrors: false }).compile(AGENT_CONFIG_SCHEMA);
  let accepted = 0;
  fc.assert(
    fc.property(anyDocument, (document) => {
      const problems = problemsOf(document);
      if (problems.length === 0) accepted += 1;
      assert.ok(problems.length > 0 || isValid(document), JSON.stringify(isValid.errors));
    }),
    { numRuns: 500 },
  );
  assert.ok(accepted > 20, 'the property must also see good documents');
});

test('each field of a valid document can be made invalid on its own, and both reject it', () => {
  const isValid = new Ajv2020({ strict: true }).compile(AGENT_CONFIG_SCHEMA);
  const good = {
    ...HEAD,
    spiffe: { socket: 'unix:///s/a.sock', spiffeId: 'spiffe://example.org/a', hint: 'h' },
    vault: {
      address: 'https://v:1',
      namespace: 'n',
      caFile: '/c',
      tlsServerName: 'v',
      redirectHosts: ['w'],
      proxy: 'http://p:1',
      timeout: '1s',
    },
    auth: { method: 'jwt', mount: 'jwt', role: 'r', audience: 'a', tokenFile: '/t' },
    output: { directory: '/d', mode: '0440' },
    x509Svid: { svidFile: 's', keyFile: 'k', bundleFile: 'b', svidMode: '0400', keyMode: '0400' },
    onMissingVault: 'wait',
    initDeadline: '1m',
    revokeOnExit: false,
    revokeGrace: '0s',
    stateDirectory: '/s',
    listen: ':1',
    terminationLog: '/l',
    logLevel: 'debug',
  };
  assert.deepEqual(problemsOf(good), []);
  assert.ok(isValid(good));
  for (const [name, value] of Object.entries(good)) {
    const spoilt: [string, unknown][] =
      typeof value === 'object'
        ? Object.keys(value).map((field) => [`${name}.${field}`, { ...value, [field]: 7 }])
        : [[name, 7]];
    for (const [path, wrong] of spoilt) {
      const document = { ...good, [name]: wrong };
      assert.ok(!isValid(document), `schema: ${path}`);
      assert.match(problemsOf(document).join('\n'), new RegExp(`^${path}: `, 'm'));
    }
  }
});

test('grants are read with the defaults of missing fields', () => {
  const document = {
    ...HEAD,
    files: [{ name: 'app', secret: 'kvv2/app' }],
    grants: [
      { policy: 'a', paths: ['kvv2/*'] },
      { policy: 'b', operations: ['list'] },
    ],
  };
  assert.deepEqual(parseAgentConfig(document, ENVIRONMENT).grants, [
    { policy: 'a', paths: ['kvv2/*'], operations: ['read', 'list', 'write'], audiences: ['*'] },
    { policy: 'b', paths: ['*'], operations: ['list'], audiences: ['*'] },
  ]);
  const wrong = {
    ...document,
    grants: [{ paths: 'kvv2/*', operations: ['delete'], audience: [] }],
  };
  const problems = problemsOf(wrong).join('\n');
  for (const name of ['policy', 'paths', 'operations[0]', 'audience']) {
    assert.ok(problems.includes(`grants[0].${name}: `), `${name}: ${problems}`);
  }
});

test('variables are files in a directory of their own', () => {
  const variables = [
    { name: 'DB_PASSWORD', secret: 'kvv2/app#password', optional: true },
    { name: 'URL', template: '{{x}}' },
  ];
  const { files, env } = parseAgentConfig({ ...HEAD, env: { variables } }, ENVIRONMENT);
  const secret = { path: 'kvv2/app', key: 'password', optional: true };
  const common = { mode: 0o400, refreshMs: 300_000, onChange: [] };
  assert.deepEqual(files, [
    {
      name: '$DB_PASSWORD',
      path: '..env/DB_PASSWORD',
      variable: 'DB_PASSWORD',
      source: { kind: 'format', format: 'raw', secret },
      ...common,
    },
    {
      name: '$URL',
      path: '..env/URL',
      variable: 'URL',
      source: { kind: 'template', text: '{{x}}' },
      ...common,
    },
  ]);
  assert.deepEqual(env, { directory: '/run/vouchsafe/env', onChange: undefined, containers: [] });
});

test('what happens when variables change can be set', () => {
  const variables = [{ name: 'A', secret: 'kvv2/app#a' }];
  const given = { variables, directory: '/env', onChange: 'restart', containers: ['web'] };
  const { env } = parseAgentConfig({ ...HEAD, env: given }, ENVIRONMENT);
  assert.deepEqual(env, { directory: '/env', onChange: 'restart', containers: ['web'] });
});

for (const [name, variables, problem] of [
  ['no content', [{ name: 'A' }], /has no content: set secret or template/],
  ['both', [{ name: 'A', secret: 'kv/a#b', template: 'x' }], /template: conflicts with secret/],
  ['optional without secret', [{ name: 'A', template: 'x', optional: true }], /optional: requires/],
  ['no key', [{ name: 'A', secret: 'kv/a' }], /must have a key/],
  ['no name', [{ secret: 'kv/a#b' }], /name: is missing/],
  ['another name', [{ name: 'A-B', secret: 'kv/a#b' }], /must be the name of an environment/],
  [
    'twice',
    [
      { name: 'A', template: 'x' },
      { name: 'A', template: 'y' },
    ],
    /"\$A" is used twice/,
  ],
  ['none', [], /nothing to deliver: set files, env\.variables/],
] as const) {
  test(`rejected: a variable with ${name}`, () => {
    assert.throws(
      () => parseAgentConfig({ ...HEAD, env: { variables } }, ENVIRONMENT),
      (error: unknown) => error instanceof Error && problem.test(error.message),
    );
  });
}
