/** Ends of pods and of agents alone: nothing of a pod that is gone stays in Vault, and in a pod that lives the application is notified. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { suite, test } from 'node:test';
import { gone, withSecret } from './parts/csi-pods.ts';
import {
  api,
  containerStatus,
  eventually,
  FOREVER,
  processesOf,
  shellPod,
  Space,
  vault,
} from './parts/suite.ts';

const AGENT = 'vouchsafe-agent';

/** What is left of a pod may last so long; a busy node and its Vault get as much again. */
const ENDED_MS = 20_000;

/** Uses its grace period up, or ends at once. */
const STUBBORN = `trap '' TERM; while :; do sleep 1; done`;

interface Ending {
  readonly line: string;
  /** Of the pod; how it is deleted. */
  readonly grace: number;
  readonly deletedWith: number;
}

const ENDINGS: Readonly<Record<string, Ending>> = {
  'at once': { line: FOREVER, grace: 30, deletedWith: 30 },
  'with its whole grace period': { line: STUBBORN, grace: 15, deletedWith: 15 },
  'with a grace period of a second': { line: STUBBORN, grace: 30, deletedWith: 1 },
};

/** A namespace whose pods get a PostgreSQL user for an hour, which only a revocation ends in time. */
async function spaceFor(mode: string): Promise<Space> {
  const space = mode === 'csi' ? await withSecret() : await Space.create();
  if (mode !== 'csi') {
    await space.grant(`
      path "secret/data/${space.name}/*" { capabilities = ["read"] }
      path "${space.users}" { capabilities = ["read"] }
    `);
    await space.put({ password: 'first' });
  }
  await space.grantUsers({ default_ttl: '1h', max_ttl: '24h' });
  return space;
}

/** What a pod of the mode is to hold; with `init` nobody could give a lease back. */
function settings(space: Space, mode: string): Record<string, string> {
  return {
    ...space.login,
    mode,
    'secret-password': `${space.secret}#password`,
    ...(mode !== 'init' && { 'secret-login': `${space.users}#username` }),
  };
}

suite('what a pod leaves in Vault', { concurrency: 4 }, () => {
  for (const mode of ['native', 'pair', 'init', 'csi']) {
    for (const [how, { line, grace, deletedWith }] of Object.entries(ENDINGS)) {
      test(`${mode}, ended ${how}: seconds later no token and no lease`, async () => {
        await using space = await spaceFor(mode);
        const more = { terminationGracePeriodSeconds: grace };
        await space.create(shellPod('app', settings(space, mode), line, more));
        await space.ready('app');
        const held = mode === 'init' ? 0 : 1;
        assert.deepEqual([await space.tokens(), await space.leases()], [held, held]);
        await api.remove(`${space.pods}/app`, { gracePeriodSeconds: deletedWith });
        await gone(space, 'app');
        await eventually(
          'token and lease are gone',
          async () =>
            (await space.tokens()) === 0 && (await space.leases()) === 0 ? true : undefined,
          ENDED_MS,
        );
      });
    }
  }
});

suite('an agent that is stopped in a pod that lives', { concurrency: 2 }, () => {
  /** Counts in a file in memory how often it is notified. */
  const COUNTING = [
    'n=0; echo 0 > /dev/shm/notified',
    `trap 'n=$((n+1)); echo $n > /dev/shm/notified' HUP`,
    'trap exit TERM; while :; do sleep 1 & wait $!; done',
  ].join('; ');

  for (const mode of ['native', 'pair']) {
    test(`${mode}: a new user in the file, and the application is notified once`, async () => {
      await using space = await spaceFor(mode);
      const asked = { ...settings(space, mode), 'on-change': 'signal:HUP@app' };
      const more = { terminationGracePeriodSeconds: 5, securityContext: { runAsUser: 1000 } };
      await space.create(shellPod('app', asked, COUNTING, more));
      const pod = await space.ready('app');
      const read = (path: string): Promise<string> => space.exec('app', 'app', 'cat', path);
      const before = await read('/vault/secrets/login');
      for (const pid of processesOf(pod, AGENT)) process.kill(pid, 'SIGTERM');
      await space.until('app', (now) => {
        const { restartCount, ready } = containerStatus(now, AGENT);
        return restartCount === 1 && ready;
      });
      await eventually('the application is notified', async () =>
        (await read('/dev/shm/notified')).trim() === '0' ? undefined : true,
      );
      assert.notEqual(await read('/vault/secrets/login'), before);
      await delay(5000); // a second notification would have come by now
      assert.equal((await read('/dev/shm/notified')).trim(), '1');
      assert.equal(containerStatus(await space.pod('app'), 'app').restartCount, 0);
      assert.deepEqual([await space.logins(), await vault.count(space.users)], [2, 2]);
      assert.deepEqual([await space.tokens(), await space.leases()], [1, 1]);
      await space.remove('app');
      assert.deepEqual([await space.tokens(), await space.leases()], [0, 0]);
    });
  }
});
