/** The CSI driver under a real kubelet: what pods get, what they are told, and what no fault may cost. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  changes,
  handWritten,
  READ,
  revoked,
  settings,
  waitsBecause,
  withSecret,
} from './parts/csi-pods.ts';
import { awaitDriver, driverPods, onNoNode, onEveryNode } from './parts/driver.ts';
import type { List, Pod } from './parts/objects.ts';
import {
  act,
  annotations,
  api,
  eventually,
  FOREVER,
  isReady,
  processesOf,
  shellContainer,
  shellPod,
  Space,
  vault,
  world,
} from './parts/suite.ts';

suite('pods with a CSI volume', { concurrency: true }, () => {
  test('mode csi: files before the first line, no container, one login; nothing is left', async () => {
    await using space = await withSecret();
    await space.create(shellPod('app', settings(space), READ));
    const pod = await space.ready('app');
    assert.equal(await space.logs('app', 'app'), 'first\n', 'it was there at the first line');
    assert.equal(pod.spec.initContainers, undefined);
    assert.equal(pod.spec.containers.length, 1);
    await changes(space, 'app', 'second');
    assert.equal(await space.logins(), 1);
    await space.remove('app');
    await revoked(space);
  });

  test('a volume that is written by hand', async () => {
    await using space = await withSecret();
    const { inject: _, mode: __, ...attributes } = settings(space);
    await space.create(handWritten('app', attributes, READ));
    await space.ready('app');
    assert.equal(await space.logs('app', 'app'), 'first\n');
  });

  test('a PostgreSQL user is renewed, then replaced: it works all the time', async (t) => {
    await using space = await withSecret();
    await space.grantUsers({ default_ttl: '10s', max_ttl: '25s' });
    const asked = settings(space, {
      'template-login': `{{#with (secret "${space.users}")}}{{username}}:{{password}}{{/with}}`,
      'revoke-grace': '3s',
    });
    await space.create(shellPod('app', asked, FOREVER));
    await space.ready('app');
    const seen = new Set<string>();
    const end = performance.now() + 45_000;
    while (performance.now() < end) {
      const login = await space.exec('app', 'app', 'cat', '/vault/secrets/login');
      seen.add(login);
      assert.ok(await logsIn(login), `${login.split(':')[0] ?? ''} does not log in`);
      await delay(500);
    }
    t.diagnostic(`${seen.size} users`);
    assert.ok(seen.size >= 2 && seen.size <= 4, `${seen.size} users`);
    assert.equal(await space.logins(), 1, 'still one login');
    await space.remove('app');
    await revoked(space);
  });

  test('a namespace that enforces the restricted standard takes the pod as it is', async () => {
    await using space = await withSecret({
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    });
    const { warnings } = await api.create<Pod>(space.pods, shellPod('app', settings(space), READ));
    assert.deepEqual(warnings, []);
    await space.ready('app');
  });

  test('a Job completes, init containers see the files', async () => {
    await using space = await withSecret();
    const jobs = `/apis/batch/v1/namespaces/${space.name}/jobs`;
    const read = 'cat /vault/secrets/password; echo';
    await api.create(jobs, {
      metadata: { name: 'once' },
      spec: {
        backoffLimit: 0,
        template: {
          metadata: { annotations: annotations(settings(space, { 'init-containers': 'all' })) },
          spec: {
            restartPolicy: 'Never',
            initContainers: [shellContainer('before', read)],
            containers: [shellContainer('app', read)],
          },
        },
      },
    });
    await eventually('the Job succeeds', async () => {
      const { status } = await api.get<{ status?: { succeeded?: number } }>(`${jobs}/once`);
      return status?.succeeded === 1 ? true : undefined;
    });
    const { items } = await api.get<List<Pod>>(space.pods);
    const name = items[0]?.metadata.name ?? '';
    assert.equal(await space.logs(name, 'before'), 'first\n');
    assert.equal(await space.logs(name, 'app'), 'first\n');
  });

  test("with an fsGroup the files are its own, and nobody else's", async () => {
    await using space = await withSecret();
    const look = `ls -nL /vault/secrets/password; ${READ}`;
    await space.create(
      shellPod('app', settings(space), look, { securityContext: { fsGroup: 2345 } }),
    );
    await space.ready('app');
    const [line = '', content] = (await space.logs('app', 'app')).split('\n');
    assert.match(line, /^-r--r----- +1 0 +2345 /);
    assert.equal(content, 'first', 'the user of the image is none of root');
  });

  test('what it cannot do is denied with the reason', async () => {
    await using space = await withSecret();
    await assert.rejects(
      space.create(shellPod('app', settings(space, { 'on-change': 'signal:HUP@app' }), READ)),
      /on-change: .*nothing of Vouchsafe runs in the pod/,
    );
  });

  test('a pod that is entitled to nothing waits, and its events say why', async () => {
    await using space = await withSecret();
    await space.create(shellPod('app', settings(space, { role: 'nobody' }), READ));
    await waitsBecause(space, 'app', /role "nobody"/);
    assert.equal(await space.tokens(), 0);
  });

  test('an audience of which the kubelet gives no token is refused with the remedy', async () => {
    await using space = await withSecret();
    const { inject: _, mode: __, ...attributes } = settings(space, { audience: 'nowhere' });
    await space.create(handWritten('app', attributes, READ));
    await waitsBecause(space, 'app', /audience.*nowhere|nowhere.*audience/i);
  });

  test('a token for the wrong audience: Vault refuses it, and the events say so', async () => {
    await using space = await withSecret();
    await space.create(shellPod('app', settings(space, { audience: 'other' }), READ));
    await waitsBecause(space, 'app', /audience/i);
  });

  test('forged attributes do not make it another pod', async () => {
    await using owner = await withSecret();
    await using thief = await withSecret();
    const { inject: _, mode: __, ...attributes } = settings(owner);
    const forged = {
      ...attributes,
      'csi.storage.k8s.io/pod.namespace': owner.name,
      'csi.storage.k8s.io/serviceAccount.name': 'default',
      'csi.storage.k8s.io/serviceAccount.tokens': '{"vault":{"token":"forged"}}',
    };
    await thief.create(handWritten('thief', forged, READ));
    await waitsBecause(thief, 'thief', /ERR_VAULT_LOGIN_REFUSED/);
    assert.equal(await owner.tokens(), 0);
  });

  test('a volume that is too small for its files says so', async () => {
    await using space = await withSecret();
    await space.put({ password: 'x'.repeat(200_000) });
    await space.create(shellPod('app', settings(space, { 'volume-size': '64Ki' }), READ));
    await waitsBecause(space, 'app', /ERR_OUTPUT_FULL/);
  });
});

/** Whether PostgreSQL takes user and password, asked as an application would. */
async function logsIn(login: string): Promise<boolean> {
  const { Client } = (await import('pg')).default;
  const client = new Client({ connectionString: `postgres://${login}@${world.database}` });
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

suite('faults of driver and node', () => {
  after(async () => {
    await vault.write('sys/unseal', { key: world.vault.unsealKey });
    await onEveryNode();
  });

  /** A pod that holds a secret and a PostgreSQL user. */
  async function holder(): Promise<Space> {
    const space = await withSecret();
    await space.grantUsers({ default_ttl: '1h', max_ttl: '24h' });
    await space.create(
      shellPod('app', settings(space, { 'secret-login': `${space.users}#username` }), FOREVER),
    );
    await space.ready('app');
    return space;
  }

  async function assertUnharmed(space: Space, value: string): Promise<void> {
    await changes(space, 'app', value);
    assert.equal(await space.logins(), 1, 'no second login');
    assert.equal(await vault.count(space.users), 1, 'no second credential');
  }

  test('the driver is killed: files stay, and its successor goes on', async () => {
    await using space = await holder();
    const [driver] = (await driverPods()).items;
    assert.ok(driver !== undefined);
    for (const pid of processesOf(driver, 'driver')) process.kill(pid, 'SIGKILL');
    assert.equal(await space.exec('app', 'app', 'cat', '/vault/secrets/password'), 'first');
    await awaitDriver(driver);
    await assertUnharmed(space, 'after SIGKILL');
  });

  test('the driver is upgraded: files stay, and the new one goes on', async () => {
    await using space = await holder();
    const [before] = (await driverPods()).items;
    assert.ok(before !== undefined);
    await api.remove(`/api/v1/namespaces/vouchsafe/pods/${before.metadata.name ?? ''}`);
    await awaitDriver(before);
    await assertUnharmed(space, 'after an upgrade');
  });

  test('kubelet and containerd are restarted: nobody notices', async () => {
    await using space = await holder();
    for (const action of ['restart-containerd', 'restart-kubelet'] as const) {
      await act(action);
      await eventually('the node answers', () => space.exec('app', 'app', 'true').then(() => true));
      await assertUnharmed(space, action);
    }
    await space.remove('app');
    await revoked(space);
  });

  test('the driver is away while pods end and start: all is put right when it is back', async () => {
    await using space = await holder();
    await onNoNode();
    await api.remove(`${space.pods}/app`);
    await space.create(shellPod('later', settings(space), READ));
    await delay(5000);
    assert.ok(!isReady(await space.pod('later')));
    assert.equal(await space.tokens(), 1, 'nobody could revoke it yet');
    await onEveryNode();
    await space.ready('later', 180_000);
    await eventually(
      'the pod that ended is gone',
      async () => {
        const { items } = await api.get<List<Pod>>(space.pods);
        return items.some(({ metadata }) => metadata.name === 'app') ? undefined : true;
      },
      180_000,
    );
    await eventually('its lease is revoked, and one token is left', async () =>
      (await space.leases()) === 0 && (await space.tokens()) === 1 ? true : undefined,
    );
  });

  test('Vault is sealed at the start: the pod waits, its events say why, and it starts by itself', async () => {
    await using space = await withSecret();
    await vault.write('sys/seal');
    await space.create(shellPod('app', settings(space), READ));
    await waitsBecause(space, 'app', /sealed/i);
    await vault.write('sys/unseal', { key: world.vault.unsealKey });
    await space.ready('app', 120_000);
    assert.equal(await space.logs('app', 'app'), 'first\n');
  });

  test('Vault is sealed during life: the last good files stay, and fresh ones come after it', async () => {
    await using space = await holder();
    await vault.write('sys/seal');
    await delay(8000);
    assert.equal(await space.exec('app', 'app', 'cat', '/vault/secrets/password'), 'first');
    await vault.write('sys/unseal', { key: world.vault.unsealKey });
    await assertUnharmed(space, 'unsealed');
  });
});
