/**
 * The seed systems on a real node, with their own names and values: the pods are those of manifests/examples, the
 * identities come from SPIRE or the API server, and files get into a pod in each way.
 */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { decodeJwt } from 'jose';
import { AgentBench } from '../helpers/agent-process.ts';
import { waitsBecause } from './parts/csi-pods.ts';
import { IDENTITY_DIRECTORY } from './parts/identity-place.ts';
import { install } from './parts/installing.ts';
import { MACHINE, startMachine } from './parts/machine.ts';
import type { Pod } from './parts/objects.ts';
import { NODES, registered, type Entry } from './parts/registration.ts';
import { BY_BROKER, BY_DELEGATED, BY_HOST_PATH } from './parts/release.ts';
import {
  annotations,
  api,
  containerStatus,
  eventually,
  FOREVER,
  shellPod,
  Space,
  vault,
  world,
} from './parts/suite.ts';
import {
  establish,
  runExample,
  SYSTEMS,
  YOUR_WORKLOAD,
  type RunningExample,
  type System,
} from './parts/systems.ts';

/** A start that failed is tried again by the kubelet, at most two minutes later. */
const START_MS = 180_000;
const DEMO = '/api/v1/namespaces/demo/serviceaccounts';

const WAYS = [
  { name: 'a native sidecar', mode: 'native', values: [] },
  { name: 'init container and sidecar', mode: 'pair', values: [] },
  { name: 'the CSI driver and the Broker API', mode: 'csi', values: BY_BROKER },
  { name: 'the CSI driver and the Delegated Identity API', mode: 'csi', values: BY_DELEGATED },
] as const;

/** These systems have KV version 1 at `secret/`; the rest of the suite has version 2 there. */
before(async () => {
  await moved('secret', 'secret-v2');
  await vault.write('sys/mounts/secret', { type: 'kv', options: { version: '1' } });
  await vault.write('sys/mounts/kvv2', { type: 'kv', options: { version: '2' } });
  await eventually('KV version 2 is there', () =>
    vault.write('kvv2/data/some-secret', { data: { not: 'yours' } }),
  );
  await api.create('/api/v1/namespaces/default/serviceaccounts', named('vault-writer'));
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await api.create('/api/v1/namespaces', { metadata: { name: 'demo', labels } });
  await api.create(DEMO, named('client'));
});

after(async () => {
  await vault.remove('sys/mounts/kvv2');
  await vault.remove('sys/mounts/secret');
  await moved('secret-v2', 'secret');
  await api.remove('/api/v1/namespaces/demo');
  await api.remove('/api/v1/namespaces/default/serviceaccounts/vault-writer');
  await install();
});

function named(name: string): object {
  return { metadata: { name } };
}

async function moved(from: string, to: string): Promise<void> {
  await vault.write('sys/remount', { from, to });
  await eventually(`${from}/ is free`, async () =>
    `${from}/` in (await vault.read('sys/mounts')) ? undefined : true,
  );
}

/** Runs the system's pod until it is ready; its application has read the file at its first line. */
async function starts(system: System, mode: string): Promise<RunningExample> {
  const [file, content] = system.file;
  const logins = await vault.count('auth/jwt/login');
  const line = `cat /vault/secrets/${file}; echo '#'; env | grep ^AZURE_ | sort; echo '#'; ${FOREVER}`;
  const running = await runExample(system.example, line, annotations({ mode, refresh: '2s' }));
  const { space, name } = running;
  await space.ready(name, START_MS);
  assert.equal((await printed(running))[0], content);
  assert.equal(await vault.count('auth/jwt/login'), logins + 1, 'one login');
  return running;
}

/** What its application has seen: the file, and variables of its environment. */
function printed({ space, name, container }: RunningExample): Promise<readonly string[]> {
  return eventually(`${name} prints what it sees`, async () => {
    const parts = (await space.logs(name, container)).split('#\n');
    return parts.length === 3 ? parts : undefined;
  });
}

