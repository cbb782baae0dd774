/**
 * Which volume was being rendered when the driver died. While a process renders a volume, a file beside its record says
 * so; a driver that finds such a file when it starts has the volume start last.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const FILE_NAME = 'rendering';

/** The first delay, and the longest, in milliseconds. */
const DELAY_MS = { first: 5000, longest: 5 * 60_000 } as const;

/** The strikes of one volume. A note that cannot be written is skipped: the files matter more. */
export class Strikes {
  readonly #path: string;
  #count: number;

  /** `directory` of the record; `count` as {@link strikesIn} found it. */
  constructor(directory: string, count: number) {
    this.#path = join(directory, FILE_NAME);
    this.#count = count;
  }

  /** How often in a row a driver has died while rendering this volume. */
  get count(): number {
    return this.#count;
  }

  /** How long the volume waits before it starts again, in milliseconds. */
  get delayMs(): number {
    if (this.#count === 0) return 0;
    return Math.min(DELAY_MS.longest, DELAY_MS.first * 2 ** (this.#count - 1));
  }

  /** Call before each rendering: if the driver dies from now on, that is one strike more. Takes some tens of microseconds. */
  renderingStarted(): void {
    try {
      writeFileSync(this.#path, String(this.#count + 1), { mode: 0o600 });
    } catch {
      // The volume is being removed, or its directory is full.
    }
  }

  /** Call after each rendering: it has ended, and the driver has not. */
  renderingEnded(): void {
    this.#count = 0;
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // A strike too many only makes the volume wait once.
    }
  }
}

/** Strikes in the directory of a record; 0 if there are none. */
export async function strikesIn(directory: string): Promise<number> {
  const text = await readFile(join(directory, FILE_NAME), 'utf8').catch(() => undefined);
  if (text === undefined) return 0;
  const count = Number(text);
  // The driver may have died before it had written the number.
  return Number.isInteger(count) ? Math.min(Math.max(1, count), 100) : 1;
}
