/**
 * One child process: it gets one job at a time, and is killed at the first breach of the protocol.
 */
import { randomBytes } from 'node:crypto';
import type { Child, StartChild } from '../contracts/index.ts';
import type { Clock } from '../core/index.ts';
import { encodeFrame, FrameReader, type Frame } from './frames.ts';

/** Length of the nonce that a frame and its answer share: no child can know it in advance. */
const NONCE_BYTES = 16;

/**
 * Why there is no answer: `time` ran out; the child died during the job, for which `memory` is the only reason; it broke the
 * `protocol`; its answer was `stale`, perhaps that of an earlier job; or it had `ended` before the job.
 */
export type Failure = 'time' | 'memory' | 'protocol' | 'stale' | 'ended';

/** The child did not answer. */
export class WorkerError extends Error {
  override readonly name = 'WorkerError';
  readonly failure: Failure;

  constructor(failure: Failure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** Settings of a {@link Worker}. */
export interface WorkerOptions {
  readonly start: StartChild;
  readonly clock: Clock;
  /** Largest answer, in bytes. */
  readonly maxAnswerBytes: number;
}

/** The answer that a child owes. */
interface PendingAnswer extends PromiseWithResolvers<Frame> {
  readonly nonce: Buffer;
}

/** One child process. */
export class Worker {
  readonly #clock: Clock;
  readonly #child: Child;
  readonly #ended = new AbortController();
  readonly #reader: FrameReader;
  #pending: PendingAnswer | undefined;
  #idleBytes: number | undefined;
  #reason = '';

  constructor({ start, clock, maxAnswerBytes }: WorkerOptions) {
    this.#clock = clock;
    this.#reader = new FrameReader(maxAnswerBytes);
    this.#child = start({
      received: (chunk) => this.#received(chunk),
      ended: (reason) => this.#end('memory', reason),
    });
  }

  /** Aborts when the process has ended or is killed. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Why it ended. */
  get reason(): string {
    return this.#reason;
  }

  /** Growth of its resident memory since its first answer, in bytes; 0 if the system does not report it. */
  get grownBytes(): number {
    const now = this.#child.residentBytes() ?? 0;
    return now - (this.#idleBytes ?? now);
  }

  /** Sends a frame and waits for its answer. @throws WorkerError; then the process has ended. */
  async ask(frame: Frame, timeoutMs: number): Promise<Frame> {
    if (this.#ended.signal.aborted) throw new WorkerError('ended', this.#reason);
    const pending = { ...Promise.withResolvers<Frame>(), nonce: randomBytes(NONCE_BYTES) };
    this.#pending = pending;
    const done = new AbortController();
    const limit = this.#clock.sleep(timeoutMs, done.signal).then(
      () => this.#end('time', 'it took too long'),
      () => undefined,
    );
    this.#child.send(encodeFrame([pending.nonce, ...frame]));
    try {
      const answer = await pending.promise;
      this.#idleBytes ??= this.#child.residentBytes();
      return answer;
    } finally {
      done.abort();
      await limit;
    }
  }

  /** Ends the process. */
  kill(reason: string): void {
    this.#end('ended', reason);
  }

  #received(chunk: Uint8Array): void {
    try {
      for (const [nonce, ...answer] of this.#reader.push(chunk)) {
        const pending = this.#pending;
        if (pending === undefined || nonce === undefined || !pending.nonce.equals(nonce)) {
          this.#end('stale', 'it sent an answer without a job');
          return;
        }
        this.#pending = undefined;
        pending.resolve(answer);
      }
    } catch (error) {
      this.#end('protocol', error instanceof Error ? error.message : 'it sent an invalid frame');
    }
  }

  #end(failure: Failure, reason: string): void {
    if (this.#ended.signal.aborted) return;
    this.#reason = reason;
    this.#child.kill();
    this.#ended.abort();
    this.#pending?.reject(new WorkerError(failure, reason));
    this.#pending = undefined;
  }
}
