import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PostDelivery } from '../../../src/agent/post-delivery.ts';
import { settle } from '../../helpers/fake-clock.ts';
import { recordingLogger } from '../../helpers/recorder.ts';

const SET = { digests: new Map([['a', 'digest']]), actions: [], dropped: [] };

/** Follow-ups whose notification waits until it is let on, or fails. `save` is done once the application is told. */
function bench(save = (): void => undefined) {
  const steps: string[] = [];
  const gates = { notify: Promise.withResolvers<undefined>() };
  const logger = recordingLogger();
  const told = new Map<string, string>();
  const controller = new AbortController();
  const step = async (name: string, gate?: Promise<undefined>): Promise<void> => {
    steps.push(name);
    await gate;
  };
  const followUps = new PostDelivery({
    ...{ logger, told },
    notifier: { notify: () => step('notify', gates.notify.promise) },
    onTold: () => {
      steps.push('save');
      save();
    },
    releaser: { release: () => step('release'), releaseAll: () => Promise.resolve(true) },
  });
  followUps.start(SET, controller.signal);
  return { followUps, steps, gates, logger, told, controller };
}

test('told, then saved, then let go', async () => {
  const { followUps, steps, gates, told } = bench();
  await settle();
  assert.deepEqual([steps, told.size], [['notify'], 0]);
  gates.notify.resolve(undefined);
  await settle();
  assert.deepEqual([...told], [...SET.digests]);
  await followUps.settled();
  assert.deepEqual(steps, ['notify', 'save', 'release']);
});

test('what was not told when the agent ends is not remembered, and lets nothing go', async () => {
  const { followUps, steps, gates, told, logger, controller } = bench();
  controller.abort();
  gates.notify.resolve(undefined);
  await followUps.settled();
  assert.deepEqual([steps, told.size, logger.lines], [['notify'], 0, []]);
});

test('a defect is logged for each set, and lets nothing go', async () => {
  const { followUps, steps, gates, logger, controller } = bench(() => {
    throw new Error('defect');
  });
  gates.notify.resolve(undefined);
  followUps.start(SET, controller.signal);
  await followUps.settled();
  assert.ok(!steps.includes('release'));
  assert.deepEqual(
    logger.lines.map(({ level, message }) => `${level} ${message}`),
    ['error after delivery', 'error after delivery'],
  );
});
