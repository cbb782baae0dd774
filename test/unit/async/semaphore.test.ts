import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Semaphore } from '../../../src/async/index.ts';
import { settle } from '../../helpers/fake-clock.ts';

const ALWAYS = new AbortController().signal;

/** Operations that end when the test says so. */
class Gate {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  operation(name: string): () => Promise<string> {
    return () => {
      this.begun.push(name);
      const { promise, resolve } = Promise.withResolvers<string>();
      this.#ends.set(name, () => resolve(name));
      return promise;
    };
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    await settle();
  }
}

test('at most the limit run, the others wait in order', async () => {
  const semaphore = new Semaphore(2);
  const gate = new Gate();
  const all = Promise.all(
    ['a', 'b', 'c', 'd'].map((name) => semaphore.run(ALWAYS, gate.operation(name))),
  );
  await settle();
  assert.deepEqual(gate.begun, ['a', 'b']);
  await gate.end('b');
  assert.deepEqual(gate.begun, ['a', 'b', 'c']);
  await gate.end('c');
  assert.deepEqual(gate.begun, ['a', 'b', 'c', 'd']);
  await gate.end('a');
  await gate.end('d');
  assert.deepEqual(await all, ['a', 'b', 'c', 'd']);
});

test('a failure frees its place and is thrown unchanged', async () => {
  const semaphore = new Semaphore(1);
  const failure = new Error('failure');
  await assert.rejects(
    semaphore.run(ALWAYS, () => Promise.reject(failure)),
    (error) => error === failure,
  );
  await assert.rejects(
    semaphore.run(ALWAYS, () => {
      throw failure;
    }),
    (error) => error === failure,
  );
  assert.equal(await semaphore.run(ALWAYS, () => Promise.resolve(1)), 1);
});

test('a caller that is aborted while waiting leaves the queue, and the next one moves up', async () => {
  const semaphore = new Semaphore(1);
  const gate = new Gate();
  const reason = new Error('stop');
  const controller = new AbortController();
  const first = semaphore.run(ALWAYS, gate.operation('first'));
  const aborted = assert.rejects(
    semaphore.run(controller.signal, gate.operation('aborted')),
    (error) => error === reason,
  );
  const last = semaphore.run(ALWAYS, gate.operation('last'));
  await settle();
  controller.abort(reason);
  await aborted;
  await gate.end('first');
  assert.deepEqual(gate.begun, ['first', 'last']);
  await gate.end('last');
  assert.deepEqual(await Promise.all([first, last]), ['first', 'last']);
});

test('an abort in the moment of its turn loses no place', async () => {
  const semaphore = new Semaphore(1);
  const gate = new Gate();
  const controller = new AbortController();
  const first = semaphore.run(ALWAYS, gate.operation('first')).then(() => controller.abort());
  const aborted = semaphore.run(controller.signal, gate.operation('second')).catch(() => 'aborted');
  await settle();
  await gate.end('first');
  await gate.end('second');
  await Promise.all([first, aborted]);
  assert.equal(await semaphore.run(ALWAYS, () => Promise.resolve('free')), 'free');
});

test('a caller that is aborted already does not run, even with a free permit', async () => {
  const reason = new Error('stop');
  const semaphore = new Semaphore(1);
  const run = semaphore.run(AbortSignal.abort(reason), () => assert.fail('it ran'));
  await assert.rejects(run, (error) => error === reason);
  assert.equal(await semaphore.run(ALWAYS, () => Promise.resolve('free')), 'free');
});

test('limits below one are rejected', () => {
  for (const limit of [0, -1, 0.5, Number.NaN, Infinity]) {
    assert.throws(() => new Semaphore(limit), TypeError);
  }
});
