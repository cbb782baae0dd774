/** Runs the agent between real servers that break at random: `soak [--minutes 10] [--seed N] [--only NAME]`. */
import { parseArgs } from 'node:util';
import { buildPrograms, ensurePackages, POSTGRESQL, VAULT } from './servers.ts';
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
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const isWhole = await runSoak({
  minutes,
  seed,
  only: values.only,
  signal: interrupted.signal,
  print,
});
process.exitCode = isWhole ? 0 : 1;
