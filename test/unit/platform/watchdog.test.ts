import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { test } from 'node:test';

const MODULE = new URL('../../../src/platform/watchdog.ts', import.meta.url).href;
const LIMITS = '{ periodMs: 200, maxMissedBeats: 15 }';

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program that has imported `startWatchdog`, by these words before Node's. */
async function run(source: string, words: readonly string[] = []): Promise<End> {
  const program = `import { startWatchdog } from '${MODULE}';\n${source}`;
  const node = [process.execPath, '--input-type=module', '-e', program];
  const [command = '', ...rest] = [...words, ...node];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const [code, signal] = (await once(child, 'close')) as [End['code'], End['signal']];
  return { code, signal, stdout, stderr };
}

/** Bounded, so that a watchdog that does nothing fails the test instead of stopping it. */
const STAND_STILL = 'const end = Date.now() + 60_000; while (Date.now() < end);';
const TERM = `process.on('SIGTERM', () => console.log('SIGTERM'));`;

test('a process whose event loop stands still is killed, without SIGTERM, and says why', async () => {
  const end = await run(`${TERM} startWatchdog(${LIMITS}); ${STAND_STILL} console.log('alive');`);
  assert.deepEqual([end.signal, end.stdout], ['SIGKILL', '']);
  assert.equal(end.stderr, 'vouchsafe: ERR_BUG: the event loop was blocked for too long\n');
});

test('the first process of a container, which no signal from within reaches, ends as well', async (t) => {
  const words = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--mount-proc'];
  try {
    await promisify(execFile)(words[0]!, [...words.slice(1), 'true']);
  } catch {
    t.skip('this system has no user namespaces for us');
    return;
  }
  const source = `console.log(process.pid); startWatchdog(${LIMITS}); ${STAND_STILL} console.log('alive');`;
  const end = await run(source, words);
  assert.equal(end.stdout, '1\n');
  assert.notEqual(end.code, 0);
});

test('a process that works is left alone, however busy, and none stays for its watchdog', async () => {
  const busy = `
    const until = Date.now() + 3000;
    const work = () => {
      const pause = Date.now() + 50;
      while (Date.now() < pause);
      if (Date.now() < until) setImmediate(work);
    };`;
  const end = await run(`${busy} startWatchdog(${LIMITS}); work();`);
  assert.deepEqual([end.code, end.stderr], [0, '']);
});

test('one that was paused as a whole is not taken for one that is stuck', async () => {
  const source = `startWatchdog(${LIMITS}); console.log('on'); setTimeout(() => console.log('done'), 500);`;
  const program = `import { startWatchdog } from '${MODULE}';\n${source}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 4000)); // longer than the limits
  child.kill('SIGCONT');
  const [code] = (await once(child, 'close')) as [number | null];
  assert.deepEqual([code, stdout], [0, 'on\ndone\n']);
});

test('one that has been stopped watches nothing', async () => {
  const end = await run(
    `const stop = startWatchdog(${LIMITS}); await stop();
     const end = Date.now() + 4000; while (Date.now() < end); console.log('alive');`,
  );
  assert.deepEqual([end.code, end.stdout], [0, 'alive\n']);
});
