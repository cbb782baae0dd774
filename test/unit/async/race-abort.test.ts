import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { raceAbort, DEADLINE, withDeadline } from '../../../src/async/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';

const COUNTER = fileURLToPath(new URL('abandoned-waits.ts', import.meta.url));

suite('waits that end before what they wait for', () => {
  for (const kind of ['promise', 'latest', 'semaphore', 'deadline', 'streams']) {
    test(`a hundred thousand of them leave nothing: ${kind}`, async () => {
      const child = spawn(process.execPath, ['--expose-gc', COUNTER, kind], {
        stdio: ['ignore', 'pipe', 'inherit'],
        signal: AbortSignal.timeout(120_000),
      });
      const [printed, [code]] = await Promise.all([
        text(child.stdout),
        once(child, 'exit') as Promise<[number | null]>, // as Node documents it
      ]);
      assert.equal(code, 0);
      const grown = Number(printed);
      // A reaction and its closure are 200 bytes and more.
      assert.ok(Number.isFinite(grown) && grown < 20, `${printed} bytes for each wait`);
    });
  }

  test('all callers that wait for one promise get its outcome, later ones as well', async () => {
    const { signal } = new AbortController();
    const gate = Promise.withResolvers<number>();
    const all = Promise.all([1, 2, 3].map(() => raceAbort(gate.promise, signal)));
    const left = new AbortController();
    const leaving = assert.rejects(raceAbort(gate.promise, left.signal));
    left.abort();
    await leaving;
    gate.resolve(7);
    assert.deepEqual(await all, [7, 7, 7]);
    assert.equal(await raceAbort(gate.promise, signal), 7);
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  });

  test('all callers that wait for one promise get its failure', async () => {
    const { signal } = new AbortController();
    const gate = Promise.withResolvers<number>();
    const all = Promise.allSettled([1, 2].map(() => raceAbort(gate.promise, signal)));
    const failure = new Error('failure');
    gate.reject(failure);
    const rejected = { status: 'rejected', reason: failure };
    assert.deepEqual(await all, [rejected, rejected]);
    await assert.rejects(raceAbort(gate.promise, signal), (error) => error === failure);
  });
});

suite('a deadline', () => {
  test('ends a wait that takes too long, and aborts the work', async () => {
    const clock = new FakeClock();
    const { signal } = new AbortController();
    let reason: unknown;
    const waiting = withDeadline({ clock, ms: 1000, signal }, async (inner) => {
      inner.addEventListener('abort', () => {
        reason = inner.reason;
      });
      return await new Promise<never>(() => undefined);
    });
    const rejected = assert.rejects(waiting, (error) => error === DEADLINE);
    await clock.advance(999);
    assert.equal(reason, undefined);
    await clock.advance(1);
    await rejected;
    assert.equal(reason, DEADLINE);
    assert.equal(clock.sleeping, 0);
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  });

  test('returns the outcome of work that is done in time, and leaves no timer', async () => {
    const clock = new FakeClock();
    const { signal } = new AbortController();
    assert.equal(await withDeadline({ clock, ms: 1000, signal }, () => Promise.resolve(1)), 1);
    const failure = new Error('failure');
    const failing = withDeadline({ clock, ms: 1000, signal }, () => Promise.reject(failure));
    await assert.rejects(failing, (error) => error === failure);
    await settle();
    assert.equal(clock.sleeping, 0);
  });

  test('an abort ends it with its own reason', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const waiting = withDeadline(
      { clock, ms: 1000, signal: stop.signal },
      () => new Promise<never>(() => undefined),
    );
    const reason = new Error('stop');
    const rejected = assert.rejects(waiting, (error) => error === reason);
    stop.abort(reason);
    await rejected;
    await settle();
    assert.equal(clock.sleeping, 0);
    await assert.rejects(
      withDeadline({ clock, ms: 1, signal: stop.signal }, () => Promise.resolve(1)),
      (error) => error === reason,
    );
  });
});
