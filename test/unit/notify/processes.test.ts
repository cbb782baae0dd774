import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import type { NotifyAction } from '../../../src/config/schema/index.ts';
import {
  findContainerProcesses,
  isAlive,
  type ContainerProcess,
} from '../../../src/notify/process-table.ts';
import { hasCode, VouchsafeError } from '../../../src/core/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { createEnvReader } from '../../../src/notify/index.ts';
import { settle } from '../../helpers/fake-clock.ts';
import { until } from '../../helpers/until.ts';
import { ALWAYS, notifierOf, pass } from './harness.ts';

const HUP: NotifyAction = { kind: 'signal', signal: 'SIGHUP', container: 'app' };
const RESTART: NotifyAction = { kind: 'restart', container: 'app' };

/** A process of a container, as a `/proc` shows it. */
interface FakeProcess {
  readonly pid: number;
  readonly parentPid?: number;
  readonly startTicks?: number;
  readonly container?: string;
  readonly name?: string;
  readonly state?: string;
  /** Of the container that it is in. */
  readonly group?: string;
  /** `NAME=value` */
  readonly variable?: string;
}

function showProcess(procDirectory: string, process: FakeProcess): void {
  const { pid, parentPid = 0, startTicks = pid, container, name = 'app', state = 'S' } = process;
  const directory = join(procDirectory, `${pid}`);
  fs.mkdirSync(directory, { recursive: true });
  const variable = process.variable === undefined ? '' : `${process.variable}\0`;
  const mark = container === undefined ? '' : `VOUCHSAFE_CONTAINER=${container}\0`;
  fs.writeFileSync(join(directory, 'environ'), `PATH=/bin\0${mark}${variable}HOME=/\0`);
  const fields = [state, parentPid, ...Array.from({ length: 17 }, () => 7), startTicks, 8, 9];
  if (process.group !== undefined) {
    fs.writeFileSync(join(directory, 'cgroup'), `0::/../${process.group}\n`);
  }
  fs.writeFileSync(join(directory, 'stat'), `${pid} (${name}) ${fields.join(' ')}\n`);
}

function procOf(t: TestContext, processes: readonly FakeProcess[]): string {
  const directory = tempDirectory(t);
  for (const name of ['self', 'cpuinfo', 'sys', '0', '1x']) fs.mkdirSync(join(directory, name));
  for (const process of processes) showProcess(directory, process);
  return directory;
}

/** Where there is one container alone. */
async function mainOf(procDirectory: string, container: string): Promise<ContainerProcess> {
  const [main, ...more] = await findContainerProcesses(procDirectory, container);
  assert.ok(main !== undefined);
  assert.deepEqual(more, []);
  return main;
}

for (const [what, processes, pid] of [
  ['the one process', [{ pid: 7, container: 'app' }], 7],
  [
    'not the process of another container',
    [
      { pid: 1 },
      { pid: 5, container: 'application' },
      { pid: 6, container: 'ap' },
      { pid: 7, container: 'app' },
    ],
    7,
  ],
  [
    'the parent, not its children',
    [
      { pid: 20, container: 'app' },
      { pid: 5, parentPid: 20, startTicks: 30, container: 'app' },
      { pid: 6, parentPid: 5, startTicks: 31, container: 'app' },
    ],
    20,
  ],
  [
    'the main process, not what kubectl exec started later, whatever the numbers are',
    [
      { pid: 9, container: 'app', startTicks: 500 },
      { pid: 8, parentPid: 9, container: 'app', startTicks: 501 },
      { pid: 300, container: 'app', startTicks: 100 },
    ],
    300,
  ],
  [
    'a process whose name tries to look like fields',
    [{ pid: 7, container: 'app', name: 'a) S 1 (b) c\nd' }],
    7,
  ],
  [
    'no zombie',
    [
      { pid: 3, container: 'app', state: 'Z' },
      { pid: 7, container: 'app' },
    ],
    7,
  ],
] as const) {
  test(`found is ${what}`, async (t) => {
    const found = await mainOf(procOf(t, processes), 'app');
    assert.equal(found.pid, pid);
  });
}

