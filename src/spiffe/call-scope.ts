/**
 * What ends a call before its time.
 */
import type { ConnectionHandle } from './connections.ts';

/** An abort, a first answer that takes too long, a connection that ends: each cancels the call. */
export class CallScope {
  readonly signal: AbortSignal;
  /** Aborts when the call need not even begin. */
  readonly waiting: AbortSignal;
  readonly #closing: AbortSignal;
  readonly #deadline: AbortSignal;
  #handle: ConnectionHandle<unknown> | undefined;
  #cancel: () => void = () => undefined;
  #isAnswered = false;

  constructor(signal: AbortSignal, closing: AbortSignal, deadline: AbortSignal) {
    this.signal = signal;
    this.#closing = closing;
    this.#deadline = deadline;
    this.waiting = AbortSignal.any([signal, closing, deadline]);
  }

  get hasTimedOut(): boolean {
    return this.#deadline.aborted && !this.#isAnswered;
  }

  get hasOutlivedConnection(): boolean {
    return this.#handle?.ended.aborted === true;
  }

  /** What the last server's certificate lacked. */
  get serverProblem(): string | undefined {
    return this.#handle?.settings?.serverProblem();
  }

  attachConnection(handle: ConnectionHandle<unknown>): void {
    this.#handle = handle;
  }

  /** Cancels the call when a limit is reached. */
  attachCall(call: { cancel(): void }): void {
    this.#cancel = () => call.cancel();
    for (const each of this.#signals) each.addEventListener('abort', this.#cancel, { once: true });
    if (this.#signals.some((each) => each.aborted)) call.cancel();
  }

  /** To be called at the first answer. */
  clearDeadline(): void {
    this.#isAnswered = true;
    this.#deadline.removeEventListener('abort', this.#cancel);
  }

  /** To be called once, at the end of the call. */
  release(): void {
    for (const each of this.#signals) each.removeEventListener('abort', this.#cancel);
    this.#handle?.release();
  }

  get #signals(): readonly AbortSignal[] {
    const own = [this.signal, this.#closing, this.#deadline];
    return this.#handle === undefined ? own : [...own, this.#handle.ended];
  }
}
