import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runAll, type Task } from '../../../src/async/index.ts';
import { settle, turns } from '../../helpers/settle.ts';

/** Runs until it is aborted, and reports its end. */
function untilAborted(name: string, ended: string[]): Task {
  return async (signal) => {
    const { promise, reject } = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    try {
      await promise;
    } finally {
      await turns(2);
      ended.push(name);
    }
  };
}

test('a group ends when its last task has', async () => {
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const group = runAll(new AbortController().signal, [
    async () => {
      await promise;
      order.push('slow');
    },
    () => {
      order.push('quick');
      return Promise.resolve();
    },
  ]).then(() => order.push('group'));
  await settle();
  assert.deepEqual(order, ['quick']);
  resolve(undefined);
  await group;
  assert.deepEqual(order, ['quick', 'slow', 'group']);
  await runAll(new AbortController().signal, []);
});

test('the first failure ends the others, which are awaited, and is thrown', async () => {
  const ended: string[] = [];
  const failure = new Error('first');
  const group = runAll(new AbortController().signal, [
    untilAborted('a', ended),
    async () => {
      await turns(1);
      throw failure;
    },
    untilAborted('b', ended),
    async (signal) => {
      await untilAborted('c', ended)(signal).catch(() => undefined);
      throw new Error('a failure while ending does not hide the first');
    },
  ]);
  await assert.rejects(group, (error) => error === failure);
  assert.deepEqual(ended.sort(), ['a', 'b', 'c']);
});

test('a task that throws at once fails like any other', async () => {
  const failure = new Error('at once');
  const ended: string[] = [];
  const group = runAll(new AbortController().signal, [
    untilAborted('a', ended),
    () => {
      throw failure;
    },
  ]);
  await assert.rejects(group, (error) => error === failure);
  assert.deepEqual(ended, ['a']);
});

test('an abort ends all tasks, awaits them and is not a failure', async () => {
  const ended: string[] = [];
  const controller = new AbortController();
  const group = runAll(controller.signal, [untilAborted('a', ended), untilAborted('b', ended)]);
  await settle();
  controller.abort(new Error('stop'));
  await group;
  assert.deepEqual(ended.sort(), ['a', 'b']);
});
