import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { NO_LOGGER } from '../../../src/core/index.ts';
import { lockNode } from '../../../src/csi/node-lock.ts';
import { CALLS } from '../../../src/csi/proto/csi.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { eventually } from '../../helpers/agent-process.ts';
import { ATTRIBUTES, CANNOT_MOUNT, CsiWorld } from '../../helpers/csi-world.ts';
import { recordingLogger } from '../../helpers/recorder.ts';

const FRESH = { ...ATTRIBUTES, refresh: '1s' };

test('a driver that waits for another one ends on abort', async () => {
  const ended = new AbortController();
  const locks = {
    tryLock() {
      ended.abort(new DOMException('ended', 'AbortError'));
      return Promise.resolve(undefined);
    },
  };
  const options = { locks, stateDirectory: '/run/state', clock: systemClock, logger: NO_LOGGER };
  await assert.rejects(lockNode(options, ended.signal), { name: 'AbortError' });
});

suite('one CSI driver for each state directory', { skip: CANNOT_MOUNT }, () => {
  test('a second driver waits for the end of the first, however that ends, and then goes on', async () => {
    await using world = await CsiWorld.start();
    const first = await world.process();
    const pod = await world.pod();
    await world.publish(first.kubelet, pod, { attributes: FRESH });
    const logger = recordingLogger();
    const waiting = world.driver({ logger, nodeName: 'node-2' });
    await eventually(
      () => Promise.resolve(/another driver runs/.test(logger.text()) ? true : undefined),
      'it does not log that it waits',
    );
    assert.deepEqual(await first.kubelet.call(CALLS.nodeGetInfo, {}), { nodeId: 'node-1' });
    await first.agent.kill('SIGKILL');
    const second = await waiting;
    assert.deepEqual(await second.kubelet.call(CALLS.nodeGetInfo, {}), { nodeId: 'node-2' });
    assert.equal(logger.text().match(/another driver runs/g)?.length, 1);
    await world.change(2);
    await world.holds(pod, 'user', 'user-2:end');
    assert.equal(world.logins, 1);
    const third = world.driver({ nodeName: 'node-3' });
    await second.stop();
    const { kubelet } = await third;
    assert.deepEqual(await kubelet.call(CALLS.nodeGetInfo, {}), { nodeId: 'node-3' });
  });

  test('a state directory that cannot be locked: a clear error', async () => {
    await using world = await CsiWorld.start();
    const locks = { tryLock: () => Promise.reject(new Error('spawn flock ENOENT')) };
    await assert.rejects(world.driver({ locks }), {
      code: 'ERR_CSI_STATE',
      message: /cannot be locked: spawn flock ENOENT/,
    });
  });
});
