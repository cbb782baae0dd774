/** What goes wrong on a node and behind it, with applications that must not notice, or get the reason why they wait. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { starve } from './parts/memory.ts';
import type { Pod } from './parts/objects.ts';
import {
  act,
  containerStatus,
  eventually,
  FOREVER,
  isReady,
  processesOf,
  shellPod,
  Space,
  vault,
  world,
} from './parts/suite.ts';

const MODES = ['native', 'pair'];
const AGENT = 'vouchsafe-agent';
/** Counts reads of a whole file, and those that failed. */
const READ_ALL_THE_TIME = `
  while :; do
    if [ -s /vault/secrets/login ] && cat /vault/secrets/login >/dev/null; then good=$((good+1)); else bad=$((bad+1)); fi
    echo "$((good)) $((bad))" > /dev/shm/seen.new; mv /dev/shm/seen.new /dev/shm/seen
    sleep 0.05
  done`;

/** A pod that holds a PostgreSQL user and a secret, and reads its files all the time. */
async function holder(space: Space, mode: string): Promise<Pod> {
  await space.grant(`
    path "secret/data/${space.name}/*" { capabilities = ["read"] }
    path "${space.users}" { capabilities = ["read"] }
  `);
  await space.put({ password: 'first' });
  await space.grantUsers({ default_ttl: '1h', max_ttl: '24h' });
  const settings = {
    ...space.login,
    mode,
    refresh: '2s',
    'secret-password': `${space.secret}#password`,
    'secret-login': `${space.users}#username`,
  };
  await space.create(shellPod('app', settings, READ_ALL_THE_TIME));
  return space.ready('app');
}

/** The application never missed its files, no second credential was made, and changes still arrive. */
async function assertUnharmed(space: Space, value: string): Promise<void> {
  await space.put({ password: value });
  await eventually('refresh goes on', async () => {
    const text = await space.exec('app', 'app', 'cat', '/vault/secrets/password');
    return text === value ? true : undefined;
  });
  const [good, bad] = (await space.exec('app', 'app', 'cat', '/dev/shm/seen')).trim().split(' ');
  assert.equal(bad, '0', `${good ?? ''} good reads`);
  assert.equal(await vault.count(space.users), 1, 'no second credential');
  assert.equal(await space.logins(), 1, 'no second login');
  const pod = await space.pod('app');
  assert.equal(containerStatus(pod, 'app').restartCount, 0);
}

function restarts(space: Space, count: number): Promise<Pod> {
  return space.until('app', (pod) => {
    const { restartCount, ready } = containerStatus(pod, AGENT);
    return restartCount >= count && ready;
  });
}

for (const mode of MODES) {
  suite(`${mode}: the node`, () => {
    test('the agent is killed: it comes back with what it held', async () => {
      await using space = await Space.create();
      const pod = await holder(space, mode);
      for (const pid of processesOf(pod, AGENT)) process.kill(pid, 'SIGKILL');
      const after = await restarts(space, 1);
      assert.equal(containerStatus(after, AGENT).lastState?.terminated?.exitCode, 137);
      await assertUnharmed(space, 'after SIGKILL');
    });

    test('the agent runs out of memory: it comes back with what it held', async () => {
      await using space = await Space.create();
      const pod = await holder(space, mode);
      starve(pod, AGENT);
      const after = await restarts(space, 1);
      assert.equal(containerStatus(after, AGENT).lastState?.terminated?.reason, 'OOMKilled');
      await assertUnharmed(space, 'after OOM');
    });

    test('containerd and kubelet are restarted: nobody notices', async () => {
      await using space = await Space.create();
      await holder(space, mode);
      for (const action of ['restart-containerd', 'restart-kubelet'] as const) {
        await act(action);
        await eventually('the node answers', () =>
          space.exec('app', 'app', 'true').then(() => true),
        );
        await assertUnharmed(space, action);
      }
      assert.equal(containerStatus(await space.pod('app'), AGENT).restartCount, 0);
    });
  });
}

suite('a pod that cannot start yet', () => {
  after(async () => {
    await vault.write('sys/unseal', { key: world.vault.unsealKey });
    await act('start-identity');
  });

  /** Waits; says why; starts by itself when it is put right. */
  async function waits(space: Space, why: RegExp, putRight: () => Promise<unknown>): Promise<void> {
    const settings = { ...space.login, 'secret-password': `${space.secret}#password` };
    await space.create(shellPod('app', settings, `cat /vault/secrets/password; echo; ${FOREVER}`));
    await eventually('kubectl describe shows the reason', async () => {
      const events = await space.events('app');
      return events.some(({ message }) => why.test(message)) ? true : undefined;
    });
    assert.ok(!isReady(await space.pod('app')));
    await putRight();
    await space.ready('app', 90_000);
    assert.equal(await space.printed('app', 'app'), 'first\n');
  }

  test('the Workload API is not up yet', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'first' });
    await act('stop-identity');
    await waits(space, /Workload API|socket/i, () => act('start-identity'));
  });

  test('the pod is registered late', async () => {
    await using space = await Space.create({}, { isRegistered: false });
    await space.grantSecret({ password: 'first' });
    await waits(space, /no.identity/i, () => act('admit', space.name));
  });

  test('Vault is sealed', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'first' });
    await vault.write('sys/seal');
    await waits(space, /sealed/i, () => vault.write('sys/unseal', { key: world.vault.unsealKey }));
  });

  for (const mode of MODES) {
    test(`${mode}: after the deadline the termination message names the cause`, async () => {
      await using space = await Space.create();
      await space.grantSecret({ password: 'first' });
      const settings = {
        ...space.login,
        mode,
        'init-deadline': '5s',
        'secret-password': `secret/${space.name}/missing#password`,
      };
      await space.create(shellPod('app', settings, 'true', { restartPolicy: 'Never' }));
      const container = mode === 'native' ? AGENT : 'vouchsafe-init';
      const pod = await space.until('app', (one) => {
        const { state, lastState } = containerStatus(one, container);
        return (state?.terminated ?? lastState?.terminated) !== undefined;
      });
      const { state, lastState } = containerStatus(pod, container);
      const ended = state?.terminated ?? lastState?.terminated;
      assert.match(ended?.message ?? '', new RegExp(`secret/${space.name}/missing`));
      assert.notEqual(ended?.exitCode, 0);
    });
  }
});