/** Reads a file of the pod. */
function content({ space, name, container }: RunningExample, file: string): Promise<string> {
  return space.exec(name, container, 'cat', `/vault/secrets/${file}`);
}

for (const { name: way, mode, values } of WAYS) {
  suite(`by ${way}`, () => {
    before(() => install(...values));

    test('1. SPIRE as OIDC provider for Vault: audience TESTING, default role, KV version 1', async () => {
      const system = SYSTEMS.spireOidc;
      await using _ = await establish(system);
      await using pod = await starts(system, mode);
      await vault.write('secret/my-super-secret', { test: '456' });
      await eventually(
        'it reads the value again, whatever the lease of it',
        async () => (await content(pod, 'my-super-secret')) === 'test=456\n' || undefined,
      );
    });

    test('2. the API server as OIDC provider: a projected token, KV version 2', async () => {
      const system = SYSTEMS.serviceAccount;
      await using _ = await establish(system);
      await using pod = await starts(system, mode);
      const look = 'ls /var/run/secrets 2>&1 || true';
      const seen = await pod.space.exec(pod.name, pod.container, 'sh', '-c', look);
      assert.match(seen, /No such file/, 'the application itself has no token');
    });

    test('2. outside the policy: the reason names path, role and mount', async () => {
      await using _ = await establish(SYSTEMS.serviceAccount);
      const settings = annotations({ mode, 'secret-foo': 'kvv2/some-secret' });
      const deadline = annotations(mode === 'csi' ? {} : { 'init-deadline': '5s' });
      await using pod = await runExample(
        SYSTEMS.serviceAccount.example,
        FOREVER,
        { ...settings, ...deadline },
        { restartPolicy: 'Never' },
      );
      await failsWith(pod, mode, /ERR_VAULT_DENIED[^]*kvv2\/some-secret/);
    });

    test('4. OpenShift: a federated token for Entra ID and a secret, from one identity', async () => {
      const system = SYSTEMS.openShift;
      await using _ = await establish(system);
      await using pod = await starts(system, mode);
      const [, env = ''] = await printed(pod);
      assert.deepEqual(env.trim().split('\n'), [
        'AZURE_AUTHORITY_HOST=https://login.microsoftonline.com/',
        'AZURE_CLIENT_ID=00000000-0000-0000-0000-000000000001',
        'AZURE_FEDERATED_TOKEN_FILE=/vault/secrets/azure-identity-token',
        'AZURE_TENANT_ID=00000000-0000-0000-0000-000000000002',
      ]);
      const first = await content(pod, 'azure-identity-token');
      const { sub, aud, iss, exp: end = 0 } = decodeJwt(first);
      assert.equal(sub, 'spiffe://example.org/ns/demo/sa/client');
      assert.deepEqual([aud].flat(), ['api://AzureADTokenExchange']);
      assert.equal(iss, world.issuer.url);
      const next = await eventually('the token is replaced', async () => {
        const token = await content(pod, 'azure-identity-token');
        return token === first ? undefined : token;
      });
      assert.ok((decodeJwt(next).iat ?? 0) < end, 'while the old one had life left');
    });

    test('5. what a Vault Agent patched with SPIFFE auto-auth did: one login, an ID of its own', async () => {
      const system = SYSTEMS.vaultAgent;
      await using _ = await establish(system);
      await using _entry = await registered(yourWorkload());
      await using _pod = await starts(system, mode);
    });
  });
}

/** Waits for the reason in the last state of the agent, or in the events of a pod that waits for its volume. */
async function failsWith(
  { space, name }: RunningExample,
  mode: string,
  why: RegExp,
): Promise<void> {
  if (mode === 'csi') return waitsBecause(space, name, why);
  const agent = mode === 'native' ? 'vouchsafe-agent' : 'vouchsafe-init';
  const message = (pod: Pod): string => {
    const { state, lastState } = containerStatus(pod, agent);
    return (state?.terminated ?? lastState?.terminated)?.message ?? '';
  };
  await space.until(name, (pod) => why.test(message(pod)));
}

