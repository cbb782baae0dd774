import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { VouchsafeError } from '../../../src/core/index.ts';
import type { Child } from '../../../src/contracts/index.ts';
import { sandboxed, systemClock, systemRandom } from '../../../src/platform/index.ts';
import {
  BoundExceeded,
  Pool,
  type Frame,
  type PoolOptions,
} from '../../../src/worker-pool/index.ts';
import type { Command } from '../../helpers/odd-child.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

const never = new AbortController().signal;
const PROGRAM = fileURLToPath(new URL('../../helpers/odd-child.ts', import.meta.url));
const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

interface Running {
  readonly pool: Pool;
  readonly logger: RecordingLogger;
  /** `result` of each job, as counted. */
  readonly results: string[];
  readonly replaced: string[];
  /** Ends the pool. */
  stop(): Promise<void>;
}

function start(t: TestContext, more: Partial<PoolOptions> = {}): Running {
  const logger = recordingLogger();
  const ended = new AbortController();
  const [results, replaced]: [string[], string[]] = [[], []];
  const program = sandboxed({ args: [PROGRAM], directory: ROOT, heapBytes: 32 * 2 ** 20 }, logger);
  const pool = new Pool({
    start: (events): Child => program(events),
    setup: [],
    processes: 2,
    timeoutMs: 10_000,
    maxFrameBytes: 2 ** 20,
    maxGrowthBytes: 2 ** 30,
    clock: systemClock,
    random: systemRandom,
    logger,
    counts: {
      waited: () => undefined,
      done: (_, result) => results.push(result),
      replaced: (reason) => replaced.push(reason),
    },
    ...more,
  });
  const running = pool.run(ended.signal);
  const stop = async (): Promise<void> => {
    ended.abort();
    await running;
  };
  t.after(stop);
  return { pool, logger, results, replaced, stop };
}

/** Sends a command to a child of the pool; returns its answer as texts. */
function send(
  { pool }: Pick<Running, 'pool'>,
  command: Command,
  {
    tenant = 'a',
    texts = [] as readonly string[],
    signal = never,
    onBegin = (): void => undefined,
  } = {},
): Promise<readonly string[]> {
  const frame = [command, ...texts].map((text) => Buffer.from(text));
  const read = (answer: Frame): readonly string[] =>
    answer.map((part) => Buffer.from(part).toString());
  return pool.do({ tenant, operation: 'test', frame, read, onBegin }, signal);
}

test('a job is done by a child, and its answer is its own', async (t) => {
  const running = start(t);
  const all = Array.from({ length: 40 }, (_, index) =>
    send(running, 'echo', { tenant: `t${index % 3}`, texts: [String(index), 'ä'] }),
  );
  assert.deepEqual(
    await Promise.all(all),
    all.map((_, index) => [String(index), 'ä']),
  );
});

test('a job that takes too long is killed, inside of V8 too, and the next one is done', async (t) => {
  const running = start(t, { timeoutMs: 500 });
  await send(running, 'echo');
  await assert.rejects(
    send(running, 'loop'),
    (error) => error instanceof BoundExceeded && error.bound === 'time',
  );
  assert.deepEqual(await send(running, 'echo', { texts: ['x'] }), ['x']);
  assert.deepEqual(running.results, ['ok', 'time', 'ok']);
  assert.deepEqual(running.replaced, ['time']);
});

test('only the job that runs out of heap ends: others wait or run on', async (t) => {
  const running = start(t);
  const heap = send(running, 'heap', { tenant: 'hostile' });
  const others = ['b', 'c', 'd', 'e'].map((tenant) =>
    send(running, 'echo', { tenant, texts: [tenant] }),
  );
  await assert.rejects(heap, (error) => error instanceof BoundExceeded && error.bound === 'memory');
  assert.deepEqual(await Promise.all(others), [['b'], ['c'], ['d'], ['e']]);
});

test('a tenant never has all children: another one does not wait for it', async (t) => {
  const running = start(t, { timeoutMs: 3000 });
  const ended: string[] = [];
  const hostile = Array.from({ length: 3 }, () =>
    send(running, 'loop', { tenant: 'hostile' }).catch(() => ended.push('hostile')),
  );
  for (let index = 0; index < 10; index += 1) {
    await send(running, 'echo', { tenant: 'other' });
  }
  assert.deepEqual(
    ended,
    [],
    'ten jobs of another tenant come before the first of these is killed',
  );
  await Promise.all(hostile);
});

test('tenants take turns, however many jobs each has', async (t) => {
  const running = start(t);
  const order: string[] = [];
  const job = (tenant: string) =>
    send(running, 'echo', { tenant, onBegin: () => order.push(tenant) });
  const many = Array.from({ length: 20 }, () => job('many'));
  const few = ['one', 'two', 'three'].map(job);
  await Promise.all([...many, ...few]);
  const last = Math.max(...['one', 'two', 'three'].map((tenant) => order.indexOf(tenant)));
  assert.ok(last < 10, `the last of the few came as number ${last}`);
});

