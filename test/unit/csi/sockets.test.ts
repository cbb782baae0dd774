import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { CALLS } from '../../../src/csi/proto/csi.ts';
import { CANNOT_MOUNT, CsiWorld, DRIVER, rejectionOf } from '../../helpers/csi-world.ts';
import { Crowd } from '../../helpers/crowd.ts';
import { Kubelet } from '../../helpers/kubelet.ts';

suite('sockets of the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test('identity and node calls report name and capabilities of the driver', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const info = await kubelet.call(CALLS.getPluginInfo, {});
    assert.deepEqual([info.name, info.vendorVersion], [DRIVER, '1.2.3']);
    assert.deepEqual(await kubelet.call(CALLS.getPluginCapabilities, {}), {});
    assert.deepEqual((await kubelet.call(CALLS.probe, {})).ready, { value: true });
    assert.equal((await kubelet.call(CALLS.nodeGetInfo, {})).nodeId, 'node-1');
    const { capabilities } = await kubelet.call(CALLS.nodeGetCapabilities, {});
    assert.deepEqual(
      capabilities.map(({ rpc }) => rpc?.type),
      [6, 2, 4],
    );
  });

  test('the kubelet requests no statistics if the installation disables them', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({ volumeStats: false });
    const { capabilities } = await kubelet.call(CALLS.nodeGetCapabilities, {});
    assert.deepEqual(
      capabilities.map(({ rpc }) => rpc?.type),
      [6],
    );
  });

  test('the kubelet registers the driver, and again after its own restart', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    assert.match((await driver.get('/readyz')).body, /has not registered the driver yet/);
    assert.equal((await driver.get('/healthz')).status, 200);
    for (let restarts = 0; restarts < 2; restarts += 1) {
      const kubelet = new Kubelet(world.registrationSocket);
      const info = await kubelet.register();
      assert.deepEqual(
        [info.type, info.name, info.endpoint, info.supportedVersions],
        ['CSIPlugin', DRIVER, world.csiSocket, ['1.0.0']],
      );
      kubelet.close();
    }
    assert.equal((await driver.get('/readyz')).status, 200);
    await driver.stop();
    await assert.rejects(stat(world.registrationSocket), { code: 'ENOENT' });
    await assert.rejects(stat(world.csiSocket), { code: 'ENOENT' });
  });

  test('a kubelet that rejects the driver: not ready, with its reason', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const kubelet = new Kubelet(world.registrationSocket);
    await kubelet.register({ error: 'versions not supported' });
    kubelet.close();
    const { status, body } = await driver.get('/readyz');
    assert.equal(status, 503);
    assert.match(body, /the kubelet rejected the driver: versions not supported/);
  });

  test('idle connections to the port of the probes block no others', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const port = Number(driver.health.split(':')[1]);
    using crowd = await Crowd.gather({ port, size: 520 });
    for (let count = 0; count < 20; count += 1) {
      assert.equal((await driver.get('/healthz')).status, 200);
    }
    assert.ok(crowd.closed > 0);
  });

  test('only root can connect', async () => {
    await using world = await CsiWorld.start();
    await world.driver();
    for (const socket of [world.csiSocket, world.registrationSocket]) {
      assert.equal((await stat(socket)).mode & 0o777, 0o600);
    }
    const script = `require('node:net').connect(${JSON.stringify(world.csiSocket)}).on('error', (error) => console.log(error.code))`;
    const { stdout } = spawnSync(process.execPath, ['-e', script], {
      uid: 65_534,
      gid: 65_534,
      encoding: 'utf8',
    });
    assert.match(stdout, /EACCES/);
  });

  test('the socket of a killed driver is replaced; a file that is not a socket is not', async () => {
    await using world = await CsiWorld.start();
    await mkdir(dirname(world.csiSocket), { recursive: true });
    const left = createServer().listen(world.csiSocket);
    await once(left, 'listening');
    const driver = await world.driver();
    await driver.kubelet.call(CALLS.probe, {});
    left.close();
    await driver.stop();
    await writeFile(world.csiSocket, 'of somebody');
    await assert.rejects(world.driver(), { code: 'ERR_SERVER_LISTEN', message: /not a socket/ });
  });

  test('calls that the driver does not have are unimplemented; too large ones are rejected', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    for (const path of ['/csi.v1.Node/NodeStageVolume', '/csi.v1.Controller/CreateVolume']) {
      assert.equal((await rejectionOf(kubelet.raw(path, new Uint8Array()))).code, 12);
    }
    const { path } = CALLS.nodePublishVolume;
    const huge = new Uint8Array(5 * 1024 * 1024);
    assert.equal((await rejectionOf(kubelet.raw(path, huge))).code, 8);
    await kubelet.call(CALLS.probe, {});
  });

  test('any bytes as a request: a response or an error, never a defect', async () => {
    await using world = await CsiWorld.start();
    const { kubelet, logger } = await world.driver();
    const paths = Object.values(CALLS)
      .map(({ path }) => path)
      .filter((path) => path.startsWith('/csi.'));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...paths),
        fc.uint8Array({ maxLength: 300 }),
        async (path, bytes) => {
          await kubelet.raw(path, bytes).catch((error: unknown) => {
            assert.ok(error instanceof Error && 'code' in error && error.code !== 13, path);
          });
        },
      ),
      { numRuns: 200 },
    );
    assert.doesNotMatch(logger.text(), /ERR_BUG/);
    assert.deepEqual(await world.mounts(), []);
  });

  test('metrics name no pod and no file of a tenant', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const pod = await world.pod();
    await world.publish(driver.kubelet, pod);
    const { body } = await driver.get('/metrics');
    assert.match(body, /vouchsafe_csi_oldest_file_age_seconds\{namespace="shop"\} /);
    assert.match(body, /# TYPE vouchsafe_connections_closed_total counter/);
    assert.doesNotMatch(body, /pod="|file="|\bweb\b/);
    await world.unpublish(driver.kubelet, pod);
    assert.doesNotMatch((await driver.get('/metrics')).body, /file_age_seconds\{/);
  });

  test('metrics show volumes, ages, publishes and leases; those of a pod that ended are gone', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver({ perPodMetrics: true });
    const { kubelet } = driver;
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    await world.publish(kubelet, pod);
    const { body } = await driver.get('/metrics');
    for (const line of [
      'vouchsafe_csi_volumes{state="ready"} 1',
      'vouchsafe_csi_publishes_total{result="new"} 1',
      'vouchsafe_csi_publishes_total{result="known"} 1',
      'vouchsafe_csi_publish_duration_seconds_count{result="new"} 1',
      'vouchsafe_csi_leases 1',
      'vouchsafe_csi_revocations_pending 0',
    ]) {
      assert.ok(body.includes(line), `${line} is not in ${body}`);
    }
    assert.match(body, /vouchsafe_csi_file_age_seconds\{namespace="shop",pod="web",file="user"\} /);
    assert.match(body, /vouchsafe_csi_oldest_file_age_seconds\{namespace="shop"\} /);
    world.hunt.assertNone({ '/metrics': body });
    await world.unpublish(kubelet, pod);
    assert.doesNotMatch((await driver.get('/metrics')).body, /file_age_seconds\{/);
  });
});
