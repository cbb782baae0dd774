/** Several connections and roles in one pod: one login for each, under the policies of the installation. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { configIn, injectPod, podWith, problemsOf, type Given } from './harness.ts';

const CONNECTIONS = {
  default: {
    address: 'https://vault.example:8200',
    caConfigMap: { name: 'vault-ca', key: 'ca.crt' },
  },
  reports: {
    address: 'https://reports.example:8200',
    namespace: 'team',
    caConfigMap: { name: 'reports-ca', key: 'ca.crt' },
  },
  plain: { address: 'https://plain.example:8200' },
  http: { address: 'http://vault.example:8200' },
};
const INSTALLATION = parseInstallation({ vault: { connections: CONNECTIONS } });

function injected(annotations: Given, installation = INSTALLATION) {
  const result = injectPod(podWith(annotations), { installation });
  assert.equal(result.outcome, 'injected', problemsOf(result).join('\n'));
  return { pod: result.pod, config: configIn(result.pod) };
}

function denied(annotations: Given, installation = INSTALLATION) {
  const result = injectPod(podWith(annotations), { installation });
  assert.equal(result.outcome, 'denied');
  return { problems: problemsOf(result), reason: result.reason };
}

suite('logins of a pod', () => {
  test('files with the same connection and role share one login', () => {
    const { config } = injected({
      role: 'web',
      'secret-b': 'kvv2/b',
      'vault-b': 'reports',
      'role-b': 'reports',
      'secret-c': 'kvv2/c',
      'vault-c': 'reports',
      'role-c': 'reports',
      'secret-d': 'kvv2/d',
      'vault-d': 'default',
      'role-d': 'web',
      'secret-e': 'kvv2/e',
      'role-e': 'admin',
    });
    assert.deepEqual(
      config.files.map(({ name, login }) => [name, login]),
      [
        ['app', undefined],
        ['b', 'reports/reports'],
        ['c', 'reports/reports'],
        ['d', undefined],
        ['e', 'default/admin'],
      ],
    );
    assert.equal(config.auth?.role, 'web');
    assert.deepEqual(
      config.logins.map(({ name, vault, auth }) => [name, vault.address, vault.namespace, auth]),
      [
        [
          'reports/reports',
          'https://reports.example:8200',
          'team',
          { ...config.auth, role: 'reports' },
        ],
        [
          'default/admin',
          'https://vault.example:8200',
          undefined,
          { ...config.auth, role: 'admin' },
        ],
      ],
    );
  });

  test('a login that no file uses is not made', () => {
    const { config } = injected({ role: 'web', 'role-app': 'own', 'vault-app': 'plain' });
    assert.deepEqual(config.logins, []);
    assert.equal(config.auth?.role, 'own');
    assert.equal(config.vault?.address, 'https://plain.example:8200');
    assert.equal(config.files[0]?.login, undefined);
  });

  test('a file without a role of its own has that of the pod, also at another connection', () => {
    const { config } = injected({ role: 'web', 'secret-b': 'kvv2/b', 'vault-b': 'plain' });
    assert.deepEqual(
      config.logins.map(({ name, auth }) => [name, auth.role]),
      [['plain/web', 'web']],
    );
  });

  test('each connection with a CA in the cluster has a volume of its own', () => {
    const { pod, config } = injected({
      'secret-b': 'kvv2/b',
      'vault-b': 'reports',
      'secret-c': 'kvv2/c',
      'vault-c': 'reports',
      'role-c': 'other',
    });
    const volumes = pod.spec.volumes?.filter(({ name }) => name.startsWith('vouchsafe-ca')) ?? [];
    assert.deepEqual(
      volumes.map(({ name, configMap }) => [name, (configMap as { name: string }).name]),
      [
        ['vouchsafe-ca', 'vault-ca'],
        ['vouchsafe-ca-1', 'reports-ca'],
      ],
    );
    assert.deepEqual(
      [config, ...config.logins].map(({ vault }) => vault?.caFile),
      ['/run/vouchsafe/ca/ca.crt', '/run/vouchsafe/ca-1/ca.crt', '/run/vouchsafe/ca-1/ca.crt'],
    );
    const again = injectPod(pod, { installation: INSTALLATION });
    assert.deepEqual(again.pod, pod, 'injecting its own output changes nothing');
  });
});

test('the X.509-SVID logs in where the pod chooses it, and only then', () => {
  const method = { 'auth-method': 'spiffe' };
  assert.equal(injected({ ...method, 'auth-svid': 'x509' }).config.auth?.svid, 'x509');
  assert.equal(injected({ ...method, 'auth-svid': 'jwt' }).config.auth?.svid, undefined);
  const installation = parseInstallation({
    vault: { connections: CONNECTIONS },
    defaults: { 'auth-svid': 'x509' },
  });
  assert.equal(injected(method, installation).config.auth?.svid, 'x509');
  assert.equal(injected({}, installation).config.auth?.svid, undefined, 'a default for others');
});

suite('logins of a pod: denials', () => {
  const DENIED: Readonly<Record<string, readonly [Given, RegExp]>> = {
    'a connection that does not exist': [
      { 'vault-app': 'nowhere' },
      /^vault-app: the connection "nowhere" does not exist/,
    ],
    'an address that the installation does not allow': [
      { 'vault-app': 'https://evil.example' },
      /^vault-app: .*allowPodAddress/,
    ],
    'a role for a file that does not exist': [
      { 'role-other': 'web' },
      /^role-other: has no effect without a file "other"/,
    ],
    'a connection for a file that does not exist': [
      { 'vault-other': 'plain' },
      /^vault-other: has no effect without a file "other"/,
    ],
    'a role for a JWT-SVID': [
      { 'jwt-svid-token': 'api://x', 'role-token': 'web' },
      /^role-token: conflicts with vouchsafe.dev\/jwt-svid-token/,
    ],
    'a connection for an X.509-SVID': [
      { 'x509-svid': 'true', 'vault-svid': 'plain' },
      /^vault-svid: conflicts with vouchsafe.dev\/x509-svid/,
    ],
    'a certificate without TLS': [
      { 'auth-method': 'cert', vault: 'http' },
      /^auth-method: cert requires an https address/,
    ],
    'a certificate without TLS for one file': [
      { 'auth-method': 'spiffe', 'auth-svid': 'x509', 'vault-app': 'http' },
      /^auth-svid: x509 requires an https address: .* "http" is http:/,
    ],
    'a connection for one file of a volume': [
      { mode: 'csi', 'vault-app': 'plain' },
      /^vault-app: conflicts with vouchsafe.dev\/mode csi: the driver logs in once for a volume/,
    ],
    'a role for one file of a volume': [
      { mode: 'csi', 'role-app': 'web' },
      /^role-app: conflicts with vouchsafe.dev\/mode csi: the driver logs in once for a volume/,
    ],
  };
  for (const [name, [annotations, problem]] of Object.entries(DENIED)) {
    test(name, () => {
      const installation = parseInstallation({
        vault: { connections: CONNECTIONS },
        csi: { enabled: true },
      });
      const { problems } = denied(annotations, installation);
      assert.ok(
        problems.some((text) => problem.test(text)),
        problems.join('\n'),
      );
    });
  }

  test('more logins than an agent may have', () => {
    const many = Array.from({ length: 17 }, (_, index) => [
      [`secret-f${index}`, 'kvv2/f'],
      [`role-f${index}`, `r${index}`],
    ]).flat() as [string, string][];
    const { problems } = denied(Object.fromEntries(many));
    assert.match(problems.join('\n'), /18 different logins; the maximum is 16/);
  });

  test('where csi is only a default, such a pod gets an agent', () => {
    const installation = parseInstallation({
      vault: { connections: CONNECTIONS },
      csi: { enabled: true },
      defaults: { mode: 'csi' },
    });
    const { config } = injected({ 'secret-b': 'kvv2/b', 'vault-b': 'plain' }, installation);
    assert.equal(config.logins.length, 1);
  });
});

suite('logins of a pod under policies', () => {
  const policies = [
    {
      name: 'web',
      namespaces: ['default'],
      connections: ['default'],
      roles: ['web'],
      paths: ['kvv2/app', 'kvv2/web/*'],
    },
    {
      name: 'reports',
      namespaces: ['default'],
      connections: ['reports'],
      roles: ['reports'],
      paths: ['kvv2/reports/*'],
    },
  ];
  const installation = parseInstallation({ vault: { connections: CONNECTIONS, policies } });
  const REPORTS = { 'vault-b': 'reports', 'role-b': 'reports' };

  test('each login has what the policies that allow it grant', () => {
    const { config } = injected(
      { role: 'web', 'secret-b': 'kvv2/reports/b', ...REPORTS },
      installation,
    );
    assert.deepEqual(
      [config, ...config.logins].map(({ grants }) => grants?.map(({ policy }) => policy)),
      [['web'], ['reports']],
    );
  });

  const DENIED: Readonly<Record<string, readonly [Given, RegExp]>> = {
    'a path of one login by another one': [
      { role: 'web', 'secret-b': 'kvv2/web/x', ...REPORTS },
      /^secret-b: kvv2\/web\/x: policy "reports" does not allow this path/,
    ],
    'a role at another connection': [
      { role: 'web', 'secret-b': 'kvv2/reports/b', 'vault-b': 'reports' },
      /^role: policy "reports" does not allow this role/,
    ],
    'a connection that no policy allows': [
      { role: 'web', 'secret-b': 'kvv2/web/b', 'vault-b': 'plain' },
      /^vault-b: policy "web" does not allow this connection/,
    ],
    'a role of one file': [
      { role: 'web', 'secret-b': 'kvv2/web/b', 'role-b': 'admin' },
      /^role-b: policy "web" does not allow this role/,
    ],
  };
  for (const [name, [annotations, problem]] of Object.entries(DENIED)) {
    test(`denied: ${name}`, () => {
      const { problems, reason } = denied(annotations, installation);
      assert.equal(reason, 'forbidden');
      assert.ok(
        problems.some((text) => problem.test(text)),
        problems.join('\n'),
      );
    });
  }
});
