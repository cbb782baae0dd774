/** Runs the agent as its image does between real servers that break at random: `soak [--minutes 10] [--seed N] [--only NAME]`. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from './build.ts';
import { keepCompiled } from './compile.ts';
import { imageCommand } from './image-command.ts';
import { VAULT } from './programs.ts';
import { buildPrograms, ensurePackages, POSTGRESQL, root } from './servers.ts';
import { runSoak } from '../test/soak/soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    only: { type: 'string' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 2 ** 31)}` },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0 && Number.isSafeInteger(seed))) {
  process.stderr.write('usage: npm run soak -- [--minutes N] [--seed N] [--only NAME]\n');
  process.exit(2);
}
await ensurePackages([POSTGRESQL]);
await buildPrograms([VAULT]);
const dist = join(root, 'dist');
await bundle(dist);
await keepCompiled(dist);
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const isWhole = await runSoak({
  command: [...imageCommand(dist), 'agent'],
  minutes,
  seed,
  only: values.only,
  signal: interrupted.signal,
  print,
});
process.exitCode = isWhole ? 0 : 1;
