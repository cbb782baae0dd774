import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayAbort } from '../../../src/agent-runtime/delay-abort.ts';
import { settle } from '../../helpers/fake-clock.ts';

/** Resolves when the signal aborts. */
async function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  signal.addEventListener('abort', () => resolve(undefined));
  if (!signal.aborted) await promise;
}

test('the signal of the work aborts when the lingering is over, with the original reason', async () => {
  const stop = new AbortController();
  const over = Promise.withResolvers<undefined>();
  let reason: unknown;
  const done = delayAbort(
    async (end) => {
      await aborted(end);
      reason = end.reason;
    },
    () => over.promise,
    stop.signal,
  );
  stop.abort(new Error('stop'));
  await settle();
  assert.equal(reason, undefined);
  over.resolve(undefined);
  await done;
  assert.match(String(reason), /stop/);
});

test('work that ends by itself ends the lingering, and its error is the outcome', async () => {
  const stop = new AbortController();
  const failing = Promise.withResolvers<undefined>();
  let isOver = false;
  const done = delayAbort(
    async () => {
      await failing.promise;
    },
    async (signal) => {
      await aborted(signal);
      isOver = true;
    },
    stop.signal,
  );
  stop.abort();
  await settle();
  failing.reject(new Error('a defect'));
  await assert.rejects(done, /a defect/);
  assert.ok(isOver);
});

test('without an abort there is no lingering; with one from the start it begins at once', async () => {
  let lingered = 0;
  const linger = (): Promise<void> => {
    lingered += 1;
    return Promise.resolve();
  };
  await delayAbort(() => Promise.resolve(), linger, new AbortController().signal);
  assert.equal(lingered, 0);
  await delayAbort(aborted, linger, AbortSignal.abort());
  assert.equal(lingered, 1);
});

test('with an abort from the start, the work begins before the lingering', async () => {
  const steps: string[] = [];
  const step = (name: string) => (): Promise<void> => {
    steps.push(name);
    return Promise.resolve();
  };
  await delayAbort(step('work'), step('linger'), AbortSignal.abort());
  assert.deepEqual(steps, ['work', 'linger']);
});
