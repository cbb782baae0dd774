/** Writes set after set until it, or the process that started it, is killed. Argument: the directory. Reports the first set. */
import { createFileWriter } from '../../../src/output/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';

const [, , directory = ''] = process.argv;
const writer = createFileWriter({ directory, clock: systemClock, random: systemRandom });
const { signal } = new AbortController();
process.stdin.on('end', () => process.exit()).resume();
for (let round = 0; ; round += 1) {
  // Each set is one letter all over; large enough that a file is not written in one piece.
  const content = Buffer.alloc(200_000, 'abcdefghijklmnopqrstuvwxyz'[round % 26]);
  const paths = ['first', 'nested/second', 'nested/third'];
  await writer.write(
    paths.map((path) => ({ path, mode: 0o444, content })),
    signal,
  );
  if (round === 0) process.stdout.write('written\n');
}
