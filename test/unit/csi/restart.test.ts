import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { Clock } from '../../../src/core/index.ts';
import { mounterOf } from '../../helpers/mounting.ts';
import { systemClock, systemMounts } from '../../../src/platform/index.ts';
import { eventually } from '../../helpers/agent-process.ts';
import { ATTRIBUTES, CANNOT_MOUNT, CsiWorld, SHORT_CALLS } from '../../helpers/csi-world.ts';

const FRESH = { ...ATTRIBUTES, refresh: '1s' };

suite('restarts of the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test('driver killed with SIGKILL: the next one goes on with the same token and the same credential', async () => {
    await using world = await CsiWorld.start();
    const first = await world.process();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod, { attributes: FRESH });
    const credential = await world.file(pod, 'db');
    await first.agent.kill('SIGKILL');
    assert.equal(world.readAs(pod, 'user', { uid: 65_534, gid: 65_534 }), 'user-1:end');
    await world.change(2);
    const second = await world.process();
    await world.holds(pod, 'user', 'user-2:end');
    await world.publish(second.kubelet, pod, { attributes: FRESH });
    assert.equal(await world.file(pod, 'db'), credential);
    assert.deepEqual([world.logins, world.credentials], [1, 1]);
    await world.unpublish(second.kubelet, pod);
    await world.revoked();
    await world.forgotten();
  });

  test('driver upgraded (SIGTERM): volumes stay, nothing is revoked, the next one goes on', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod, { attributes: FRESH });
    await first.stop();
    await assert.rejects(stat(world.registrationSocket), { code: 'ENOENT' });
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.deepEqual([world.vaultTokens, world.vault.leaseIds.length], [1, 1]);
    await world.change(2);
    const second = await world.driver();
    await world.holds(pod, 'user', 'user-2:end');
    await world.publish(second.kubelet, pod, { attributes: FRESH });
    assert.deepEqual([world.logins, world.credentials], [1, 1]);
  });

  test('driver down while pods end and start: leases of the ended ones are revoked later', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const [ended, stays, starts] = [
      await world.pod('ended'),
      await world.pod('stays'),
      await world.pod('starts'),
    ];
    await world.publish(first.kubelet, ended);
    await world.publish(first.kubelet, stays);
    await first.stop();
    // The kubelet waits for the driver to unpublish pods that end; after a reboot there are no mounts.
    world.unmount(ended);
    const second = await world.driver();
    await eventually(
      () => Promise.resolve(world.vaultTokens === 1 ? true : undefined),
      'the token of the pod that ended stays',
    );
    await world.publish(second.kubelet, starts);
    await world.unpublish(second.kubelet, ended);
    assert.equal(await world.file(stays, 'user'), 'user-1:end');
    assert.deepEqual(new Set(await world.mounts()), new Set([stays.target, starts.target]));
  });

  test('driver killed before it could revoke: the next one does it', async () => {
    await using world = await CsiWorld.start();
    const first = await world.process();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod);
    world.vault.seal();
    await world.unpublish(first.kubelet, pod);
    await first.agent.kill('SIGKILL');
    world.vault.unseal();
    assert.equal(world.vaultTokens, 1);
    await world.process();
    await world.revoked();
    await world.forgotten();
  });

  test('driver started beside a sealed Vault: volumes and files stay, and it goes on when that is unsealed', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod, { attributes: FRESH });
    const credential = await world.file(pod, 'db');
    await first.stop();
    await world.change(2);
    world.vault.seal();
    const second = await world.driver();
    await world.publish(second.kubelet, pod, { attributes: FRESH });
    await eventually(
      () => Promise.resolve(/Vault is sealed/.test(second.logger.text()) ? true : undefined),
      'no request to Vault',
    );
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.match((await second.get('/metrics')).body, /csi_volumes\{state="degraded"\} 1/);
    world.vault.unseal();
    await world.holds(pod, 'user', 'user-2:end');
    assert.equal(await world.file(pod, 'db'), credential);
    assert.deepEqual([world.logins, world.credentials], [1, 1]);
  });

  test('half a publish (mounted, no file yet): the next driver waits for the token, and completes it', async () => {
    await using world = await CsiWorld.start();
    const first = await world.process();
    const pod = await world.pod();
    world.vault.seal();
    const waiting = world.rejected(first.kubelet, pod);
    await eventually(
      async () => ((await world.mounts()).length === 1 ? true : undefined),
      'the start does not begin',
    );
    await first.agent.kill('SIGKILL');
    assert.equal((await waiting).code, 14);
    world.vault.unseal();
    const second = await world.process();
    await world.publish(second.kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.equal((await world.mounts()).length, 1);
    assert.equal(world.vaultTokens, 1);
  });

  test('half a publish (state, but no mount): it is discarded, and starts again', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod);
    await first.stop();
    world.unmount(pod);
    const second = await world.driver();
    await world.publish(second.kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    await eventually(
      () => Promise.resolve(world.vaultTokens === 1 ? true : undefined),
      'the token of the first start stays',
    );
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
  });

  test('after a restart a login waits for the token that comes with the next call', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod, { attributes: FRESH });
    await first.stop();
    // The Vault token is lost while no driver runs.
    await world.stopVault();
    await world.restartVault();
    await world.change(2);
    const second = await world.driver();
    await eventually(
      () =>
        Promise.resolve(/token is no longer valid/.test(second.logger.text()) ? true : undefined),
      'the loss of the token is not seen',
    );
    assert.equal(world.logins, 0);
    await world.publish(second.kubelet, pod, { attributes: FRESH });
    await world.holds(pod, 'user', 'user-2:end');
    assert.equal(world.logins, 1);
  });

  test('driver ended during a mount: no engine outlives it, and the next driver completes the publish', async () => {
    await using world = await CsiWorld.start();
    const [reached, go] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const mounts = {
      ...systemMounts,
      async mountTmpfs(mount: Parameters<typeof systemMounts.mountTmpfs>[0]) {
        reached.resolve(undefined);
        await go.promise;
        await systemMounts.mountTmpfs(mount);
      },
    };
    const waits = { ...SHORT_CALLS, drainMs: 300, stopMs: 300 };
    const mounter = mounterOf(world.root, { mounts });
    const first = await world.driver({ mounter, waits });
    const pod = await world.pod();
    const waiting = world.rejected(first.kubelet, pod);
    await reached.promise;
    const stopped = first.stop();
    await waiting;
    await eventually(
      () =>
        stat(world.csiSocket).then(
          () => undefined,
          () => true,
        ),
      'the driver goes on',
    );
    go.resolve(undefined);
    await stopped;
    assert.equal(world.logins, 0);
    const second = await world.driver();
    await world.publish(second.kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.deepEqual([world.logins, (await world.mounts()).length], [1, 1]);
  });

  test('the state is readable only by root, and holds no token of the kubelet', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    const tokens = await world.tokens(pod);
    await world.publish(kubelet, pod, { tokens });
    assert.equal((await stat(world.state)).mode & 0o777, 0o700);
    const [name = ''] = await readdir(world.state);
    const directory = join(world.state, name);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    const files = await readdir(directory);
    assert.deepEqual(files.sort(), ['state.json', 'volume.json']);
    const { vault: entry } = JSON.parse(tokens) as Record<string, { token: string }>;
    for (const file of files) {
      assert.equal((await stat(join(directory, file))).mode & 0o777, 0o600);
      const text = await readFile(join(directory, file), 'utf8');
      assert.ok(!text.includes(entry?.token ?? 'no token'), file);
    }
  });

  test('an invalid state is removed, and affects no other volume', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const [broken, whole] = [await world.pod('broken'), await world.pod('whole')];
    await world.publish(first.kubelet, broken);
    const [name = ''] = await readdir(world.state);
    await world.publish(first.kubelet, whole);
    await first.stop();
    await writeFile(join(world.state, name, 'volume.json'), '{"version":1,"sp');
    const second = await world.driver();
    assert.match(second.logger.text(), /state of a volume cannot be used: removing it/);
    await world.publish(second.kubelet, broken);
    assert.equal(await world.file(broken, 'user'), 'user-1:end');
    assert.equal(await world.file(whole, 'user'), 'user-1:end');
    assert.equal((await world.mounts()).length, 2);
  });

  for (const outcome of ['for a moment: it is taken over', 'at all: nothing is removed']) {
    test(`a state that cannot be read ${outcome}`, async () => {
      await using world = await CsiWorld.start();
      const first = await world.driver();
      const pod = await world.pod();
      await world.publish(first.kubelet, pod);
      await first.stop();
      const [name = ''] = await readdir(world.state);
      const record = join(world.state, name, 'volume.json');
      const heal = await unreadable(record);
      const passes = outcome.startsWith('for a moment');
      const waits = { ...SHORT_CALLS, readRetry: { minMs: 1, maxMs: 1 } };
      const clock: Clock = {
        ...systemClock,
        async sleep(ms, signal) {
          if (ms === waits.readRetry.minMs && passes) await heal();
          await systemClock.sleep(ms, signal);
        },
      };
      if (!passes) {
        await assert.rejects(world.driver({ clock, waits }), {
          code: 'ERR_CSI_STATE',
          message: /the state of an earlier driver cannot be read/,
        });
        await heal();
      }
      const next = await world.driver(passes ? { clock, waits } : {});
      await world.publish(next.kubelet, pod);
      assert.equal(await world.file(pod, 'user'), 'user-1:end');
      assert.equal(world.logins, 1);
    });
  }

  test('tokens that cannot be read for a moment are revoked later', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod);
    await first.stop();
    world.unmount(pod);
    const [name = ''] = await readdir(world.state);
    const heal = await unreadable(join(world.state, name, 'state.json'));
    const second = await world.driver();
    await eventually(
      () =>
        Promise.resolve(
          /state of a predecessor was not used/.test(second.logger.text()) ? true : undefined,
        ),
      'the state is not looked at',
    );
    await heal();
    await world.revoked();
    await world.forgotten();
  });

  test('a state directory that is not in memory is rejected', async () => {
    await using world = await CsiWorld.start();
    const stateDirectory = join(world.root, 'state');
    // On some machines the temporary directory is in memory itself.
    const mounts = { ...systemMounts, isInMemory: () => Promise.resolve(false) };
    await assert.rejects(world.driver({ stateDirectory, mounts }), {
      code: 'ERR_CSI_STATE',
      message: /on a disk.*choose one on a tmpfs/,
    });
  });

  test('two hundred volumes: the next driver takes them all over, without a login', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver();
    const pods = await Promise.all(
      Array.from({ length: 200 }, (_, index) => world.pod(`web-${index}`)),
    );
    for (let start = 0; start < pods.length; start += 20) {
      const some = pods.slice(start, start + 20);
      await Promise.all(some.map((pod) => world.published(first.kubelet, pod)));
    }
    await first.stop();
    const second = await world.driver();
    await Promise.all(pods.map((pod) => world.publish(second.kubelet, pod)));
    await eventually(async () => {
      const { body } = await second.get('/metrics');
      return body.includes('vouchsafe_csi_volumes{state="ready"} 200') ? true : undefined;
    }, 'not all are ready');
    assert.deepEqual([world.logins, world.credentials], [200, 200]);
    await Promise.all(pods.map((pod) => world.unpublish(second.kubelet, pod)));
    await world.revoked();
    assert.deepEqual(await world.mounts(), []);
  });
});

/** Makes a file one that not even root can read; the returned function puts it back, once. */
async function unreadable(path: string): Promise<() => Promise<void>> {
  await rename(path, `${path}.away`);
  await mkdir(path);
  return async () => {
    await rmdir(path).catch(() => undefined);
    await rename(`${path}.away`, path).catch(() => undefined);
  };
}
