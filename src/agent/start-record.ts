/**
 * The tries of a start, as a file for the next try. It is beside the state, in a volume in memory: the monotonic clock
 * of the node counts on as long as the file is there.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fieldsOf, type Clock, type Logger } from '../core/index.ts';
import type { StartTries } from './start-tries.ts';
import { writePrivate } from './value-files.ts';

const FILE_NAME = 'start.json';

/** Remembers the tries of a start in a directory. */
export class StartRecord {
  readonly #directory: string;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #logger: Logger;

  constructor(directory: string, clock: Pick<Clock, 'monotonicMs'>, logger: Logger) {
    this.#directory = directory;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Counts a try that begins now. Never throws: a try that cannot be saved is the first one. */
  begin(): StartTries {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#load(nowMs);
    const tries = { beganAtMs: known?.beganAtMs ?? nowMs, count: (known?.count ?? 0) + 1 };
    try {
      fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      const temporary = join(this.#directory, `.${FILE_NAME}.new`);
      fs.rmSync(temporary, { force: true });
      writePrivate(temporary, JSON.stringify(tries));
      fs.renameSync(temporary, this.#path);
    } catch (error) {
      this.#logger.warn('the tries of the start were not saved', { error });
    }
    return tries;
  }

  /** The start has succeeded or failed: the next one begins with its first try. Never throws. */
  end(): void {
    try {
      fs.rmSync(this.#path, { force: true });
    } catch (error) {
      this.#logger.warn('the tries of the start were not removed', { error });
    }
  }

  get #path(): string {
    return join(this.#directory, FILE_NAME);
  }

  #load(nowMs: number): StartTries | undefined {
    try {
      const { beganAtMs, count } = fieldsOf(JSON.parse(fs.readFileSync(this.#path, 'utf8')));
      return isTime(beganAtMs) && isTime(count) && beganAtMs <= nowMs
        ? { beganAtMs, count }
        : undefined;
    } catch {
      return undefined; // there is none, or not one that can be used
    }
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
