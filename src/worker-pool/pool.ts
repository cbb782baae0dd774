/**
 * A few child processes for jobs that may take too much time or memory. Every wait for a child is bounded, and a tenant never
 * has all of them.
 */
import type { StartChild } from '../contracts/index.ts';
import { VouchsafeError, type Clock, type Logger, type Random } from '../core/index.ts';
import { raceAbort, createBackoff, FairQueue, FairShares, runAll } from '../async/index.ts';
import { frameBytes, MAX_PARTS, type Frame } from './frames.ts';
import { Worker, WorkerError, type Failure } from './worker.ts';

/** How long a child may take to start, on a busy node. */
const START_TIMEOUT_MS = 30_000;
/** Waits after a child that did not start. */
const START_WAITS = { minMs: 200, maxMs: 30_000 } as const;

/** Most waiting jobs. */
const MAX_WAITING = { itemsOfOne: 1024, sizeOfAll: 4096 } as const;
const TOO_MANY = 'too many jobs are waiting';

/** Default of `maxWaitMs`. */
const MAX_WAIT_MS = 60_000;

/** Settings of a {@link Pool}. */
export interface PoolOptions {
  readonly start: StartChild;
  /** The first frame for a child, which answers with an empty one when it is ready. */
  readonly setup: Frame;
  /** Child processes, at least two; a tenant has at most all but one. */
  readonly processes: number;
  /** How long a job may run, in milliseconds. */
  readonly timeoutMs: number;
  /** How long a job may wait for a child, in milliseconds. Default: one minute. */
  readonly maxWaitMs?: number;
  /** Largest frame of a job and of its answer, in bytes. */
  readonly maxFrameBytes: number;
  /** A child is replaced if a job leaves it with so many bytes more in RAM than before its first job. */
  readonly maxGrowthBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly counts: PoolCounts;
}

/** Counts the events of a pool; the owner of the pool names the metrics. */
export interface PoolCounts {
  /** How long a job waited for a child. */
  waited(seconds: number): void;
  /** A job has ended: `ok`, `time`, `memory` or `size` (over that bound), `busy`, or another {@link Failure} of its child. */
  done(operation: string, result: string): void;
  /** A child is replaced: `time`, `memory`, `size` (much memory after a job), `protocol`, `stale`, `ended` or `start`. */
  replaced(reason: string): void;
}

/** A job for a child. */
export interface Job<T> {
  /** The owner of the job: tenants take turns. */
  readonly tenant: string;
  /** Its name in the metrics. */
  readonly operation: string;
  readonly frame: Frame;
  /** Parses the answer. If it throws, the child is not to be trusted any more, and is killed. */
  readonly read: (answer: Frame) => T;
  /** Called before a child starts the job, and after it has ended in any way. */
  readonly onBegin?: (() => void) | undefined;
  readonly onEnd?: (() => void) | undefined;
}

/** A job was over a bound. */
export class BoundExceeded extends Error {
  override readonly name = 'BoundExceeded';
  readonly bound: 'time' | 'memory' | 'size';

  constructor(bound: BoundExceeded['bound']) {
    super(`a job was over its bound of ${bound}`);
    this.bound = bound;
  }
}

interface Waiting {
  readonly sinceMs: number;
  readonly job: Job<unknown>;
  readonly outcome: PromiseWithResolvers<unknown>;
  /** True once a child has sent another answer instead of this job's. */
  wasAnsweredStale: boolean;
}

/** Runs jobs in child processes while {@link run} is running. */
export class Pool {
  readonly #options: PoolOptions;
  readonly #queue: FairQueue<Waiting>;
  #lastProblem: string | undefined;