for (const [what, processes] of [
  ['there is none', [{ pid: 1 }]],
  ['another variable ends with the name', [{ pid: 1, name: 'x', container: 'my-app' }]],
  ['only a zombie is left', [{ pid: 3, container: 'app', state: 'Z' }]],
] as const) {
  test(`no process is found when ${what}`, async (t) => {
    await assert.rejects(mainOf(procOf(t, processes), 'app'), (error) => {
      assert.ok(error instanceof VouchsafeError);
      assert.equal(error.code, 'ERR_NOTIFY_TARGET');
      assert.match(error.message, /container app .*shareProcessNamespace/);
      return true;
    });
  });
}

test('without a /proc no process is found', async (t) => {
  const missing = join(tempDirectory(t), 'missing');
  await assert.rejects(mainOf(missing, 'app'), (error) => hasCode(error, 'ERR_NOTIFY_TARGET'));
});

test('processes that may not be looked at are a hint at different UIDs', async (t) => {
  const procDirectory = procOf(t, [{ pid: 7, container: 'app' }]);
  fs.chmodSync(procDirectory, 0o755);
  fs.chmodSync(join(procDirectory, '7/environ'), 0);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534); // Root may look at everything.
  try {
    await assert.rejects(mainOf(procDirectory, 'app'), (error) => {
      assert.ok(error instanceof VouchsafeError);
      assert.equal(error.code, 'ERR_NOTIFY_TARGET');
      assert.match(error.message, /among 1 processes of other users: .*equal UIDs/);
      return true;
    });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

test('a process is the same one only while its start is the same', async (t) => {
  const procDirectory = procOf(t, [{ pid: 7, container: 'app', startTicks: 10 }]);
  const found = await mainOf(procDirectory, 'app');
  assert.ok(await isAlive(procDirectory, found));
  showProcess(procDirectory, { pid: 7, container: 'app', startTicks: 11 });
  assert.ok(!(await isAlive(procDirectory, found)));
  fs.rmSync(join(procDirectory, '7'), { recursive: true });
  assert.ok(!(await isAlive(procDirectory, found)));
});

test('a signal that is not permitted is an error that asks for equal UIDs', async (t) => {
  const procDirectory = procOf(t, [{ pid: 7, container: 'app' }]);
  const kill = (): never => {
    throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
  };
  for (const action of [HUP, RESTART]) {
    const { notifier, clock, log } = notifierOf({ procDirectory, kill });
    await pass(clock, notifier.notify([action], ALWAYS));
    assert.equal(log.length, 1);
    assert.match(
      log[0]!,
      /ERR_NOTIFY_TARGET the agent may not send SIG\w+ to container app.*equal UIDs/,
    );
  }
});

test('a restart of what has just ended is done; a signal to it is tried again', async (t) => {
  const procDirectory = procOf(t, [{ pid: 7, container: 'app' }]);
  let calls = 0;
  const kill = (): void => {
    calls += 1;
    if (calls === 1) throw Object.assign(new Error('kill ESRCH'), { code: 'ESRCH' });
  };
  const restarting = notifierOf({ procDirectory, kill });
  await restarting.notifier.notify([RESTART], ALWAYS);
  assert.equal(calls, 1);
  calls = 0;
  const signalling = notifierOf({ procDirectory, kill });
  await pass(signalling.clock, signalling.notifier.notify([HUP], ALWAYS));
  assert.equal(calls, 2);
  assert.deepEqual(signalling.counts, ['vouchsafe_notifications_total signal success']);
});

test('a successor with the same number is not killed', async (t) => {
  const procDirectory = procOf(t, [{ pid: 7, container: 'app', startTicks: 10 }]);
  const sent: string[] = [];
  const kill = (_pid: number, signal: string): void => {
    sent.push(signal);
    showProcess(procDirectory, { pid: 7, container: 'app', startTicks: 11 });
  };
  const { notifier, clock } = notifierOf({ procDirectory, kill });
  await pass(clock, notifier.notify([RESTART], ALWAYS));
  assert.deepEqual(sent, ['SIGTERM']);
});

/** The application, and a sibling that has an older process with the application's mark. */
const POSING: readonly FakeProcess[] = [
  { pid: 5, group: 'sibling' },
  { pid: 6, parentPid: 5, group: 'sibling', container: 'app', startTicks: 1 },
  { pid: 30, group: 'app', container: 'app', startTicks: 50 },
  { pid: 31, parentPid: 30, group: 'app', container: 'app', startTicks: 51 },
  { pid: 32, group: 'app', container: 'app', startTicks: 52, name: 'kubectl exec' },
];

test('a sibling that poses as a container does not swallow its signals', async (t) => {
  const sent: string[] = [];
  const kill = (pid: number, signal: string): void => void sent.push(`${pid} ${signal}`);
  const { notifier } = notifierOf({ procDirectory: procOf(t, POSING), kill });
  await notifier.notify([HUP], ALWAYS);
  assert.deepEqual(sent, ['6 SIGHUP', '30 SIGHUP']);
});

test('nor does one that may not be signalled, or has just ended', async (t) => {
  for (const code of ['EPERM', 'ESRCH']) {
    const sent: number[] = [];
    const kill = (pid: number): void => {
      if (pid === 6) throw Object.assign(new Error(code), { code });
      sent.push(pid);
    };
    const { notifier, counts } = notifierOf({ procDirectory: procOf(t, POSING), kill });
    await notifier.notify([HUP], ALWAYS);
    assert.deepEqual(sent, [30]);
    assert.deepEqual(counts, ['vouchsafe_notifications_total signal success']);
  }
});

test('a restart waits for every one of them, and kills what is left', async (t) => {
  const procDirectory = procOf(t, POSING);
  const sent: string[] = [];
  const kill = (pid: number, signal: string): void => {
    sent.push(`${pid} ${signal}`);
    if (pid === 30) fs.rmSync(join(procDirectory, '30'), { recursive: true });
  };
  const { notifier, clock } = notifierOf({ procDirectory, kill });
  await pass(clock, notifier.notify([RESTART], ALWAYS));
  assert.deepEqual(sent, ['6 SIGTERM', '30 SIGTERM', '6 SIGKILL']);
});

test('children in a control group of their own are not main processes', async (t) => {
  const processes = [
    { pid: 7, group: 'app', container: 'app' },
    { pid: 8, parentPid: 7, group: 'app/child', container: 'app' },
  ];
  assert.equal((await mainOf(procOf(t, processes), 'app')).pid, 7);
});

test('a process that ends between being found and being signalled is not signalled, nor is its successor', async (t) => {
  const processes = [
    { pid: 6, group: 'sibling', container: 'app', startTicks: 1 },
    { pid: 30, group: 'app', container: 'app', startTicks: 50 },
  ];
  const procDirectory = procOf(t, processes);
  const sent: number[] = [];
  const kill = (pid: number): void => {
    sent.push(pid);
    // The number of the next one is taken by another process.
    showProcess(procDirectory, { pid: 30, group: 'other', startTicks: 51 });
  };
  const { notifier } = notifierOf({ procDirectory, kill });
  await notifier.notify([HUP], ALWAYS);
  assert.deepEqual(sent, [6]);
});

/** Starts a real process that is marked, and prints what it is sent; resolves when it is ready. */
async function startMarked(
  t: TestContext,
  container: string,
  script: string,
): Promise<{ child: ChildProcess; lines: string[] }> {
  const env = { PATH: process.env['PATH'] ?? '', VOUCHSAFE_CONTAINER: container };
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const child = spawn(process.execPath, ['-e', script], { env, stdio: [...stdio] });
  t.after(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  await until(() => lines.includes('ready'));
  return { child, lines };
}

/** A name that no other process on this machine carries, so that tests can run side by side. */
function uniqueName(): string {
  return `app-${process.pid}-${performance.now()}`;
}

const REPORTING = `
  for (const name of ['SIGHUP', 'SIGUSR1', 'SIGTERM']) process.on(name, () => console.log(name));
  setInterval(() => {}, 1000);
  console.log('ready');
`;

test('a real process is sent the signal, and a bystander is not', async (t) => {
  const container = uniqueName();
  const { lines } = await startMarked(t, container, REPORTING);
  const bystander = await startMarked(t, `${container}-not`, REPORTING);
  const { notifier, log } = notifierOf();
  await notifier.notify(
    [
      { kind: 'signal', signal: 'SIGHUP', container },
      { kind: 'signal', signal: 'SIGUSR1', container },
    ],
    ALWAYS,
  );
  await until(() => lines.length === 3);
  assert.deepEqual(lines.sort(), ['SIGHUP', 'SIGUSR1', 'ready']);
  assert.deepEqual(bystander.lines, ['ready']);
  assert.equal(log.length, 2);
});

test('a restart ends a real process that heeds SIGTERM, without SIGKILL', async (t) => {
  const container = uniqueName();
  const heeding = `process.on('SIGTERM', () => process.exit(3)); setInterval(() => {}, 1000);`;
  const { child } = await startMarked(t, container, `${heeding} console.log('ready')`);
  const { notifier, clock, counts } = notifierOf();
  const ended = once(child, 'exit');
  const work = notifier.notify([{ kind: 'restart', container }], ALWAYS);
  await ended;
  await pass(clock, work);
  assert.equal(child.exitCode, 3);
  assert.deepEqual(counts, ['vouchsafe_notifications_total restart success']);
});

test('a restart kills a real process that ignores SIGTERM, after thirty seconds', async (t) => {
  const container = uniqueName();
  const { child, lines } = await startMarked(t, container, REPORTING);
  const { notifier, clock } = notifierOf();
  const work = notifier.notify([{ kind: 'restart', container }], ALWAYS);
  await until(() => lines.includes('SIGTERM'));
  const began = clock.monotonicMs();
  const ended = once(child, 'exit');
  await pass(clock, work);
  await ended;
  assert.equal(child.signalCode, 'SIGKILL');
  assert.equal(clock.monotonicMs() - began, 30_000);
});

test('an abort during the grace kills nobody', async (t) => {
  const container = uniqueName();
  const { child, lines } = await startMarked(t, container, REPORTING);
  const { notifier, clock } = notifierOf();
  const controller = new AbortController();
  const work = notifier.notify([{ kind: 'restart', container }], controller.signal);
  const aborted = assert.rejects(work, (error) => error === controller.signal.reason);
  await until(() => lines.includes('SIGTERM') && clock.sleeping === 1);
  controller.abort();
  await aborted;
  await clock.advance(60_000);
  await settle();
  assert.equal(child.exitCode ?? child.signalCode, null);
});

test('the version of the variables is that of the main process', async (t) => {
  const version = (digits: string): string => `VOUCHSAFE_ENV_VERSION=${digits}`;
  const procDirectory = procOf(t, [
    { pid: 7, container: 'app', variable: version('1764497000') },
    { pid: 8, parentPid: 7, container: 'app', variable: version('2') },
    { pid: 9, container: 'odd', variable: version('now') },
    { pid: 10, container: 'none' },
  ]);
  const reader = createEnvReader({ procDirectory });
  assert.equal(await reader.versionOf('app'), 1_764_497_000);
  for (const name of ['odd', 'none', 'absent']) {
    assert.equal(await reader.versionOf(name), undefined, name);
  }
  assert.equal(await createEnvReader().versionOf('absent'), undefined);
});
