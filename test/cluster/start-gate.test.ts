/** The hook that holds a pod back: its reasons, deletions, returns and deadlines on a real kubelet, with its back-off. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Pod } from './parts/objects.ts';
import { gone } from './parts/csi-pods.ts';
import {
  act,
  api,
  containerStatus,
  eventually,
  FOREVER,
  kubectl,
  shellPod,
  Space,
  vault,
} from './parts/suite.ts';

const AGENT = 'vouchsafe-agent';
/** A busy node, on top of what is promised. */
const SLACK_MS = 2000;

/**
 * A namespace that may read its secret, which is not there yet, and gets PostgreSQL users. It logs in by service account, because a hook
 * and SPIRE as it comes wait for each other.
 */
async function spaceWithout(): Promise<Space> {
  const space = await Space.create();
  await space.grant(`
    path "secret/data/${space.name}/*" { capabilities = ["read"] }
    path "${space.users}" { capabilities = ["read"] }
  `);
  await space.grantUsers({ default_ttl: '1h', max_ttl: '24h' });
  await space.trustAccounts();
  return space;
}

function waiting(space: Space, more: Record<string, string> = {}): Promise<Pod> {
  const settings = {
    ...space.login,
    identity: 'service-account',
    'secret-password': `${space.secret}#password`,
    'secret-login': `${space.users}#username`,
    ...more,
  };
  return space.create(shellPod('app', settings, `cat /vault/secrets/password; echo; ${FOREVER}`));
}

/** Waits for so many containers of the agent to have ended; resolves to the pod and the last reason. */
async function failed(space: Space, count: number): Promise<{ pod: Pod; reason: string }> {
  const ended = (pod: Pod): number => {
    const { restartCount, lastState, state } = containerStatus(pod, AGENT);
    // The count rises when the next one runs.
    const isCounted = state?.waiting === undefined;
    return lastState?.terminated === undefined ? 0 : restartCount + (isCounted ? 0 : 1);
  };
  const pod = await space.until('app', (one) => ended(one) >= count, 120_000);
  return { pod, reason: containerStatus(pod, AGENT).lastState?.terminated?.message ?? '' };
}

suite('a start gate by a hook', { concurrency: true }, () => {
  test('a role that does not exist: the reason is there after seconds, and the pod can be deleted', async (t) => {
    await using space = await spaceWithout();
    await waiting(space, { role: 'nobody' });
    const { pod, reason } = await failed(space, 1);
    const ended = containerStatus(pod, AGENT).lastState?.terminated;
    const startedMs = Date.parse(ended?.startedAt ?? '');
    const triedMs = Date.parse(ended?.finishedAt ?? '') - startedMs;
    const seenMs = Date.now() - startedMs;
    t.diagnostic(`the first try took ${triedMs} ms, its reason was seen after ${seenMs} ms`);
    assert.ok(seenMs < 15_000, 'the reason is seen early');
    assert.match(reason, /^ERR_AGENT_START_PENDING: .*last cause: ERR_VAULT_LOGIN_REFUSED/);
    const waits = containerStatus(pod, AGENT).state?.waiting?.reason ?? '';
    assert.match(waits, /PostStartHookError|CrashLoopBackOff|PodInitializing/);
    const log = await kubectl('logs', '--previous', `-n=${space.name}`, 'app', `-c=${AGENT}`);
    assert.match(log, /ERR_VAULT_LOGIN_REFUSED/);
    assert.match(await kubectl('describe', 'pod', `-n=${space.name}`, 'app'), /LOGIN_REFUSED/);
    const asked = performance.now();
    await api.remove(`${space.pods}/app`);
    await gone(space, 'app');
    assert.ok(performance.now() - asked < 20_000 + SLACK_MS, 'and so is the end');
  });

  for (const failures of [1, 3]) {
    test(`a secret that comes after ${failures} failed hooks: started 30 s later, by the first login`, async () => {
      await using space = await spaceWithout();
      await waiting(space);
      const { reason } = await failed(space, failures);
      assert.match(reason, new RegExp(`secret/${space.name}/app`));
      assert.equal(await space.tokens(), 1, 'its token is not revoked');
      const asked = performance.now();
      await space.put({ password: 'first' });
      const pod = await space.ready('app');
      assert.ok(performance.now() - asked < 30_000 + SLACK_MS);
      assert.equal(containerStatus(pod, AGENT).restartCount, failures);
      assert.equal(await space.printed('app', 'app'), 'first\n');
      assert.deepEqual(
        [await space.logins(), await vault.count(space.users), await space.tokens()],
        [1, 1, 1],
      );
    });
  }

  test('the deadline ends the start, and what it held', async () => {
    await using space = await spaceWithout();
    const began = performance.now();
    await waiting(space, { 'init-deadline': '30s' });
    await space.until('app', (pod) => {
      const message = containerStatus(pod, AGENT).lastState?.terminated?.message ?? '';
      return /^ERR_AGENT_DEADLINE: the files were not written within 30s/.test(message);
    });
    const passed = performance.now() - began;
    assert.ok(passed >= 30_000 && passed < 45_000, `${passed} ms`);
    assert.ok((await space.logins()) <= 2, 'the kubelet may have started the next one');
    await space.remove('app');
    await eventually('nothing is left', async () =>
      (await space.tokens()) === 0 && (await space.leases()) === 0 ? true : undefined,
    );
  });

  test('a pod that is deleted while it waits leaves no token and no user', async () => {
    await using space = await spaceWithout();
    await waiting(space);
    await failed(space, 1);
    await space.remove('app');
    const patience = 60_000 + SLACK_MS;
    await eventually(
      'nothing is left',
      async () => ((await space.tokens()) === 0 && (await space.leases()) === 0 ? true : undefined),
      patience,
    );
    assert.equal(await space.logins(), 1);
  });

  test('on-missing-vault wait: a probe, which restarts nothing', async () => {
    await using space = await spaceWithout();
    const created = await waiting(space, { 'on-missing-vault': 'wait', 'init-deadline': '10s' });
    const agent = created.spec.initContainers?.find(({ name }) => name === AGENT);
    assert.deepEqual([typeof agent?.['startupProbe'], agent?.['lifecycle']], ['object', undefined]);
    await eventually('it waits longer than its deadline', async () =>
      /still waiting/.test(await space.logs('app', AGENT)) ? true : undefined,
    );
    await space.put({ password: 'first' });
    const pod = await space.ready('app');
    assert.equal(containerStatus(pod, AGENT).restartCount, 0);
    assert.equal(await space.logins(), 1);
  });
});

suite('a start gate by a hook, and the kubelet', () => {
  test('the kubelet is restarted while the hook waits: no application starts without its files', async () => {
    await using space = await spaceWithout();
    await waiting(space);
    await eventually('the agent has logged in', async () =>
      (await space.logins()) === 1 ? true : undefined,
    );
    await act('restart-kubelet');
    await failed(space, 1);
    assert.equal(containerStatus(await space.pod('app'), 'app').restartCount, 0);
    await space.put({ password: 'first' });
    const pod = await space.ready('app');
    assert.equal(containerStatus(pod, 'app').restartCount, 0);
    assert.equal(await space.printed('app', 'app'), 'first\n');
    assert.equal(await space.logins(), 1);
  });
});