  /** @throws TypeError for fewer than two processes. */
  constructor(options: PoolOptions) {
    const { processes } = options;
    if (!Number.isInteger(processes) || processes < 2)
      throw new TypeError('a pool needs two or more processes');
    this.#options = options;
    this.#queue = new FairQueue({
      bounds: MAX_WAITING,
      onEvicted: ({ job, outcome }) => outcome.reject(this.#busy(job, TOO_MANY)),
      shares: new FairShares(processes, processes - 1),
    });
  }

  /**
   * Runs one job. Rejects with the signal's reason on abort; a job that has started by then runs to its end or its bound, and
   * still counts for its tenant.
   *
   * @throws BoundExceeded, or VouchsafeError `ERR_TEMPLATE_BUSY` if no child is free in time.
   */
  async do<T>(job: Job<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const { clock, maxFrameBytes, maxWaitMs = MAX_WAIT_MS } = this.#options;
    if (frameBytes(job.frame) > maxFrameBytes || job.frame.length >= MAX_PARTS) {
      this.#options.counts.done(job.operation, 'size');
      throw new BoundExceeded('size');
    }
    const outcome = Promise.withResolvers<unknown>();
    outcome.promise.catch(() => undefined); // the caller may have stopped waiting
    const { tenant } = job;
    const waiting: Waiting = {
      sinceMs: clock.monotonicMs(),
      job,
      outcome,
      wasAnsweredStale: false,
    };
    if (!this.#queue.add(tenant, waiting)) throw this.#busy(job, TOO_MANY);
    const over = new AbortController();
    const limit = clock.sleep(maxWaitMs, over.signal).then(
      () => {
        if (!this.#queue.remove(tenant, waiting)) return;
        outcome.reject(this.#busy(job, this.#lastProblem ?? 'all of them were busy'));
      },
      () => undefined,
    );
    try {
      return (await raceAbort(outcome.promise, signal)) as T; // what `read` of this job made
    } finally {
      this.#queue.remove(tenant, waiting);
      over.abort();
      await limit;
    }
  }

  /** Keeps the children running until `signal` aborts; resolves when they have ended. */
  async run(signal: AbortSignal): Promise<void> {
    const slot = (inner: AbortSignal): Promise<void> => this.#runSlot(inner);
    await runAll(
      signal,
      Array.from({ length: this.#options.processes }, () => slot),
    );
  }

  async #runSlot(signal: AbortSignal): Promise<void> {
    const { clock, random, logger, setup } = this.#options;
    const isOver = (): boolean => signal.aborted;
    const backoff = createBackoff({ ...START_WAITS, random });
    while (!isOver()) {
      const worker = new Worker({ ...this.#options, maxAnswerBytes: this.#options.maxFrameBytes });
      const stop = (): void => worker.kill('the pool ends');
      signal.addEventListener('abort', stop, { once: true });
      try {
        await worker.ask(setup, START_TIMEOUT_MS);
        backoff.reset();
        this.#lastProblem = undefined;
        const why = await this.#serve(worker, signal);
        worker.kill(why ?? 'the pool ends');
        if (why !== undefined) this.#options.counts.replaced(why);
      } catch (error) {
        if (isOver()) return;
        const problem = `a child process does not start: ${worker.reason}`;
        if (this.#lastProblem !== problem) logger.error(problem, { error });
        this.#lastProblem = problem;
        this.#options.counts.replaced('start');
        worker.kill('it does not start');
        await clock.sleep(backoff.nextMs(), signal).catch(() => undefined);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    }
  }

  /** Runs jobs in a child; resolves to why it is to be replaced, or to undefined on abort. */
  async #serve(worker: Worker, signal: AbortSignal): Promise<string | undefined> {
    const until = AbortSignal.any([signal, worker.ended]);
    for (;;) {
      const waiting = await this.#queue.take(until);
      if (waiting === undefined) return signal.aborted ? undefined : 'ended';
      const done = (): void => this.#queue.done(waiting.job.tenant);
      const why = await this.#runJob(worker, waiting).finally(done);
      if (why !== undefined) return why;
    }
  }

  /** Runs one job; resolves to why the child cannot be used after it, or to undefined if it can. */
  async #runJob(worker: Worker, waiting: Waiting): Promise<string | undefined> {
    const { clock, timeoutMs, maxGrowthBytes, logger } = this.#options;
    const { job, outcome, sinceMs } = waiting;
    this.#options.counts.waited((clock.monotonicMs() - sinceMs) / 1000);
    job.onBegin?.();
    try {
      const answer = await worker.ask(job.frame, timeoutMs);
      outcome.resolve(job.read(answer));
      this.#options.counts.done(job.operation, 'ok');
      return worker.grownBytes > maxGrowthBytes ? 'size' : undefined;
    } catch (error) {
      const failure = error instanceof WorkerError ? error.failure : 'protocol';
      // The job did not cause it, so another child runs it.
      if (isOfEarlierJob(failure, waiting) && this.#queue.add(job.tenant, waiting)) return failure;
      this.#options.counts.done(job.operation, failure);
      if (failure === 'time' || failure === 'memory') outcome.reject(new BoundExceeded(failure));
      else {
        logger.error('a child process broke the protocol', { reason: worker.reason });
        outcome.reject(this.#busy(job, 'the process that ran it ended'));
      }
      return failure;
    } finally {
      job.onEnd?.();
    }
  }

  #busy({ operation }: Job<unknown>, why: string): VouchsafeError {
    this.#options.counts.done(operation, 'busy');
    const text = `no process of the driver could run this job (${operation}): ${why}; it is tried again`;
    return new VouchsafeError('ERR_TEMPLATE_BUSY', text);
  }
}

/** Whether the child failed because of an earlier job; for a stale answer that is assumed once per job. */
function isOfEarlierJob(failure: Failure, waiting: Waiting): boolean {
  if (failure === 'ended') return true;
  const isFirst = failure === 'stale' && !waiting.wasAnsweredStale;
  waiting.wasAnsweredStale ||= isFirst;
  return isFirst;
}