test('no tenant, and no few of them, can fill the queue', async (t) => {
  const running = start(t);
  await running.stop(); // no job is done any more
  const leave = new AbortController();
  const wait = (tenant: string): Promise<string> =>
    send(running, 'echo', { tenant, signal: leave.signal }).then(
      () => 'done',
      (error: unknown) => (error instanceof VouchsafeError ? error.message : 'waits'),
    );
  const crowd = ['a', 'b', 'c', 'd'].flatMap((tenant) =>
    Array.from({ length: 1024 }, () => wait(tenant)),
  );
  assert.match(await wait('a'), /too many jobs are waiting/);
  const other = wait('other');
  assert.match(await Promise.race(crowd), /too many jobs are waiting/);
  assert.deepEqual(running.results, ['busy', 'busy']);
  leave.abort();
  assert.equal(await other, 'waits');
  const ends = await Promise.all(crowd);
  assert.equal(ends.filter((end) => end === 'waits').length, 4095);
});

for (const command of ['garbage', 'huge', 'exit'] as const) {
  test(`a child that answers with ${command} is replaced, and affects no other job`, async (t) => {
    const running = start(t);
    await assert.rejects(send(running, command));
    assert.deepEqual(await send(running, 'echo', { texts: ['x'] }), ['x']);
    assert.equal(running.replaced.length, 1);
  });
}

test('an extra answer ends the child, and does not answer the next job', async (t) => {
  const running = start(t);
  assert.deepEqual(await send(running, 'twice'), []);
  const all = await Promise.all(
    ['x', 'y', 'z'].map((text) => send(running, 'echo', { texts: [text] })),
  );
  assert.deepEqual(all, [['x'], ['y'], ['z']]);
  await until(() => running.replaced.length > 0);
});

test('an answer that its reader rejects ends the child', async (t) => {
  const running = start(t);
  const read = (): never => {
    throw new Error('not as agreed');
  };
  const job = { tenant: 'a', operation: 'test', frame: [Buffer.from('echo')], read };
  await assert.rejects(running.pool.do(job, never), { code: 'ERR_TEMPLATE_BUSY' });
  assert.deepEqual(running.replaced, ['protocol']);
  assert.deepEqual(await send(running, 'echo', { texts: ['x'] }), ['x']);
});

test('a child that keeps much memory after a job is replaced', async (t) => {
  const running = start(t, { maxGrowthBytes: 40 * 2 ** 20 });
  await send(running, 'echo');
  await send(running, 'keep');
  await until(() => running.replaced.length > 0);
  assert.deepEqual(running.replaced, ['size']);
  assert.deepEqual(await send(running, 'echo', { texts: ['x'] }), ['x']);
});

test('a job that is too large is rejected before a child works on it', async (t) => {
  const running = start(t, { maxFrameBytes: 1000 });
  await assert.rejects(
    send(running, 'echo', { texts: ['x'.repeat(1000)] }),
    (error) => error instanceof BoundExceeded && error.bound === 'size',
  );
});

test("an abort ends a wait at once, and the caller's wait for a running job", async (t) => {
  const running = start(t, { timeoutMs: 1000 });
  const [first, second] = [new AbortController(), new AbortController()];
  const begun = Promise.withResolvers<undefined>();
  const loop = send(running, 'loop', {
    signal: first.signal,
    onBegin: () => begun.resolve(undefined),
  });
  const waiting = send(running, 'echo', { signal: second.signal });
  await begun.promise;
  second.abort(new Error('second'));
  await assert.rejects(waiting, /second/);
  first.abort(new Error('first'));
  await assert.rejects(loop, /first/);
  assert.deepEqual(await send(running, 'echo', { texts: ['x'] }), ['x']);
  await assert.rejects(
    send(running, 'echo', { signal: AbortSignal.abort(new Error('zero')) }),
    /zero/,
  );
});

test('children end with the pool, busy or not', async (t) => {
  const running = start(t);
  await send(running, 'echo');
  const begun = Promise.withResolvers<undefined>();
  const loop = send(running, 'loop', { onBegin: () => begun.resolve(undefined) });
  loop.catch(() => undefined);
  await begun.promise;
  assert.ok(children().length >= 2);
  await running.stop();
  await until(() => children().length === 0);
});

test('a child can do next to nothing', async (t) => {
  const running = start(t);
  assert.deepEqual(JSON.parse((await send(running, 'look')).join()), []);
  await until(() => children().every(isLockedUp)); // the other one may have begun just now
  assert.deepEqual(running.logger.lines, []);
});

test('children that cannot be started are reported, and jobs do not wait for ever', async (t) => {
  const running = start(t, {
    start: (events) => {
      queueMicrotask(() => events.ended('there is no such program'));
      return { send: () => undefined, kill: () => undefined, residentBytes: () => undefined };
    },
    maxWaitMs: 50,
  });
  await assert.rejects(send(running, 'echo'), {
    code: 'ERR_TEMPLATE_BUSY',
    message: /there is no such program/,
  });
  assert.match(running.logger.text(), /does not start/);
});

/** True where the kernel denies things to every thread of a process, for good. */
function isLockedUp(pid: string): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    return /^NoNewPrivs:\t1$/m.test(status) && /^Seccomp:\t2$/m.test(status);
  });
}

/** Process ids of children of this process that run the odd program. */
function children(): readonly string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => {
    try {
      const parent = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      const isOdd = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(PROGRAM);
      return parent === String(process.pid) && isOdd;
    } catch {
      return false;
    }
  });
}
