/** The CSI driver on a node where things go wrong: what pods have, they keep; what they wait for comes by itself. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  changes,
  gone,
  isMounted,
  KUBELET_MS,
  password,
  READ,
  revoked,
  settings,
  waitsBecause,
  withSecret,
} from './parts/csi-pods.ts';
import { awaitDriver, driverMetrics, killDriver, onEveryNode, theDriver } from './parts/driver.ts';
import { answers } from './parts/installing.ts';
import { starve } from './parts/memory.ts';
import type { List } from './parts/objects.ts';
import {
  act,
  api,
  containerStatus,
  eventually,
  FOREVER,
  shellPod,
  Space,
  vault,
  world,
} from './parts/suite.ts';

/** The kubelet looks each ten seconds for somebody to evict; by then there is nobody but those that it must not. */
const TWO_ROUNDS_MS = 25_000;

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

async function unseal(): Promise<void> {
  await vault.write('sys/unseal', { key: world.vault.unsealKey });
}

suite('faults of the driver', () => {
  after(async () => {
    await unseal();
    await onEveryNode();
  });

  test('the driver is killed: files stay, and its successor goes on', async () => {
    await using space = await holder();
    const killed = await killDriver();
    assert.equal(await password(space, 'app'), 'first');
    await awaitDriver(killed);
    await assertUnharmed(space, 'after SIGKILL');
  });

  test('the driver runs out of memory: files stay, and its successor goes on', async () => {
    await using space = await holder();
    const before = await theDriver();
    starve(before, 'driver');
    // A driver at rest may get by with the memory that it has: more is needed to publish a volume.
    await using more = await withSecret();
    await more.create(shellPod('app', settings(more), FOREVER));
    await awaitDriver(before);
    const { lastState } = containerStatus(await theDriver(), 'driver');
    assert.equal(lastState?.terminated?.reason, 'OOMKilled');
    assert.equal(await password(space, 'app'), 'first');
    await assertUnharmed(space, 'after OOM');
    await more.ready('app', KUBELET_MS);
    await space.remove('app');
    await revoked(space);
  });

  test('the driver is upgraded: files stay, and the new one goes on', async () => {
    await using space = await holder();
    const before = await theDriver();
    await api.remove(`/api/v1/namespaces/vouchsafe/pods/${before.metadata.name ?? ''}`);
    await awaitDriver(before);
    await assertUnharmed(space, 'after an upgrade');
  });

  test('the driver is killed during a publish, before its login: its successor completes it', async () => {
    await using space = await withSecret();
    await vault.write('sys/seal');
    const pod = await space.create(shellPod('app', settings(space), READ));
    await eventually('half of it is done', () => isMounted(pod) || undefined);
    await awaitDriver(await killDriver());
    assert.ok(isMounted(pod), 'its mount outlives it');
    await unseal();
    await space.ready('app', KUBELET_MS);
    assert.equal(await space.printed('app', 'app'), 'first\n');
    assert.equal(await space.logins(), 1);
    await space.remove('app');
    await revoked(space);
  });

  test('the driver is killed during a publish, after its login: its successor goes on with the same token', async () => {
    await using space = await withSecret();
    await waitsForSecret(space);
    // A token that Vault has granted is the driver's only once it has saved it; by then it asks for the secret.
    await waitsBecause(space, 'app', /later/);
    await awaitDriver(await killDriver());
    await putLater(space);
    await space.ready('app', KUBELET_MS);
    assert.equal(await space.logins(), 1);
    await space.remove('app');
    await revoked(space);
  });

  test("a login that waits for a token goes on with the kubelet's next call, with a running pod", async () => {
    const life = { token_ttl: '15s', token_max_ttl: '15s' };
    await using space = await withSecret({}, life);
    await space.create(shellPod('app', settings(space), FOREVER));
    await space.ready('app');
    // The kubelet's token is good for an hour, and logs in again and again.
    await eventually('it logs in again', async () => (await space.logins()) >= 3 || undefined);
    // Its successor has none until the kubelet's next call.
    await awaitDriver(await killDriver());
    await changes(space, 'app', 'by a newer token', KUBELET_MS);
    assert.ok((await knownPublishes()) >= 1, 'the kubelet has asked again for what is there');
    assert.equal((await space.pod('app')).status?.containerStatuses?.[0]?.restartCount, 0);
  });
});

