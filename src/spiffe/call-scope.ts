/**
 * Cancels a call early: on an abort, a deadline, or the end of its connection.
 */
import type { ConnectionHandle } from './connections.ts';

/** The limits of one call. Each of them cancels it: an abort, the deadline of the first response, the end of its connection. */
export class CallScope {
  readonly signal: AbortSignal;
  /** Aborts when the call need not start at all. */
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

  /** Why the last server was rejected. */
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

  /** To be called at the first response. */
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
