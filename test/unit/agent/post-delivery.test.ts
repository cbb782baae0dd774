import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PostDelivery } from '../../../src/agent/post-delivery.ts';
import { settle } from '../../helpers/fake-clock.ts';
import { recordingLogger } from '../../helpers/recorder.ts';

const SET = { digests: new Map([['a', 'digest']]), actions: [], dropped: [] };

/** A delivery whose notification waits for its gate; `save` runs once the application is notified. */
function bench(save = (): void => undefined) {
  const steps: string[] = [];
  const gates = { notify: Promise.withResolvers<undefined>() };
  const logger = recordingLogger();
  const notifiedDigests = new Map<string, string>();
  const controller = new AbortController();
  const step = async (name: string, gate?: Promise<undefined>): Promise<void> => {
    steps.push(name);
    await gate;
  };
  const postDelivery = new PostDelivery({
    logger,
    notifiedDigests,
    notifier: { notify: () => step('notify', gates.notify.promise) },
    onNotified: () => {
      steps.push('save');
      save();
    },
    revoker: { revokeUnused: () => step('revoke'), revokeAll: () => Promise.resolve(true) },
  });
  postDelivery.start(SET, controller.signal);
  return { postDelivery, steps, gates, logger, notifiedDigests, controller };
}

test('notifies, then saves, then revokes', async () => {
  const { postDelivery, steps, gates, notifiedDigests } = bench();
  await settle();
  assert.deepEqual([steps, notifiedDigests.size], [['notify'], 0]);
  gates.notify.resolve(undefined);
  await settle();
  assert.deepEqual([...notifiedDigests], [...SET.digests]);
  await postDelivery.settled();
  assert.deepEqual(steps, ['notify', 'save', 'revoke']);
});

test('an interrupted notification is not saved, and nothing is revoked', async () => {
  const { postDelivery, steps, gates, notifiedDigests, logger, controller } = bench();
  controller.abort();
  gates.notify.resolve(undefined);
  await postDelivery.settled();
  assert.deepEqual([steps, notifiedDigests.size, logger.lines], [['notify'], 0, []]);
});

test('a defect is logged for each set, and nothing is revoked', async () => {
  const { postDelivery, steps, gates, logger, controller } = bench(() => {
    throw new Error('defect');
  });
  gates.notify.resolve(undefined);
  postDelivery.start(SET, controller.signal);
  await postDelivery.settled();
  assert.ok(!steps.includes('revoke'));
  assert.deepEqual(
    logger.lines.map(({ level, message }) => `${level} ${message}`),
    ['error steps after a delivery failed', 'error steps after a delivery failed'],
  );
});
