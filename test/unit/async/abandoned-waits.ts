/**
 * Waits a hundred thousand times for something that does not come, and prints how many bytes each wait has left on the
 * heap. A process of its own, so that nothing else is counted: `node --expose-gc`.
 */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { raceAbort, Latest, Semaphore, withDeadline } from '../../../src/async/index.ts';
import { combineLatest } from '../../../src/spiffe/combine-latest.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

const WAITS = 100_000;
const NEVER = new Promise<never>(() => undefined);
const REASON = new Error('stop');

async function inVain(wait: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const stop = new AbortController();
  const waiting = wait(stop.signal);
  stop.abort(REASON);
  await waiting.catch((error: unknown) => assert.equal(error, REASON));
}

const latest = new Latest<number>();
const semaphore = new Semaphore(1);
const clock = new FakeClock();

/** One stream is silent, the other one is not. */
async function streams(): Promise<void> {
  const gate = new Latest<number>();
  const silent = new Latest<number>();
  silent.set(0);
  const both = combineLatest(
    (signal) => silent.updates(signal),
    (signal) => gate.updates(signal),
    new AbortController().signal,
  );
  gate.set(-1);
  await both.next();
  const before = await heap();
  for (let n = 0; n < WAITS; n += 1) {
    gate.set(n);
    await both.next();
  }
  await print(before);
  await both.return();
}

const KINDS: Readonly<Record<string, () => Promise<void>>> = {
  promise: () => inVain((signal) => raceAbort(NEVER, signal)),
  latest: () => inVain((signal) => latest.wait(signal)),
  semaphore: () => inVain((signal) => semaphore.run(signal, () => NEVER)),
  deadline: () => inVain((signal) => withDeadline({ clock, ms: 1000, signal }, () => NEVER)),
};

/** Abort signals are let go by finalizers, which are run between two turns. */
async function heap(): Promise<number> {
  for (let times = 0; times < 5; times += 1) {
    globalThis.gc?.();
    await nextTurn();
  }
  return process.memoryUsage().heapUsed;
}

async function print(before: number): Promise<void> {
  process.stdout.write(String(((await heap()) - before) / WAITS));
}

const [, , kind = ''] = process.argv;
if (kind === 'streams') await streams();
else {
  const once = KINDS[kind];
  assert.ok(once !== undefined && globalThis.gc !== undefined);
  if (kind === 'semaphore') void semaphore.run(new AbortController().signal, () => NEVER);
  for (let n = 0; n < 1000; n += 1) await once();
  const before = await heap();
  for (let n = 0; n < WAITS; n += 1) {
    await once();
    if (n % 1000 === 0) await nextTurn();
  }
  await print(before);
}
process.exit(0);
