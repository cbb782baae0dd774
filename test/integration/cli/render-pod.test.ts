import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { runCli } from '../../../src/cli/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

function render(manifest: string, ...words: readonly string[]): Promise<Outcome> {
  return renderWith('', manifest, ...words);
}

/** With values of the installation. */
async function renderWith(
  values: string,
  manifest: string,
  ...words: readonly string[]
): Promise<Outcome> {
  let [out, errors] = ['', ''];
  const given = values === '' ? [] : ['--values', 'values.yaml'];
  const code = await runCli(
    ['render', '--pod', '-', ...given, ...words],
    {
      out: (data) => (out += Buffer.from(data).toString()),
      printError: (line) => (errors += `${line}\n`),
      read: (path) => Promise.resolve(path === 'values.yaml' ? values : manifest),
      variable: () => undefined,
      isTerminal: false,
      clock: systemClock,
      random: systemRandom,
    },
    AbortSignal.timeout(30_000),
  );
  return { code, out, errors };
}

function podWith(annotations: Readonly<Record<string, string>>): string {
  const given = Object.entries({ inject: 'true', ...annotations });
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web',
      annotations: Object.fromEntries(given.map(([name, text]) => [`vouchsafe.dev/${name}`, text])),
    },
    spec: { serviceAccountName: 'web', containers: [{ name: 'web', image: 'web:1' }] },
  });
}

suite('every login works against the embedded servers', () => {
  const logins: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    'the default role': {},
    'a role and a mount': { role: 'web', 'auth-mount': 'auth/oidc/' },
    'a SPIFFE ID of another trust domain': { 'spiffe-id': 'spiffe://partner.example/web' },
    'a service-account token': { identity: 'service-account', audience: 'vault-dev' },
    'the method kubernetes': { 'auth-method': 'kubernetes', role: 'web' },
    'the method cert': { 'auth-method': 'cert' },
    'the method spiffe with the X.509-SVID': { 'auth-method': 'spiffe', 'auth-svid': 'x509' },
    'the method spiffe': { 'auth-method': 'spiffe', role: 'web' },
  };
  for (const [name, annotations] of Object.entries(logins)) {
    test(name, async () => {
      const { code, out, errors } = await render(
        podWith({ 'secret-app': 'kv/app', ...annotations }),
      );
      assert.deepEqual([code, errors], [0, '']);
      const lines = [
        '# app (mode 0444)',
        '{',
        '  "username": "********",',
        '  "password": "********"',
        '}',
      ];
      assert.equal(out, `${lines.join('\n')}\n`);
    });
  }
});

suite('every login works for a volume of the CSI driver', () => {
  const broker = 'identity: { kind: delegated, socket: /run/spire/admin/api.sock }';
  const logins: Readonly<Record<string, readonly [string, Readonly<Record<string, string>>]>> = {
    "the kubelet's token": ['', { role: 'web' }],
    'the method kubernetes': ['', { 'auth-method': 'kubernetes', role: 'web', audience: 'vault' }],
    'an SVID': [broker, { 'jwt-svid-cloud': 'api://x' }],
    'the method cert': [broker, { 'auth-method': 'cert' }],
    'the X.509-SVID': [broker, { 'auth-method': 'spiffe', 'auth-svid': 'x509' }],
  };
  for (const [name, [identity, annotations]] of Object.entries(logins)) {
    test(name, async () => {
      const { code, out, errors } = await renderWith(
        `csi: { enabled: true, ${identity} }`,
        podWith({ mode: 'csi', 'secret-app': 'kv/app', ...annotations }),
      );
      assert.deepEqual([code, errors], [0, '']);
      assert.match(out, /^# app \(mode 0444\)\n\{\n {2}"username": /m);
    });
  }
});

test('secrets are shown when asked for, and change from one run to the next', async () => {
  const pod = podWith({ 'secret-app': 'kv/app#token' });
  const [first, second] = [
    await render(pod, '--show-secrets'),
    await render(pod, '--show-secrets'),
  ];
  assert.match(first.out, /^# app \(mode 0444\)\n[\w-]{12}\n$/);
  assert.notEqual(first.out, second.out);
});

test('engines, mounted templates and SVIDs in one pod, the one of several that asks', async () => {
  const template = '{{secret "kvv2/app#user"}} {{#each (secrets "kvv2/list")}}{{this}}{{/each}}';
  const other = podWith({ inject: 'false' });
  const map = JSON.stringify({
    kind: 'ConfigMap',
    metadata: { name: 'tpl' },
    data: { app: template },
  });
  const pod = podWith({
    'template-from-app': 'tpl/app',
    'file-app': 'conf/app.txt',
    'secret-db': 'database/creds/web',
    'format-db': 'env',
    'secret-static': 'database/static-creds/web#username',
    'template-tls':
      '{{#with (pki "pki/issue/web" common_name="web.example")}}{{certificate}}{{/with}}',
    'jwt-svid-cloud': 'api://AzureADTokenExchange',
    'x509-svid': 'true',
    'file-svid': 'svid.0.pem',
    'file-mode-svid_key': '0600',
  });
  const { code, out, errors } = await render([other, map, pod].join('\n---\n'), '--show-secrets');
  assert.equal(code, 0);
  assert.match(
    errors,
    /^warning: [^\n]*file-mode-svid_key: with 0600 container "web" may be unable[^\n]*\n$/,
  );
  const headings = out.split('\n').filter((line) => line.startsWith('# '));
  assert.deepEqual(headings.sort(), [
    '# bundle.pem (mode 0444)',
    '# cloud (mode 0444)',
    '# conf/app.txt (mode 0444)',
    '# db (mode 0444)',
    '# static (mode 0444)',
    '# svid.0.pem (mode 0444)',
    '# svid_key.pem (mode 0600)',
    '# tls (mode 0444)',
  ]);
  assert.match(out, /^# conf\/app\.txt .*\n[\w-]{12} sample$/m);
});

test('a ConfigMap that is not in the manifest is named', async () => {
  const { code, out, errors } = await render(podWith({ 'template-from-app': 'tpl/app' }));
  assert.deepEqual([code, out], [10, '']);
  assert.match(errors, /the pod mounts ConfigMap tpl; add it to the same manifest file/);
});
