import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import {
  INSTALLATION_SCHEMA,
  parseInstallation,
} from '../../../../src/config/installation/index.ts';
import { VouchsafeError } from '../../../../src/core/index.ts';

const isValid = new Ajv({ strict: true }).compile(INSTALLATION_SCHEMA);

function problemsOf(values: unknown): string {
  try {
    parseInstallation(values);
    return '';
  } catch (error) {
    assert.ok(error instanceof VouchsafeError);
    assert.equal(error.code, 'ERR_CONFIG_INVALID');
    return error.message;
  }
}

const NAMESPACE_ANNOTATIONS = (
  'inject mode identity vault role auth-method auth-mount auth-svid audience spiffe-id spiffe-hint x509-svid x509-svid-format x509-svid-password refresh file-mode ' +
  'on-change env-on-change containers init-containers init-first mount-path volume-size on-missing-vault init-deadline start-gate revoke-on-exit ' +
  'revoke-grace revoke-delay cpu memory ephemeral-storage log-level port azure-client-id azure-tenant-id azure-authority-host ' +
  'aws-role-arn aws-region aws-role-session-name aws-audience gcp-workload-identity-provider gcp-service-account gcp-audience'
).split(' ');

test('an installation without values has every default', () => {
  assert.deepEqual(parseInstallation(undefined), parseInstallation({}));
  assert.deepEqual(parseInstallation({}), {
    annotationPrefix: 'vouchsafe.dev',
    agent: {
      image: 'vouchsafe:0.1.0',
      imagePullPolicy: 'IfNotPresent',
      setUser: true,
      allowImageOverride: false,
      maxRenderBytes: 32 * 1024 * 1024,
      architectures: ['amd64', 'arm64'],
    },
    certificate: {
      mode: 'own',
      validityMs: 90 * 86_400_000,
      renewBeforeMs: 30 * 86_400_000,
      caBundle: undefined,
    },
    env: { enabled: false },
    events: { enabled: true },
    defaults: {},
    vault: {
      default: 'default',
      allowPodAddress: false,
      namespaceAnnotations: NAMESPACE_ANNOTATIONS,
      connections: {
        default: {
          address: 'https://vault.vault.svc:8200',
          namespace: undefined,
          caPem: undefined,
          caConfigMap: undefined,
          clusterTrustBundle: undefined,
          tlsServerName: undefined,
          redirectHosts: [],
          proxy: undefined,
        },
      },
      policies: [],
    },
    spiffe: {
      socket: 'unix:///run/spire/sockets/agent.sock',
      volume: 'csi',
      csiDriver: 'csi.spiffe.io',
      hostPath: '/run/spire/sockets',
    },
    csi: {
      enabled: false,
      driverName: 'csi.vouchsafe.dev',
      identity: { kind: 'service-account', socket: '', agentIds: [] },
      tokenAudiences: ['vault'],
      maxVolumeBytes: 8 * 1024 * 1024,
      minRefreshMs: 10_000,
      maxDependencies: 256,
      maxRenderBytes: 8 * 1024 * 1024,
      rendering: { processes: 2, timeoutMs: 2000, heapBytes: 64 * 1024 * 1024 },
      volumeStats: false,
      perPodMetrics: false,
    },
    webhook: {
      excludedNamespaces: ['kube-system', 'kube-public', 'kube-node-lease'],
      maxBodyBytes: 3_145_728,
      clientCa: undefined,
    },
  });
});

test('the CSI driver has one identity, and settings of another one are rejected', () => {
  const csi = {
    enabled: true,
    identity: {
      kind: 'broker',
      socket: '/run/spire/broker/api.sock',
      agentIds: ['spiffe://example.org/spire/agent/x'],
    },
    tokenAudiences: [],
  };
  const parsed = parseInstallation({ csi }).csi;
  assert.equal(parsed.identity.socket, 'unix:///run/spire/broker/api.sock');
  assert.deepEqual(parsed.tokenAudiences, []);
  const message = problemsOf({ csi: { ...csi, identity: { ...csi.identity, kind: 'delegated' } } });
  assert.match(message, /csi\.identity\.agentIds: has no effect unless kind is broker/);
});