suite('faults of the node', () => {
  after(async () => {
    await act('have-power');
    await act('have-memory-again');
    await onEveryNode();
  });

  test('kubelet and containerd are restarted: no pod is affected', async () => {
    await using space = await holder();
    for (const action of ['restart-containerd', 'restart-kubelet'] as const) {
      await act(action);
      await eventually('the node answers', () => space.exec('app', 'app', 'true').then(() => true));
      await assertUnharmed(space, action);
    }
    await space.remove('app');
    await revoked(space);
    await answers(); // a kubelet that was restarted takes pods for unready until it has probed them again
  });

  test('the kubelet is restarted during a publish: it calls again, and the same start goes on', async () => {
    await using space = await withSecret();
    await waitsForSecret(space);
    await act('restart-kubelet');
    await putLater(space);
    await space.ready('app', KUBELET_MS);
    assert.equal(await space.logins(), 1);
    await space.remove('app');
    await revoked(space);
    await answers();
  });

  test('the node is rebooted: pods come back with a new login, and nothing old stays', async () => {
    // Nobody knows of what was held before: it lives to its TTL.
    await using space = await withSecret({}, { token_ttl: '30s' });
    await space.grantUsers({ default_ttl: '30s', max_ttl: '1h' });
    const asked = settings(space, { 'secret-login': `${space.users}#username` });
    const pods = await Promise.all(
      ['app', 'ends'].map((name) => space.create(shellPod(name, asked, READ))),
    );
    for (const name of ['app', 'ends']) await space.ready(name);
    const [app] = pods;
    assert.ok(app !== undefined && pods.every(isMounted));
    const before = await theDriver();
    await act('lose-power');
    assert.ok(!pods.some(isMounted), 'mounts are gone');
    await space.put({ password: 'second' });
    await api.remove(`${space.pods}/ends`);
    await act('have-power');
    await awaitDriver(before);
    await space.until(
      'app',
      ({ status }) =>
        status?.containerStatuses?.every((one) => one.ready && one.restartCount > 0) === true,
      KUBELET_MS,
    );
    assert.equal((await space.pod('app')).metadata.uid, app.metadata.uid, 'the same pod');
    assert.equal(await space.printed('app', 'app'), 'second\n', 'it was there at the first line');
    assert.ok(isMounted(app));
    await gone(space, 'ends');
    assert.equal(await space.logins(), 3);
    await eventually('what was held before is over', async () =>
      (await space.tokens()) === 1 && (await space.leases()) === 1 ? true : undefined,
    );
    await changes(space, 'app', 'third');
    await answers();
    await space.remove('app');
    await revoked(space);
  });

  test('the node is short of memory: pods that are evicted leave nothing, the driver stays and serves the others', async () => {
    await using space = await holder();
    await using vital = await withSecret();
    await vital.create(
      shellPod('app', settings(vital), FOREVER, { priorityClassName: 'system-node-critical' }),
    );
    await vital.ready('app');
    const before = await theDriver();
    await act('run-short-of-memory');
    const evicted = await space.until('app', ({ status }) => status?.phase === 'Failed', 180_000);
    assert.equal(evicted.status?.reason, 'Evicted');
    await revoked(space);
    assert.ok(!isMounted(evicted), 'its memory is given back');
    await delay(TWO_ROUNDS_MS);
    await changes(vital, 'app', 'short of memory');
    const during = await theDriver();
    assert.equal(during.metadata.uid, before.metadata.uid, 'the same driver');
    assert.equal(
      containerStatus(during, 'driver').restartCount,
      containerStatus(before, 'driver').restartCount,
    );
    assert.equal(await vital.logins(), 1);
    await act('have-memory-again');
    await eventually('the node takes pods again', hasNoTaints, 120_000);
    await space.create(shellPod('later', settings(space), READ));
    await space.ready('later', 120_000);
  });
});

suite('Vault is away', () => {
  after(unseal);

  test('Vault is sealed at the start: the pod waits, its events say why, and it starts by itself', async () => {
    await using space = await withSecret();
    await vault.write('sys/seal');
    await space.create(shellPod('app', settings(space), READ));
    await waitsBecause(space, 'app', /sealed/i);
    await unseal();
    await space.ready('app', KUBELET_MS);
    assert.equal(await space.printed('app', 'app'), 'first\n');
  });

  test('Vault is sealed later: the last good files stay, and fresh ones follow', async () => {
    await using space = await holder();
    await vault.write('sys/seal');
    await delay(8000);
    assert.equal(await password(space, 'app'), 'first');
    await unseal();
    await assertUnharmed(space, 'unsealed');
  });
});

/** A pod that has logged in, and waits for a secret that nobody has written yet. */
async function waitsForSecret(space: Space): Promise<void> {
  const asked = settings(space, { 'secret-later': `secret/${space.name}/later#password` });
  await space.create(shellPod('app', asked, READ));
  await eventually('it has logged in', async () => (await space.tokens()) === 1 || undefined);
}

async function putLater(space: Space): Promise<void> {
  await vault.write(`secret/data/${space.name}/later`, { data: { password: 'later' } });
}

/** How often the driver that runs was asked for volumes that were there. */
async function knownPublishes(): Promise<number> {
  const found = /^vouchsafe_csi_publishes_total\{result="known"\} (\d+)$/m.exec(
    await driverMetrics(),
  );
  return Number(found?.[1] ?? 0);
}

async function hasNoTaints(): Promise<true | undefined> {
  const { items } =
    await api.get<List<{ readonly spec: { readonly taints?: readonly unknown[] } }>>(
      '/api/v1/nodes',
    );
  return items.every(({ spec }) => (spec.taints ?? []).length === 0) ? true : undefined;
}
