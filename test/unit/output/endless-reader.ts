/**
 * Reads sets until its standard input ends, and fails on the first that is not whole. Argument: the directory.
 * Tells of every hundred looks.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

const [, , directory = ''] = process.argv;
const PATHS = ['first', 'nested/second', 'nested/third'];

/** The letter that a file is full of. */
function letterOf(path: string): string {
  const content = readFileSync(path);
  const letter = content.subarray(0, 1);
  if (content.length !== 200_000 || !content.equals(Buffer.alloc(200_000, letter))) {
    throw new Error(`${path} is not whole: ${content.length} bytes`);
  }
  return letter.toString();
}

function look(): void {
  // Any single file, through its visible name, is there and whole at any time.
  for (const path of PATHS) letterOf(join(directory, path));
  const letters = new Set(readSet());
  if (letters.size !== 1) throw new Error(`a mixture: ${[...letters].join(' ')}`);
}

/** Files opened through one directory are of one set; two swaps later it is gone, and one looks again. */
function readSet(): string[] {
  for (;;) {
    const set = readlinkSync(join(directory, '..data'));
    try {
      return PATHS.map((path) => letterOf(join(directory, set, path)));
    } catch (error) {
      if (set === readlinkSync(join(directory, '..data'))) throw error;
    }
  }
}

let looks = 0;
const turn = (): void => {
  look();
  looks += 1;
  if (looks % 100 === 0) process.stdout.write('.');
  next = setImmediate(turn);
};
let next = setImmediate(turn);
process.stdin.on('end', () => clearImmediate(next)).resume();
process.stdout.write('reading');
