/**
 * Finds out that this process is stuck, and ends it.
 */
import { Worker } from 'node:worker_threads';

/** How long the event loop may stand still. */
export interface WatchdogLimits {
  /** How often it is looked at. */
  readonly periodMs: number;
  /** How many looks in a row must find that it has not moved: after a pause of the whole process one does. */
  readonly maxMissedBeats: number;
}

/** What a kubelet gives a process with a usual liveness probe: a minute. */
const DEFAULT_LIMITS: WatchdogLimits = { periodMs: 10_000, maxMissedBeats: 6 };

/**
 * What runs on the other thread. It ends the process without SIGTERM, which would be taken for the end of the pod. The
 * first process of a container cannot be killed from within (the kernel drops the signal), but for faults of its own:
 * so it traps. What it says first goes by another thread: standard error may be what everybody waits for.
 */
const SOURCE = `
const { workerData: { beats, periodMs, looks } } = require('node:worker_threads');
for (let [seen, missed] = [-1, 0]; missed < looks; ) {
  Atomics.wait(beats, 1, 0, periodMs);
  const now = Atomics.load(beats, 0);
  missed = now === seen ? missed + 1 : 0;
  seen = now;
}
require('node:fs').write(2, 'vouchsafe: ERR_BUG: the event loop has stood still for too long\\n', () => {});
Atomics.wait(beats, 1, 0, 500);
process.kill(process.pid, 'SIGKILL');
require('node:v8').setFlagsFromString('--allow-natives-syntax');
new Function('%SystemBreak()')();
`;

/**
 * Watches the event loop from a thread of its own until the function that it returns is called. Costs 6.5 MiB of private memory. It is no
 * reason for a process to stay.
 */
export function startWatchdog(limits = DEFAULT_LIMITS): () => Promise<void> {
  // What beats, and what nobody ever wakes.
  const beats = new Int32Array(new SharedArrayBuffer(8));
  const beat = setInterval(() => Atomics.add(beats, 0, 1), limits.periodMs / 2).unref();
  const worker = new Worker(SOURCE, {
    eval: true,
    workerData: { beats, ...limits },
    env: {},
    execArgv: [],
  });
  worker.unref();
  return async () => {
    clearInterval(beat);
    await worker.terminate();
  };
}
