/**
 * The requests and the outcomes of the server; never a value.
 */
import { Latest } from '../../../async/index.ts';
import { matches, type FaultRule, type SeenRequest } from './faults.ts';

/** A received request. */
export interface LoggedRequest extends SeenRequest {
  /** Wall time of its arrival, milliseconds since the epoch. */
  readonly atMs: number;
  /** Undefined while there is no response, and if the connection was reset instead. */
  status: number | undefined;
}

/** Most entries; the oldest are dropped first. */
const MAX_ENTRIES = 10_000;

/** The requests in the order of their arrival. */
export class RequestLog {
  readonly entries: LoggedRequest[] = [];
  readonly #changed = new Latest<undefined>();

  add(request: SeenRequest, atMs: number): LoggedRequest {
    const entry: LoggedRequest = { ...request, atMs, status: undefined };
    this.entries.push(entry);
    if (this.entries.length > MAX_ENTRIES) this.entries.shift();
    this.#changed.set(undefined);
    return entry;
  }

  /** How many requests match, with or without a response. */
  count(match: FaultRule['match']): number {
    return this.entries.filter((entry) => matches(match, entry)).length;
  }

  /** Resolves when that many matching requests have arrived. Rejects with `signal.reason` on abort. */
  async waitFor(match: FaultRule['match'], count: number, signal: AbortSignal): Promise<void> {
    if (this.count(match) >= count) return;
    for await (const _ of this.#changed.updates(signal)) {
      if (this.count(match) >= count) return;
    }
  }
}