function yourWorkload(): Entry {
  return {
    entry_id: 'your-workload',
    spiffe_id: YOUR_WORKLOAD,
    parent_id: NODES,
    selectors: ['ns:default', 'pod-name:your-workload'].map((value) => ({ type: 'k8s', value })),
  };
}

suite('3. a machine outside the cluster', () => {
  test('an agent by join token: X.509-SVID files under names of its choice, and a secret', async () => {
    const spiffeId = 'spiffe://example.org/myservice';
    await using machine = await startMachine();
    await using _entry = await registered({
      entry_id: 'myservice',
      spiffe_id: spiffeId,
      parent_id: MACHINE,
      selectors: [{ type: 'unix', value: `uid:${process.getuid?.() ?? ''}` }],
    });
    await using _ = await establish({
      ...SYSTEMS.vaultAgent,
      role: [
        'myservice',
        {
          role_type: 'jwt',
          user_claim: 'sub',
          bound_audiences: 'vault',
          bound_subject: spiffeId,
          token_policies: 'myservice',
        },
      ],
      policy: ['myservice', 'path "secret/myservice" { capabilities = ["read"] }'],
      secret: ['secret/myservice', { password: 'machine' }],
    });
    const path = new URL('../../manifests/examples/03-outside-cluster/agent.json', import.meta.url);
    const example = JSON.parse(await readFile(path, 'utf8')) as { readonly x509Svid: object };
    await using bench = await AgentBench.create();
    const agent = await bench.start({
      spiffe: { socket: `unix://${machine.socket}`, spiffeId },
      vault: { address: world.vault.address },
      auth: { mount: 'jwt', role: 'myservice' },
      files: [
        { name: 'database', path: 'database.env', secret: 'secret/myservice', format: 'env' },
      ],
      x509Svid: example.x509Svid,
      stateDirectory: bench.stateDirectory,
    });
    assert.equal(await bench.until('database.env', () => true), 'password=machine\n');
    const svid = new X509Certificate(await bench.file('svid.0.pem'));
    assert.equal(svid.subjectAltName, `URI:${spiffeId}`);
    assert.ok(svid.checkPrivateKey(createPrivateKey(await bench.file('svid.0.key'))));
    assert.ok(svid.verify(new X509Certificate(await bench.file('bundle.0.pem')).publicKey));
    assert.equal((await stat(join(bench.output, 'svid.0.key'))).mode & 0o777, 0o600);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
  });
});

suite('the directory of the Workload API', () => {
  for (const [name, values, expected] of [
    ['by host path', BY_HOST_PATH, { hostPath: { path: IDENTITY_DIRECTORY, type: 'Directory' } }],
    [
      'by csi.spiffe.io, under the name that it has in OpenShift',
      ['--set=spiffe.socket=/run/spire/sockets/spire-agent.sock', '--set=agent.setUser=false'],
      { csi: { driver: 'csi.spiffe.io', readOnly: true } },
    ],
  ] as const) {
    test(name, async () => {
      await install(...values);
      const volume = (await svidPod()).find(({ name: one }) => one === 'vouchsafe-spiffe');
      assert.deepEqual(volume, { name: 'vouchsafe-spiffe', ...expected });
    });
  }
});

/** Volumes of a pod that wants nothing but its X.509-SVID, and gets it without any login. */
async function svidPod(): Promise<readonly { readonly name: string }[]> {
  await using space = await Space.create();
  await space.create(shellPod('app', { inject: 'true', 'x509-svid': 'true' }, FOREVER));
  const pod = await space.ready('app');
  const files = await space.exec('app', 'app', 'ls', '/vault/secrets');
  assert.deepEqual(files.trim().split('\n'), ['bundle.pem', 'svid.pem', 'svid_key.pem']);
  assert.equal(await space.logins(), 0);
  return pod.spec['volumes'] as readonly { readonly name: string }[]; // as Kubernetes has them
}