/** Name -> what `csi` holds, and the problem that is reported. */
const CSI_REJECTED: Readonly<Record<string, readonly [object, RegExp]>> = {
  'a socket that nothing uses': [
    { identity: { socket: '/a/b' } },
    /csi\.identity\.socket: has no effect unless kind is broker or delegated/,
  ],
  'a broker without a socket': [
    { identity: { kind: 'broker' } },
    /csi\.identity\.socket: is missing/,
  ],
  'agents of two trust domains': [
    { identity: { kind: 'broker', socket: '/a/b', agentIds: ['spiffe://a/b', 'spiffe://b/b'] } },
    /csi\.identity\.agentIds: must be of one trust domain/,
  ],
  'an agent without a SPIFFE ID': [
    { identity: { kind: 'broker', socket: '/a/b', agentIds: ['agent'] } },
    /csi\.identity\.agentIds\[0\]: /,
  ],
  'an admin socket over TCP': [
    { identity: { kind: 'delegated', socket: 'tcp://127.0.0.1:1' } },
    /csi\.identity\.socket: must be a Unix socket/,
  ],
  'service accounts without tokens': [{ tokenAudiences: [] }, /csi\.tokenAudiences: must not be/],
  'an audience given twice': [
    { tokenAudiences: ['a', 'a'] },
    /csi\.tokenAudiences: contains "a" twice/,
  ],
  'no minimum of refresh': [{ minRefresh: '0s' }, /csi\.minRefresh: must be at least 1s/],
  'no dependency at all': [{ maxDependencies: 0 }, /csi\.maxDependencies: must be/],
  'no room for a volume': [{ maxVolumeSize: '1Ki' }, /csi\.maxVolumeSize: must be at least 65536/],
  'no room for a rendering': [
    { maxRenderBytes: '63Ki' },
    /csi\.maxRenderBytes: must be a size from/,
  ],
  'a rendering without a limit': [
    { maxRenderBytes: '2Gi' },
    /csi\.maxRenderBytes: must be a size from/,
  ],
  'two drivers on one node at the same time': [
    { updateStrategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } } },
    /csi\.updateStrategy\.rollingUpdate\.maxSurge: must be a whole number from 0 to 0/,
  ],
  'a surge as a percentage': [
    { updateStrategy: { rollingUpdate: { maxSurge: '10%' } } },
    /csi\.updateStrategy\.rollingUpdate\.maxSurge: must be/,
  ],
  'an invalid name of a driver': [{ driverName: 'CSI' }, /csi\.driverName: must be the name/],
};

for (const [name, [csi, pattern]] of Object.entries(CSI_REJECTED)) {
  test(`rejected for the CSI driver: ${name}`, () => assert.match(problemsOf({ csi }), pattern));
}

test('the default image has the version of this project', () => {
  const file = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(file) as { version: string }; // npm requires it
  assert.equal(parseInstallation({}).agent.image, `vouchsafe:${version}`);
});

test('a digest pins the image', () => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const { agent } = parseInstallation({ agent: { image: { repository: 'r', tag: 't', digest } } });
  assert.equal(agent.image, `r:t@${digest}`);
});

test('the agent has the image of the webhook, part by part', () => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const image = { repository: 'r', tag: 't', digest, pullPolicy: 'Always' };
  const agentOf = (own: object) => parseInstallation({ image, agent: { image: own } }).agent;
  assert.equal(agentOf({}).image, `r:t@${digest}`);
  assert.equal(agentOf({}).imagePullPolicy, 'Always');
  assert.equal(agentOf({ tag: 'u' }).image, 'r:u', 'the digest is that of another image');
  assert.equal(agentOf({ repository: 's' }).image, 's:t');
});

test('the only connection is the default, whatever its name', () => {
  const { vault } = parseInstallation({
    vault: { connections: { prod: { address: 'http://v' } } },
  });
  assert.equal(vault.default, 'prod');
});

test('defaults may be written as Helm users write them', () => {
  const { defaults } = parseInstallation({ defaults: { 'revoke-on-exit': false, port: 9200 } });
  assert.deepEqual(defaults, { 'revoke-on-exit': 'false', port: '9200' });
});

test('values that only the chart reads are accepted', () => {
  const values = { replicas: 3, image: { tag: 'x' }, webhook: { timeoutSeconds: 5 } };
  assert.equal(problemsOf(values), '');
  assert.ok(isValid(values));
});

