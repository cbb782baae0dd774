import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NotifyAction } from '../../../src/config/schema/index.ts';
import { EnvContainers } from '../../../src/agent/env-containers.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';

/** Containers whose versions the test sets; a restarted one has version 9. */
function bench(versions: Record<string, number | undefined>) {
  const clock = new FakeClock();
  const restarted: string[] = [];
  const controller = new AbortController();
  const gate = { promise: Promise.resolve() };
  let looks = 0;
  const containers = new EnvContainers({
    names: Object.keys(versions),
    env: {
      versionOf: (name) => {
        looks += 1;
        return Promise.resolve(versions[name]);
      },
    },
    notifier: {
      notify: async (actions: readonly NotifyAction[]) => {
        await gate.promise;
        for (const action of actions) {
          assert.ok(action.kind === 'restart');
          restarted.push(action.container);
          versions[action.container] = 9;
        }
      },
    },
    clock,
  });
  const { signal } = controller;
  return { clock, restarted, controller, containers, signal, gate, looks: () => looks };
}

const RESTART = { containers: ['web', 'worker'], delayMs: 5000 };

test('containers restart after the delay, and then show what they run with', async () => {
  const { clock, restarted, containers, signal } = bench({ web: 1, worker: 1 });
  containers.written(9);
  const done = containers.restart(RESTART, signal);
  await clock.advance(4999);
  assert.deepEqual(restarted, []);
  await clock.advance(1);
  await done;
  assert.deepEqual(restarted, ['web', 'worker']);
  assert.equal(containers.version, 9);
  assert.deepEqual(containers.containers, [
    { name: 'web', version: 9 },
    { name: 'worker', version: 9 },
  ]);
});

test('a container that has started with the newest version is left alone; one that cannot be seen is not', async () => {
  const { restarted, containers, signal } = bench({ web: 9, worker: undefined });
  containers.written(9);
  await containers.restart({ ...RESTART, delayMs: 0 }, signal);
  assert.deepEqual(restarted, ['worker']);
});

test('a restart that is waited for serves later sets; one that has begun does not', async () => {
  const { clock, restarted, containers, signal, gate } = bench({ web: 1, worker: 9 });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  gate.promise = promise.then(() => undefined);
  containers.written(8);
  const first = containers.restart(RESTART, signal);
  const second = containers.restart({ ...RESTART, delayMs: 60_000 }, signal);
  assert.equal(first, second);
  await clock.advance(5000);
  containers.written(9);
  const third = containers.restart({ ...RESTART, delayMs: 0 }, signal);
  resolve(undefined);
  await Promise.all([first, third]);
  assert.ok(restarted.includes('web'));
  assert.equal(clock.sleeping, 0);
});

test('an abort ends the wait without a restart', async () => {
  const { restarted, containers, controller, signal } = bench({ web: 1 });
  const done = containers.restart(RESTART, signal);
  controller.abort(new Error('over'));
  await assert.rejects(done, /over/);
  assert.deepEqual(restarted, []);
});

test('versions are read every half minute; without containers never', async () => {
  const { clock, containers, controller, signal } = bench({ web: 1 });
  assert.deepEqual(containers.containers, [{ name: 'web', version: undefined }]);
  const running = containers.run(signal);
  await settle();
  assert.deepEqual(containers.containers, [{ name: 'web', version: 1 }]);
  await clock.advance(30_000);
  controller.abort(new Error('over'));
  await assert.rejects(running, /over/);
  const none = bench({});
  await none.containers.run(none.signal);
  assert.equal(none.looks(), 0);
});

test('without a version the last known one stays', () => {
  const { containers } = bench({});
  containers.written(3);
  containers.written(undefined);
  assert.equal(containers.version, 3);
});
