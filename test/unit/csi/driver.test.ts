import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { CANNOT_MOUNT, CsiWorld } from '../../helpers/csi-world.ts';

suite('the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test('publish brings the files, unpublish takes them away and revokes what they held', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const pod = await world.pod();
    await world.publish(driver.kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.match(await world.file(pod, 'app'), /planted/);
    assert.match(await world.file(pod, 'db'), /"username"/);
    assert.deepEqual(await world.mounts(), [pod.target]);
    assert.equal(world.vault.leaseIds.length, 1);
    await world.unpublish(driver.kubelet, pod);
    assert.deepEqual(await world.mounts(), []);
    await world.revoked();
    assert.equal(world.logins, 1);
  });
});