const REJECTED: Readonly<Record<string, readonly [unknown, RegExp]>> = {
  'an unknown key': [{ agnet: {} }, /agnet: is not known; did you mean "agent"\?/],
  'an unknown key further down': [{ agent: { image: { tagg: 'x' } } }, /agent\.image\.tagg/],
  'an unknown default': [{ defaults: { rolle: 'x' } }, /defaults\.rolle: .*"role"/],
  'inject as a default of all pods': [{ defaults: { inject: true } }, /defaults\.inject/],
  'a setting of one file as a default': [
    { defaults: { 'secret-a': 'kv/a' } },
    /defaults\.secret-a/,
  ],
  'a default that the annotation would not accept': [
    { defaults: { 'init-deadline': 'soon' } },
    /defaults\.init-deadline: must be a duration/,
  ],
  'a default connection that does not exist': [
    { vault: { default: 'b', connections: { a: { address: 'http://v' } } } },
    /vault\.default: "b" is not one of the connections: a/,
  ],
  'a chosen connection that does not exist': [
    { defaults: { vault: 'b' }, vault: { connections: { a: { address: 'http://v' } } } },
    /vault\.connections: must contain "b", which is set in defaults\.vault/,
  ],
  'a connection whose proxy has credentials': [
    {
      vault: { connections: { a: { address: 'https://v', proxy: 'http://user:word@p:1' } } },
    },
    /a\.proxy: must not contain credentials, which everyone who can read/,
  ],
  'a connection whose proxy speaks SOCKS': [
    { vault: { connections: { a: { address: 'https://v', proxy: 'socks5://p:1' } } } },
    /a\.proxy: must be the URL of an HTTP proxy, such as http:\/\/proxy\.example:3128/,
  ],
  'a connection without address': [{ vault: { connections: { a: {} } } }, /a\.address: is missing/],
  'two CAs': [
    {
      vault: {
        connections: {
          a: {
            address: 'http://v',
            caPem: '-----BEGIN CERTIFICATE-----',
            caConfigMap: { name: 'a', key: 'b' },
          },
        },
      },
    },
    /caPem: conflicts with caConfigMap/,
  ],
  'a tcp socket with a volume': [{ spiffe: { socket: 'tcp://127.0.0.1:1' } }, /spiffe\.volume/],
  'a host path without effect': [{ spiffe: { hostPath: '/x/y' } }, /spiffe\.hostPath/],
  'a fractional body limit': [{ webhook: { maxBodyBytes: 1.5 } }, /webhook\.maxBodyBytes/],
  'a list': [[], /document: must be an object/],
};

for (const [name, [values, pattern]] of Object.entries(REJECTED)) {
  test(`rejected: ${name}`, () => {
    assert.match(problemsOf(values), pattern);
  });
}

test('every problem is listed at once', () => {
  const message = problemsOf({ agnet: 1, defaults: { mode: 'x' }, spiffe: { volume: 'nfs' } });
  assert.equal(message.split('\n  - ').length, 4);
});

test('a certificate is renewed a third of its lifetime before its expiry, unless renewBefore is set', () => {
  const { certificate } = parseInstallation({ certificate: { validity: '3h' } });
  assert.equal(certificate.renewBeforeMs, 3_600_000);
  const other = parseInstallation({ certificate: { validity: '3h', renewBefore: '10m' } });
  assert.equal(other.certificate.renewBeforeMs, 600_000);
});

test('every problem of certificate and policies is reported', () => {
  const problems = problemsOf({
    certificate: { mode: 'secret', validity: '1h', renewBefore: '1h', caBundle: 'x' },
    vault: {
      policies: [
        { name: 'a', roles: 'r' },
        { name: 'a', namespaces: ['*'], rols: [] },
      ],
    },
  });
  for (const expected of [
    'certificate.renewBefore: must be shorter than validity',
    'certificate.secretName: is missing',
    'certificate.caBundle: must be PEM text of certificates',
    'vault.policies[0].namespaces: is missing',
    'vault.policies[0].roles: must be a list',
    'vault.policies[1].rols: is not known; did you mean "roles"?',
    'vault.policies[1].name: "a" is used twice',
  ]) {
    assert.ok(problems.includes(expected), expected);
  }
  const values = { certificate: { caBundle: '-----BEGIN CERTIFICATE-----' } };
  assert.match(problemsOf(values), /has no effect unless mode is secret/);
});
