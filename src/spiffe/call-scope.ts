/**
 * Cancels a call early: on an abort, a deadline, or the end of its connection.
 */
import type { Clock } from '../core/index.ts';
import { RestartableDeadline } from '../async/index.ts';
import type { ConnectionHandle } from './connections.ts';

/** The limits of one call. Each of them cancels it: an abort, the deadline of the first response, the end of its connection. */
export class CallScope {
  readonly signal: AbortSignal;
  /** Aborts when the call need not start at all. */
  readonly waiting: AbortSignal;
  readonly #closing: AbortSignal;
  readonly #deadline: RestartableDeadline;
  #handle: ConnectionHandle<unknown> | undefined;
  #cancel: () => void = () => undefined;

  /** The first answer must come within `timeoutMs`. */
  constructor(
    signal: AbortSignal,
    closing: AbortSignal,
    { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
  ) {
    this.signal = signal;
    this.#closing = closing;
    this.#deadline = new RestartableDeadline(clock);
    this.#deadline.start(timeoutMs);
    this.waiting = AbortSignal.any([signal, closing, this.#deadline.signal]);
  }

  get hasTimedOut(): boolean {
    return this.#deadline.signal.aborted;
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
    this.#deadline.end();
  }

  /** To be called once, at the end of the call. */
  release(): void {
    this.#deadline.end();
    for (const each of this.#signals) each.removeEventListener('abort', this.#cancel);
    this.#handle?.release();
  }

  get #signals(): readonly AbortSignal[] {
    const own = [this.signal, this.#closing, this.#deadline.signal];
    return this.#handle === undefined ? own : [...own, this.#handle.ended];
  }
}
