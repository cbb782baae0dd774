/**
 * When the files of a volume were last known to be up to date, whichever engine wrote them.
 */
import type { AgentStatus } from '../agent/index.ts';
import type { Clock } from '../core/index.ts';

/** Remembers the files of the last engine that had any. */
export class FileAges {
  readonly #clock: Clock;
  /** File name, and when it was last known to be up to date, in monotonic milliseconds. */
  #goodAtMs: readonly (readonly [string, number])[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes the files from the status of an engine. */
  note(files: AgentStatus['files']): void {
    if (files.length === 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.#goodAtMs = files.map(({ name, age_seconds }) => [name, nowMs - age_seconds * 1000]);
  }

  /** File name and seconds since the file was last known to be up to date. */
  list(): readonly (readonly [string, number])[] {
    const nowMs = this.#clock.monotonicMs();
    return this.#goodAtMs.map(([name, atMs]) => [name, (nowMs - atMs) / 1000]);
  }
}
