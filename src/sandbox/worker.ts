/**
 * One child process and its frames: it is asked one thing at a time, and killed at the first that is not as agreed.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../core/index.ts';
import { encodeFrame, FrameReader, type Frame } from './frames.ts';

/** A child process, as src/platform starts it. */
export interface Child {
  /** Sends bytes; what does not fit in the pipe waits until it does. */
  send(chunks: readonly Uint8Array[]): void;
  /** Ends it by SIGKILL; it cannot object. */
  kill(): void;
  /** Memory that it has in RAM, in bytes; undefined where the system does not tell. */
  residentBytes(): number | undefined;
}

/** What is heard of a child process. */
export interface ChildEvents {
  received(chunk: Uint8Array): void;
  /** Called once, last of all: `how` says it in a few words that hold nothing of its work. */
  ended(how: string): void;
}

/** Starts a child process; never throws: a child that cannot be started has ended. */
export type StartChild = (events: ChildEvents) => Child;

/** Length of what marks a frame and its answer as belonging together: no child can know it before it is asked. */
const NONCE_BYTES = 16;

/**
 * How asking failed: out of time; or it died while it worked, for which there is no other reason than memory; or it
 * spoke nonsense; or it answered something else, what it was asked before perhaps; or it had ended before it was asked.
 */
export type Failure = 'time' | 'memory' | 'protocol' | 'stale' | 'ended';

/** A child that did not answer. */
export class WorkerError extends Error {
  override readonly name = 'WorkerError';
  readonly failure: Failure;

  constructor(failure: Failure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** How a {@link Worker} is run. */
export interface WorkerOptions {
  readonly start: StartChild;
  readonly clock: Clock;
  /** Most bytes of one answer. */
  readonly maxAnswerBytes: number;
}

/** What a child is at work on. */
interface PendingAnswer extends PromiseWithResolvers<Frame> {
  readonly mark: Buffer;
}

/** One child process. */
export class Worker {
  readonly #clock: Clock;
  readonly #child: Child;
  readonly #ended = new AbortController();
  readonly #reader: FrameReader;
  #pending: PendingAnswer | undefined;
  #idleBytes: number | undefined;
  #how = '';

  constructor({ start, clock, maxAnswerBytes }: WorkerOptions) {
    this.#clock = clock;
    this.#reader = new FrameReader(maxAnswerBytes);
    this.#child = start({
      received: (chunk) => this.#received(chunk),
      ended: (how) => this.#end('memory', how),
    });
  }

  /** Aborts when the process has ended, or is to be. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** How it ended. */
  get how(): string {
    return this.#how;
  }

  /** What it has in RAM beyond what it had when it first answered, in bytes; 0 where the system does not tell. */
  get grownBytes(): number {
    const now = this.#child.residentBytes() ?? 0;
    return now - (this.#idleBytes ?? now);
  }

  /** Sends a frame and waits for the one that answers it. @throws WorkerError; then the process has ended. */
  async ask(frame: Frame, timeoutMs: number): Promise<Frame> {
    if (this.#ended.signal.aborted) throw new WorkerError('ended', this.#how);
    const asked = { ...Promise.withResolvers<Frame>(), mark: randomBytes(NONCE_BYTES) };
    this.#pending = asked;
    const done = new AbortController();
    const limit = this.#clock.sleep(timeoutMs, done.signal).then(
      () => this.#end('time', 'it took too long'),
      () => undefined,
    );
    this.#child.send(encodeFrame([asked.mark, ...frame]));
    try {
      const answer = await asked.promise;
      this.#idleBytes ??= this.#child.residentBytes();
      return answer;
    } finally {
      done.abort();
      await limit;
    }
  }

  /** Ends the process. */
  kill(how: string): void {
    this.#end('ended', how);
  }

  #received(chunk: Uint8Array): void {
    try {
      for (const [mark, ...answer] of this.#reader.push(chunk)) {
        const asked = this.#pending;
        if (asked === undefined || mark === undefined || !asked.mark.equals(mark)) {
          this.#end('stale', 'it speaks without being asked');
          return;
        }
        this.#pending = undefined;
        asked.resolve(answer);
      }
    } catch (error) {
      this.#end('protocol', error instanceof Error ? error.message : 'it speaks nonsense');
    }
  }

  #end(failure: Failure, how: string): void {
    if (this.#ended.signal.aborted) return;
    this.#how = how;
    this.#child.kill();
    this.#ended.abort();
    this.#pending?.reject(new WorkerError(failure, how));
    this.#pending = undefined;
  }
}
