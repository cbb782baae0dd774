/**
 * Who was at work when the driver died. A note lies beside the record of a volume, in memory, for as long as a
 * process renders it; the next driver that finds one begins that volume last.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const FILE_NAME = 'rendering';

/** The first delay, and the longest, in milliseconds. */
const DELAY_MS = { first: 5000, longest: 5 * 60_000 } as const;

/** The strikes of one volume. What cannot be noted is not: a note is worth less than the files. */
export class Strikes {
  readonly #path: string;
  #count: number;

  /** `directory` of the record; `count` as {@link strikesIn} found it. */
  constructor(directory: string, count: number) {
    this.#path = join(directory, FILE_NAME);
    this.#count = count;
  }

  /** How often in a row a driver has died while it rendered this volume. */
  get count(): number {
    return this.#count;
  }

  /** How long the volume waits before it begins again, in milliseconds. */
  get delayMs(): number {
    if (this.#count === 0) return 0;
    return Math.min(DELAY_MS.longest, DELAY_MS.first * 2 ** (this.#count - 1));
  }

  /** A process is about to render: should the driver die now, it is one more. Some tens of microseconds. */
  begin(): void {
    try {
      writeFileSync(this.#path, String(this.#count + 1), { mode: 0o600 });
    } catch {
      // The volume is going, or its directory is full.
    }
  }

  /** It has ended, and the driver has not. */
  end(): void {
    this.#count = 0;
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // A strike too many makes the volume wait once.
    }
  }
}

/** Strikes that a predecessor left in the directory of a record; 0 where there are none. */
export async function strikesIn(directory: string): Promise<number> {
  const text = await readFile(join(directory, FILE_NAME), 'utf8').catch(() => undefined);
  if (text === undefined) return 0;
  const count = Number(text);
  // The driver may have died before the number was in it.
  return Number.isInteger(count) ? Math.min(Math.max(1, count), 100) : 1;
}
