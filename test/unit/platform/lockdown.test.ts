import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sandboxed } from '../../../src/platform/index.ts';
import { canLockDown } from '../../../src/platform/lockdown.ts';
import type { Mode, Results } from '../../helpers/locked-child.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

const PROGRAM = fileURLToPath(new URL('../../helpers/locked-child.ts', import.meta.url));
const RENDERER = fileURLToPath(new URL('../../../cmd/renderer/main.ts', import.meta.url));
const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const EPERM = 1;
const skip = canLockDown() ? false : 'no system calls are known of this machine';

interface Started {
  readonly logger: RecordingLogger;
  readonly pid: string;
  send(text: string): void;
  /** What it wrote, once it has. */
  results(): Promise<Results>;
}

function start(t: TestContext, mode: Mode, flags: readonly string[] = []): Started {
  const logger = recordingLogger();
  const before = new Set(children());
  let [text, how] = ['', ''];
  const end = Promise.withResolvers<undefined>();
  const child = sandboxed(
    { args: [...flags, PROGRAM, mode], directory: ROOT, heapBytes: 64 * 2 ** 20 },
    logger,
  )({
    received: (chunk) => (text += Buffer.from(chunk).toString()),
    ended: (words) => {
      how = words;
      end.resolve(undefined);
    },
  });
  t.after(async () => {
    child.kill();
    await end.promise;
  });
  const pid = children().find((one) => !before.has(one)) ?? assert.fail('it has not started');
  return {
    logger,
    pid,
    send: (words) => child.send([Buffer.from(words)]),
    async results() {
      await until(() => text.endsWith('\n') || how !== '');
      assert.equal(how, '');
      return JSON.parse(text) as Results;
    },
  };
}

/** Process ids of the children of this process. */
function children(): readonly string[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean);
}

test('a process that is locked down can do nothing by itself', { skip }, async (t) => {
  const child = start(t, 'locked');
  const results = await child.results();
  assert.ok(Object.keys(results).length > 100);
  const done = Object.entries(results).filter(([, errno]) => errno !== EPERM);
  assert.deepEqual(done, []);
  assert.deepEqual(child.logger.lines, []);
});

test('the same process could do all of it if it were not locked down', { skip }, async (t) => {
  const free = start(t, 'free');
  const refused = Object.entries(await free.results()).filter(([, errno]) => errno !== 0);
  assert.deepEqual(refused, []);
});

test(
  'the filter holds for every thread, for good, and nobody looks into the process',
  { skip },
  async (t) => {
    const child = start(t, 'locked');
    await child.results();
    const threads = readdirSync(`/proc/${child.pid}/task`);
    assert.ok(threads.length > 1, 'V8 has threads of its own');
    for (const thread of threads) {
      const status = readFileSync(`/proc/${child.pid}/task/${thread}/status`, 'utf8');
      assert.match(status, /^Seccomp:\t2$/m);
      assert.match(status, /^NoNewPrivs:\t1$/m);
    }
  },
);

test(
  'it has no environment, and nothing open but its pipes and what Node makes of nothing',
  { skip },
  async (t) => {
    const child = start(t, 'locked');
    await child.results();
    if (process.getuid?.() !== 0) return; // it is not to be looked into
    // Node passes on by itself where coverage goes, while it is measured.
    const environment = readFileSync(`/proc/${child.pid}/environ`, 'utf8');
    assert.equal(environment.replace(/^NODE_V8_COVERAGE=[^\0]*\0/, ''), '');
    const open = readdirSync(`/proc/${child.pid}/fd`).map((fd): [number, string] => [
      Number(fd),
      readlinkSync(`/proc/${child.pid}/fd/${fd}`),
    ]);
    for (const [fd, what] of open) {
      assert.match(
        what,
        fd <= 2 ? /^socket:/ : /^anon_inode:\[(eventpoll|eventfd|io_uring)\]$|^pipe:/,
      );
    }
  },
);

test('nothing is sent to a process before it is locked down', { skip }, async (t) => {
  const child = start(t, 'late');
  child.send('a job');
  assert.deepEqual(await child.results(), { early: false, text: 'a job' });
});

test('nothing is sent to a process that does not say that it is', { skip }, async (t) => {
  const child = start(t, 'silent');
  child.send('a job');
  assert.deepEqual(await child.results(), { early: false });
});

test('what is not locked down is in the log, once', { skip }, async (t) => {
  const child = start(t, 'free');
  await child.results();
  await until(() => child.logger.lines.length > 0);
  assert.deepEqual(child.logger.lines, [
    {
      level: 'error',
      message: 'rendering processes are not locked down',
      fields: { lacks: 'the test says so' },
    },
  ]);
});

test('a Node without foreign functions cannot, and says so', { skip }, () => {
  const flags = ['--no-experimental-ffi', '--no-warnings'];
  const words = [...flags, RENDERER, String(process.pid)];
  const { status, stderr } = spawnSync(process.execPath, words, { input: '', env: {} });
  assert.match(String(stderr), /^not locked down: Node has no foreign functions/);
  assert.equal(status, 0);
});

test('a Node that does not permit them cannot either', { skip }, () => {
  const flags = ['--permission', `--allow-fs-read=${ROOT}`, '--no-warnings'];
  const words = [...flags, RENDERER, String(process.pid)];
  const { stderr } = spawnSync(process.execPath, words, { input: '', env: {} });
  assert.match(String(stderr), /^not locked down: Node has no foreign functions/);
});

test(
  'a process whose parent is gone when it locks itself up ends, and reads nothing',
  { skip },
  () => {
    const words = ['--no-warnings', RENDERER, '1'];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { input: 'x', env: {} });
    assert.notEqual(status, 0);
    assert.equal(String(stdout), '');
    assert.match(String(stderr), /the process that started this one has ended/);
    assert.doesNotMatch(String(stderr), /^locked down$/m);
  },
);
