/**
 * Ends this process if its event loop is stuck.
 */
import { Worker } from 'node:worker_threads';

/** How long the event loop may be blocked. */
export interface WatchdogLimits {
  /** Interval of the checks, in milliseconds. */
  readonly periodMs: number;
  /** Failed checks in a row that end the process; one fails after the whole process was paused. */
  readonly maxMissedBeats: number;
}

/** A minute, as with a usual liveness probe. */
const DEFAULT_LIMITS: WatchdogLimits = { periodMs: 10_000, maxMissedBeats: 6 };

/**
 * Runs on the other thread. It ends the process without SIGTERM, which would be taken for the end of the pod. The kernel
 * drops signals to PID 1 of a container from within it, except for its own faults: so it traps. The message is written
 * by another thread, as standard error may be what blocks the process.
 */
const SOURCE = `
const { workerData: { beats, periodMs, maxMissedBeats } } = require('node:worker_threads');
for (let [seen, missed] = [-1, 0]; missed < maxMissedBeats; ) {
  Atomics.wait(beats, 1, 0, periodMs);
  const now = Atomics.load(beats, 0);
  missed = now === seen ? missed + 1 : 0;
  seen = now;
}
require('node:fs').write(2, 'vouchsafe: ERR_BUG: the event loop was blocked for too long\\n', () => {});
Atomics.wait(beats, 1, 0, 500);
process.kill(process.pid, 'SIGKILL');
require('node:v8').setFlagsFromString('--allow-natives-syntax');
new Function('%SystemBreak()')();
`;

/**
 * Watches the event loop from another thread until the returned function is called. Takes 6.5 MiB of private memory.
 * Does not keep the process alive.
 */
export function startWatchdog(limits = DEFAULT_LIMITS): () => Promise<void> {
  // The beat counter, and a value that is never notified, to sleep on.
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
