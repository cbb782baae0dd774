import assert from 'node:assert/strict';
import { readdir, readlink, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { eventually } from '../../helpers/agent-process.ts';
import { CALLS } from '../../../src/csi/proto/csi.ts';
import { GRPC_STATUS } from '../../../src/csi/grpc-status.ts';
import { systemMounts } from '../../../src/platform/index.ts';
import { ATTRIBUTES, CANNOT_MOUNT, CsiWorld, rejectionOf } from '../../helpers/csi-world.ts';

const NOBODY = 65_534;

suite('volumes of the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test('publish brings the files, unpublish removes them and revokes token and leases', async () => {
    await using world = await CsiWorld.start();
    const { kubelet, logger } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.match(await world.file(pod, 'app'), /planted/);
    assert.match(await world.file(pod, 'db'), /"username"/);
    assert.equal(await readlink(join(pod.target, 'user')), '..data/user');
    assert.deepEqual(await world.mounts(), [pod.target]);
    assert.deepEqual([world.vaultTokens, world.vault.leaseIds.length], [1, 1]);
    await world.unpublish(kubelet, pod);
    assert.deepEqual(await world.mounts(), []);
    await assert.rejects(stat(pod.target), { code: 'ENOENT' });
    await world.revoked();
    await world.forgotten();
    assert.deepEqual([world.logins, world.credentials], [1, 1]);
    const lines = logger.lines.filter(({ message }) => message.startsWith('volume '));
    assert.deepEqual(
      lines.map(({ message }) => message),
      ['volume published', 'volume unpublished'],
    );
  });

  test('a volume is a tmpfs of bounded size, without programs, devices and set-user-ID', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    const attributes = { ...ATTRIBUTES, 'volume-size': '256Ki' };
    await world.publish(kubelet, pod, { attributes });
    const line = (await world.mountinfo()).find((one) => one.includes(pod.target)) ?? '';
    for (const option of ['nosuid', 'nodev', 'noexec', 'size=256k', 'mode=755']) {
      assert.ok(line.includes(option), `${option} is not in ${line}`);
    }
    await assert.rejects(writeFile(join(pod.target, 'big'), Buffer.alloc(300_000)), {
      code: 'ENOSPC',
    });
  });

  test('publish twice: the same files, no login, no credential', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    const before = await world.file(pod, 'db');
    await world.publish(kubelet, pod);
    assert.equal(await world.file(pod, 'db'), before);
    assert.equal((await world.mounts()).length, 1);
    assert.deepEqual([world.logins, world.credentials], [1, 1]);
  });

  test('the mounts are listed once for a new volume, and not for a known one', async () => {
    await using world = await CsiWorld.start();
    let reads = 0;
    const list = (): ReturnType<typeof systemMounts.list> => {
      reads += 1;
      return systemMounts.list();
    };
    const { kubelet } = await world.driver({ mounts: { ...systemMounts, list } });
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    assert.equal(reads, 1);
    await world.publish(kubelet, pod);
    assert.equal(reads, 1);
    world.unmount(pod);
    await world.publish(kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
  });

  test('publish ten times at once: one mount, one login, one credential', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await Promise.all(Array.from({ length: 10 }, () => world.publish(kubelet, pod)));
    assert.equal((await world.mounts()).length, 1);
    assert.deepEqual([world.logins, world.credentials], [1, 1]);
  });

  test('published again with other attributes, or for another group: a conflict, and the files stay', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    const other = { ...ATTRIBUTES, role: 'other' };
    for (const change of [
      { attributes: other },
      { group: '7' },
      { target: pod.target.replace('/secrets/', '/others/') },
    ]) {
      const { code, details } = await world.rejected(kubelet, pod, change);
      assert.equal(code, 6, details);
      assert.match(details, /ERR_CSI_CONFLICT/);
    }
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.deepEqual(await world.mounts(), [pod.target]);
  });

  test('two volumes at one target path at once: one is published, the other rejected, and its unpublish removes nothing', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    const pods = [pod, { ...pod, volumeId: 'csi-another' }] as const;
    const outcomes = await Promise.allSettled(pods.map((one) => world.publish(kubelet, one)));
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const [refused] = pods.filter((_, index) => outcomes[index]?.status === 'rejected');
    await world.unpublish(kubelet, refused ?? pod);
    assert.deepEqual(await world.mounts(), [pod.target]);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.equal(world.logins, 1);
  });

  test('another volume at the same target path: a conflict, and the files of the first stay', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    const other = { ...pod, volumeId: 'csi-other' };
    const { code, details } = await world.rejected(kubelet, other);
    assert.equal(code, 6, details);
    assert.match(details, /another volume is published at this target path/);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.equal(world.logins, 1);
  });

  test('unpublish twice, of nothing, and after a reboot (target gone, mount gone, state gone)', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.unpublish(kubelet, pod);
    await world.publish(kubelet, pod);
    await world.unpublish(kubelet, pod);
    await world.unpublish(kubelet, pod);
    await world.makeTarget(pod);
    await world.unpublish(kubelet, pod);
    await assert.rejects(stat(pod.target), { code: 'ENOENT' });
    const gone = await world.pod('gone');
    await world.forgetPod(gone);
    await world.unpublish(kubelet, gone);
  });

  test('publish after a reboot: the empty target that it left is used', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.makeTarget(pod);
    await world.publish(kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
  });

  test('unpublish never removes what is not the driver’s', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const [mounted, full] = [await world.pod('mounted'), await world.pod('full')];
    await world.mountForeign(mounted);
    await world.makeTarget(full);
    await writeFile(join(full.target, 'data'), 'of somebody');
    for (const pod of [mounted, full]) {
      for (const call of [world.unpublish(kubelet, pod), world.publish(kubelet, pod)]) {
        const { code, details } = await rejectionOf(call);
        assert.equal(code, GRPC_STATUS.UNAVAILABLE, details);
        assert.match(details, /ERR_CSI_MOUNT/);
      }
    }
    assert.deepEqual(await world.mounts(), [mounted.target]);
    assert.equal(await world.file(full, 'data'), 'of somebody');
    assert.equal(world.logins, 0);
  });

  test('a volume that somebody unmounted is mounted and filled again, with the same credential', async () => {
    await using world = await CsiWorld.start();
    const { kubelet, logger } = await world.driver();
    const pod = await world.pod();
    const attributes = { ...ATTRIBUTES, refresh: '1s' };
    await world.publish(kubelet, pod, { attributes });
    const before = await world.file(pod, 'db');
    world.unmount(pod);
    await world.change(2);
    await eventually(
      () => Promise.resolve(/is no longer mounted/.test(logger.text()) ? true : undefined),
      'the missing mount is not seen',
    );
    assert.deepEqual(await readdir(pod.target), [], 'no secret comes to the disk of the node');
    await world.publish(kubelet, pod, { attributes });
    assert.equal(await world.file(pod, 'user'), 'user-2:end');
    assert.equal(await world.file(pod, 'db'), before);
    assert.deepEqual([world.logins, world.credentials], [1, 1]);
  });

  test('fsGroup: files belong to the group, and only its members can read them', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod, { group: '12345' });
    const { gid, mode } = await stat(join(pod.target, 'user'));
    assert.deepEqual([gid, mode & 0o777], [12_345, 0o440]);
    assert.equal(world.readAs(pod, 'user', { uid: NOBODY, gid: 12_345 }), 'user-1:end');
    assert.equal(world.readAs(pod, 'user', { uid: NOBODY, gid: NOBODY }), undefined);
  });

  test('without fsGroup a reader that is not root can read', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    assert.equal(world.readAs(pod, 'user', { uid: NOBODY, gid: NOBODY }), 'user-1:end');
  });

  test('new values reach the files, and the old credential is revoked', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod, { attributes: { ...ATTRIBUTES, refresh: '1s' } });
    await world.change(2);
    await world.holds(pod, 'user', 'user-2:end');
    assert.equal(world.logins, 1);
  });

  test('revoke-on-exit false: what the pod held stays valid', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.publish(kubelet, pod, { attributes: { ...ATTRIBUTES, 'revoke-on-exit': 'false' } });
    await world.unpublish(kubelet, pod);
    await world.forgotten();
    assert.equal(world.vaultTokens, 1);
  });

  test('volume statistics report free space and health', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    const ask = { volumeId: pod.volumeId, volumePath: pod.target, stagingTargetPath: '' };
    assert.equal((await rejectionOf(kubelet.call(CALLS.nodeGetVolumeStats, ask))).code, 5);
    await world.publish(kubelet, pod, { attributes: { ...ATTRIBUTES, 'volume-size': '1Mi' } });
    const { usage, volumeCondition } = await kubelet.call(CALLS.nodeGetVolumeStats, ask);
    const [bytes, inodes] = usage;
    assert.deepEqual([bytes?.total, bytes?.unit, inodes?.unit], [1024 * 1024, 1, 2]);
    assert.ok(usage.every(({ used }) => used > 0));
    assert.equal(volumeCondition?.abnormal, false);
    const elsewhere = { ...ask, volumePath: '/elsewhere' };
    assert.equal((await rejectionOf(kubelet.call(CALLS.nodeGetVolumeStats, elsewhere))).code, 5);
  });

  test('fifty pods at once: each has its own token and its own credential', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pods = await Promise.all(
      Array.from({ length: 50 }, (_, index) => world.pod(`web-${index}`)),
    );
    // On a busy machine a call may time out; the next one goes on with the same start.
    await Promise.all(pods.map((pod) => world.published(kubelet, pod)));
    const credentials = await Promise.all(pods.map((pod) => world.file(pod, 'db')));
    assert.equal(new Set(credentials).size, 50);
    assert.deepEqual([world.logins, world.vaultTokens], [50, 50]);
    await Promise.all(pods.map((pod) => world.unpublish(kubelet, pod)));
    await world.revoked();
    assert.deepEqual(await world.mounts(), []);
  });
});
