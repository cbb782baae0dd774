import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import { createBackoff, retry, type RetryOptions } from '../../../src/async/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';

function optionsOf(
  clock: FakeClock,
  signal: AbortSignal = new AbortController().signal,
): RetryOptions {
  const backoff = createBackoff({ minMs: 1000, maxMs: 8000, random: { next: () => 0 } });
  return { backoff, clock, signal };
}

test('what succeeds is not repeated', async () => {
  const clock = new FakeClock();
  assert.equal(await retry(() => Promise.resolve(7), optionsOf(clock)), 7);
  assert.equal(clock.monotonicMs(), 0);
});

test('what fails is tried again after growing waits', async () => {
  const clock = new FakeClock();
  const tries: number[] = [];
  const reported: string[] = [];
  const work = retry(
    () => {
      tries.push(clock.monotonicMs());
      if (tries.length < 4) throw new VouchsafeError('ERR_VAULT_SEALED', 'sealed');
      return Promise.resolve('done');
    },
    { ...optionsOf(clock), onFailure: (error, waitMs) => reported.push(`${error.code} ${waitMs}`) },
  );
  await clock.advance(60_000);
  assert.equal(await work, 'done');
  assert.deepEqual(tries, [0, 1000, 3000, 7000]);
  assert.deepEqual(reported, [
    'ERR_VAULT_SEALED 1000',
    'ERR_VAULT_SEALED 2000',
    'ERR_VAULT_SEALED 4000',
  ]);
});

test('what is not worth retrying is thrown as it is', async () => {
  const clock = new FakeClock();
  const error = new VouchsafeError('ERR_CONFIG_INVALID', 'x');
  const work = retry(() => Promise.reject(error), optionsOf(clock));
  await assert.rejects(work, (thrown) => thrown === error);
});

test('a foreign error is a bug, and not retried', async () => {
  const work = retry(() => Promise.reject(new RangeError('hush')), optionsOf(new FakeClock()));
  await assert.rejects(
    work,
    (error) => error instanceof VouchsafeError && error.code === 'ERR_BUG',
  );
});

test('the caller can decide what is worth retrying', async () => {
  const clock = new FakeClock();
  let tries = 0;
  const work = retry(
    () => {
      tries += 1;
      return Promise.reject(new VouchsafeError('ERR_VAULT_SEALED', `${tries}`));
    },
    { ...optionsOf(clock), shouldRetry: () => tries < 3 },
  );
  const failed = assert.rejects(work, { message: '3' });
  await clock.advance(60_000);
  await failed;
});

test('Retry-After is the least wait', async () => {
  const clock = new FakeClock();
  const tries: number[] = [];
  const work = retry(() => {
    tries.push(clock.monotonicMs());
    if (tries.length > 1) return Promise.resolve();
    throw new VouchsafeError('ERR_VAULT_THROTTLED', 'x', { retryAfterMs: 20_000 });
  }, optionsOf(clock));
  await clock.advance(60_000);
  await work;
  assert.deepEqual(tries, [0, 20_000]);
});

test('an abort ends a wait, a try, or the loop before it begins, with its reason', async () => {
  const reason = new Error('stop');
  const sealed = (): Promise<never> => Promise.reject(new VouchsafeError('ERR_VAULT_SEALED', 'x'));

  const waiting = new AbortController();
  const clock = new FakeClock();
  const inWait = assert.rejects(
    retry(sealed, optionsOf(clock, waiting.signal)),
    (e) => e === reason,
  );
  await settle();
  assert.equal(clock.sleeping, 1);
  waiting.abort(reason);
  await inWait;
  assert.equal(clock.sleeping, 0);

  const trying = new AbortController();
  const failing = (): Promise<never> => {
    trying.abort(reason);
    return sealed();
  };
  await assert.rejects(retry(failing, optionsOf(clock, trying.signal)), (e) => e === reason);

  const never = (): Promise<never> => assert.fail('it was tried');
  const before = AbortSignal.abort(reason);
  await assert.rejects(retry(never, optionsOf(clock, before)), (e) => e === reason);
});
