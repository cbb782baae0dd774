/**
 * Swaps each directory of an output directory for a symlink to elsewhere and back, until its standard input ends.
 * Arguments: the output directory, and the one elsewhere. Reports every hundred swaps.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';

const [, , directory = '', elsewhere = ''] = process.argv;

/** Below the output directory, so that nothing is moved out of it. */
const ASIDE = join(directory, 'aside');
let swaps = 0;

/** What the writer changes under our hands is left for the next round. */
function attempt(operation: () => void): boolean {
  try {
    operation();
    return true;
  } catch {
    return false;
  }
}

function swap(path: string): void {
  if (!attempt(() => fs.renameSync(path, ASIDE))) return;
  const isLink = attempt(() => fs.symlinkSync(elsewhere, path));
  // For as long as a few operations of the writer take: so it meets the link at each of them, one time or another.
  for (let looks = swaps % 50; looks > 0; looks -= 1) attempt(() => void fs.lstatSync(path));
  if (isLink) attempt(() => fs.unlinkSync(path));
  // Where the writer has taken the name again, what was moved aside is of no use.
  if (!attempt(() => fs.renameSync(ASIDE, path))) fs.rmSync(ASIDE, { recursive: true });
  swaps += 1;
  if (swaps % 100 === 0) process.stdout.write('.');
}

const turn = (): void => {
  for (const name of fs.readdirSync(directory)) {
    if (!/^\.\.(\d|links_tmp)/.test(name)) continue;
    const set = join(directory, name);
    for (const path of [join(set, 'nested/deep'), join(set, 'nested'), set]) swap(path);
  }
  next = setImmediate(turn);
};
let next = setImmediate(turn);
process.stdin.on('end', () => clearImmediate(next)).resume();
process.stdout.write('swapping');
