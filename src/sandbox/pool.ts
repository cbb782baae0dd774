/**
 * A few child processes that do for others what may take too long or too much. Whoever waits for one of
 * them waits within bounds, and a tenant never has all of them.
 */
import { VouchsafeError, type Clock, type Logger, type Random } from '../core/index.ts';
import { raceAbort, createBackoff, FairQueue, FairShares, runAll } from '../async/index.ts';
import { frameBytes, MAX_PARTS, type Frame } from './frames.ts';
import { Worker, WorkerError, type Failure, type StartChild } from './worker.ts';

/** How long a child may take to come up, on a busy node. */
const START_TIMEOUT_MS = 30_000;
/** Waits after a child that did not come up. */
const START_WAITS = { minMs: 200, maxMs: 30_000 } as const;

/** Jobs that wait. */
const MAX_WAITING = { itemsOfOne: 1024, sizeOfAll: 4096 } as const;
const TOO_MANY = 'too many renderings wait already';

/** How long a job waits for its turn before whoever asks is told, in milliseconds. */
const MAX_WAIT_MS = 60_000;

/** What a {@link Pool} is made of. */
export interface PoolOptions {
  readonly start: StartChild;
  /** What a child is told first; it says nothing but that it is ready. */
  readonly setup: Frame;
  /** Child processes; at least two, of which a tenant has all but one at most. */
  readonly processes: number;
  /** How long a job may run, in milliseconds. */
  readonly timeoutMs: number;
  /** Most bytes of a job, and of its answer. */
  readonly maxFrameBytes: number;
  /** A child that has so much more in RAM after a job than before its first one is replaced. */
  readonly maxGrowthBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly counts: PoolCounts;
}

/** What is counted of a pool. Whoever has one gives it the names. */
export interface PoolCounts {
  /** How long a job waited for a child. */
  waited(seconds: number): void;
  /** A job has ended: `ok`, over a bound (`time`, `memory`, `size`), `busy`, or by the {@link Failure} of its child. */
  done(operation: string, result: string): void;
  /** A child is replaced: `time`, `memory`, `size` (much memory after a job), `protocol`, `stale`, `ended` or `start`. */
  replaced(reason: string): void;
}

/** Something to be done. */
export interface Job<T> {
  /** For whom: tenants take turns. */
  readonly tenant: string;
  /** What it is called where jobs are counted. */
  readonly operation: string;
  readonly frame: Frame;
  /** Makes a result of the answer; what it throws ends the child, which is not to be trusted any more. */
  readonly read: (answer: Frame) => T;
  /** Called when a child is about to begin, and when it has ended, however it did. */
  readonly onBegin?: (() => void) | undefined;
  readonly onEnd?: (() => void) | undefined;
}

/** Which bound a job went over. */
export class BoundExceeded extends Error {
  override readonly name = 'Exceeded';
  readonly bound: 'time' | 'memory' | 'size';

  constructor(bound: BoundExceeded['bound']) {
    super(`a job went over its bound of ${bound}`);
    this.bound = bound;
  }
}

interface Waiting {
  readonly sinceMs: number;
  readonly job: Job<unknown>;
  readonly outcome: PromiseWithResolvers<unknown>;
  /** True once a child has answered something else instead of it. */
  wasAnsweredStale: boolean;
}

/** Does jobs in child processes, as long as {@link run} does. */
export class Pool {
  readonly #options: PoolOptions;
  readonly #queue: FairQueue<Waiting>;
  #lastProblem: string | undefined;

  /** @throws TypeError for fewer than two processes. */
  constructor(options: PoolOptions) {
    const { processes } = options;
    if (!Number.isInteger(processes) || processes < 2)
      throw new TypeError('a pool has two or more');
    this.#options = options;
    this.#queue = new FairQueue({
      bounds: MAX_WAITING,
      onEvicted: ({ job, outcome }) => outcome.reject(this.#busy(job, TOO_MANY)),
      shares: new FairShares(processes, processes - 1),
    });
  }

  /**
   * Does one job. Rejects with the signal's reason on abort; what has begun by then goes on to its end or its bound, and
   * still counts as its tenant's.
   *
   * @throws Exceeded, or VouchsafeError `ERR_TEMPLATE_BUSY` where there is no turn for it.
   */
  async do<T>(job: Job<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const { clock, maxFrameBytes } = this.#options;
    if (frameBytes(job.frame) > maxFrameBytes || job.frame.length >= MAX_PARTS) {
      this.#options.counts.done(job.operation, 'size');
      throw new BoundExceeded('size');
    }
    const outcome = Promise.withResolvers<unknown>();
    outcome.promise.catch(() => undefined); // told to whoever still waits for it
    const { tenant } = job;
    const waiting: Waiting = { sinceMs: clock.monotonicMs(), job, outcome, wasAnsweredStale: false };
    if (!this.#queue.add(tenant, waiting)) throw this.#busy(job, TOO_MANY);
    const over = new AbortController();
    const limit = clock.sleep(MAX_WAIT_MS, over.signal).then(
      () => {
        if (!this.#queue.remove(tenant, waiting)) return;
        outcome.reject(this.#busy(job, this.#lastProblem ?? 'others had all the turns'));
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

  /** Keeps the children until `signal` aborts; then they have ended. */
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
        const problem = `a child process does not start: ${worker.how}`;
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

  /** Gives a child its jobs; resolves to why it is to be replaced, or undefined at the end. */
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

  /** One job; why the child cannot go on after it, if it cannot. */
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
      // It was not this job's fault: another child does it.
      if (isOfOthers(failure, waiting) && this.#queue.add(job.tenant, waiting)) return failure;
      this.#options.counts.done(job.operation, failure);
      if (failure === 'time' || failure === 'memory') outcome.reject(new BoundExceeded(failure));
      else {
        logger.error('a child process answered as none should', { reason: worker.how });
        outcome.reject(this.#busy(job, 'the process that did it ended'));
      }
      return failure;
    } finally {
      job.onEnd?.();
    }
  }

  #busy({ operation }: Job<unknown>, why: string): VouchsafeError {
    this.#options.counts.done(operation, 'busy');
    const text = `no process of the driver could do it now (${operation}): ${why}; it is tried again`;
    return new VouchsafeError('ERR_TEMPLATE_BUSY', text);
  }
}

/** Whether a child failed for what it did before this job; one that answers something else is believed that once. */
function isOfOthers(failure: Failure, waiting: Waiting): boolean {
  if (failure === 'ended') return true;
  const isFirst = failure === 'stale' && !waiting.wasAnsweredStale;
  waiting.wasAnsweredStale ||= isFirst;
  return isFirst;
}
