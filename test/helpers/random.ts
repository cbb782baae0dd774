/** Chance that a test decides. */
import type { Random } from '../../src/core/index.ts';

/** Always the same number. */
export function constantRandom(value = 0.5): Random {
  return { next: () => value };
}

/** Numbers that look random and are the same in each run (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed;
  return {
    next() {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
  };
}
