import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { raceAbort, Latest } from '../../../src/async/index.ts';
import { settle } from '../../helpers/fake-clock.ts';

test('the newest value is there at once, and forgotten on demand', async () => {
  const latest = new Latest<number>();
  const { signal } = new AbortController();
  assert.equal(latest.current, undefined);
  latest.set(1);
  latest.set(2);
  assert.equal(latest.current, 2);
  assert.equal(await latest.wait(signal), 2);
  latest.clear();
  assert.equal(latest.current, undefined);
});

test('all waiting callers get the first value', async () => {
  const latest = new Latest<string>();
  const { signal } = new AbortController();
  const waiting = Promise.all([latest.wait(signal), latest.wait(signal)]);
  await settle();
  latest.clear();
  await settle();
  latest.set('first');
  assert.deepEqual(await waiting, ['first', 'first']);
});

test('undefined is a value, too', async () => {
  const latest = new Latest<number | undefined>();
  latest.set(undefined);
  assert.equal(await latest.wait(new AbortController().signal), undefined);
});

test('a consumer sees each value when it keeps up, and the newest when it does not', async () => {
  const latest = new Latest<number>();
  const controller = new AbortController();
  const seen: number[] = [];
  let busy = Promise.withResolvers<undefined>();
  const consumer = (async (): Promise<void> => {
    for await (const value of latest.updates(controller.signal)) {
      seen.push(value);
      await busy.promise;
    }
  })();
  latest.set(1);
  await settle();
  for (const value of [2, 3, 4]) latest.set(value);
  busy.resolve(undefined);
  await settle();
  assert.deepEqual(seen, [1, 4]);

  latest.set(5);
  await settle();
  latest.set(5);
  await settle();
  assert.deepEqual(seen, [1, 4, 5, 5]);

  busy = Promise.withResolvers();
  latest.set(6);
  await settle();
  latest.set(7);
  latest.clear();
  busy.resolve(undefined);
  await settle();
  assert.deepEqual(seen, [1, 4, 5, 5, 6], 'a value that was forgotten is not given out');
  controller.abort();
  await assert.rejects(consumer);
});

test('consumers do not take values from each other', async () => {
  const latest = new Latest<number>();
  const controller = new AbortController();
  const consume = async (seen: number[]): Promise<void> => {
    for await (const value of latest.updates(controller.signal)) seen.push(value);
  };
  const [a, b]: [number[], number[]] = [[], []];
  const consumers = Promise.allSettled([consume(a), consume(b)]);
  for (const value of [1, 2, 3]) {
    latest.set(value);
    await settle();
  }
  controller.abort();
  await consumers;
  assert.deepEqual([a, b], [[1, 2, 3], [1, 2, 3]]); // prettier-ignore
});

test('an abort ends waiting and iterating with its reason, also when a value is there', async () => {
  const reason = new Error('stop');
  const latest = new Latest<number>();
  const controller = new AbortController();
  const waiting = assert.rejects(latest.wait(controller.signal), (error) => error === reason);
  const next = latest.updates(controller.signal).next();
  const iterating = assert.rejects(next, (error) => error === reason);
  await settle();
  controller.abort(reason);
  await Promise.all([waiting, iterating]);
  latest.set(1);
  await assert.rejects(latest.wait(controller.signal), (error) => error === reason);
});

test('raceAbort returns the outcome of the promise, or throws the reason of the abort', async () => {
  const reason = new Error('stop');
  const failure = new Error('failure');
  const controller = new AbortController();
  const { signal } = controller;
  assert.equal(await raceAbort(Promise.resolve(1), signal), 1);
  await assert.rejects(raceAbort(Promise.reject(failure), signal), (error) => error === failure);
  const pending = Promise.withResolvers<number>();
  const waiting = assert.rejects(raceAbort(pending.promise, signal), (error) => error === reason);
  controller.abort(reason);
  await waiting;
  pending.resolve(1);
  await assert.rejects(raceAbort(pending.promise, signal), (error) => error === reason);
});

test('a failure that comes after the abort is not unhandled', async (t) => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', onUnhandled);
  t.after(() => process.off('unhandledRejection', onUnhandled));
  const controller = new AbortController();
  const before = Promise.withResolvers<never>();
  const waiting = assert.rejects(raceAbort(before.promise, controller.signal));
  controller.abort();
  await waiting;
  const after = Promise.withResolvers<never>();
  await assert.rejects(raceAbort(after.promise, controller.signal));
  before.reject(new Error('late'));
  after.reject(new Error('late'));
  await settle();
  assert.deepEqual(unhandled, []);
});

test('no listener is left on the signal', async () => {
  const { signal } = new AbortController();
  await raceAbort(Promise.resolve(1), signal);
  await assert.rejects(raceAbort(Promise.reject(new Error('x')), signal));
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});
