/**
 * `npm run coverage`: runs the unit and integration tests, and compares the share of src that they run, in lines, with floors. It is
 * not a part of `npm test`, because counting makes everything slower: tests that bound CPU time are left out here. src/dev is not
 * delivered: it has a floor of its own, and is not a part of the whole.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LOG = join(root, '.cache', 'coverage.info');

/** They measure CPU time. */
const TIMED = /-cost\.test\.ts$|template-memory\.test\.ts$|template\/work\.test\.ts$/;

/** Folder below src -> least share of its lines, in percent; the others count for the whole alone. */
const FLOORS: Readonly<Record<string, number>> = { core: 99, admission: 99, output: 99, dev: 95 };

/** Of all lines together, in percent. */
const FLOOR = 90;

interface Lines {
  found: number;
  hit: number;
}

/** Lines of each file, by its path below the project. */
function linesByFile(lcov: string): ReadonlyMap<string, Lines> {
  const files = new Map<string, Lines>();
  let file = '';
  for (const line of lcov.split('\n')) {
    const [key = '', value = ''] = line.split(/:(.*)/, 2);
    if (key === 'SF') file = relative(root, value.startsWith('/') ? value : `${root}/${value}`);
    const lines = files.get(file) ?? { found: 0, hit: 0 };
    if (key === 'LF') files.set(file, { ...lines, found: Number(value) });
    if (key === 'LH') files.set(file, { ...lines, hit: Number(value) });
  }
  return files;
}

/** Compares an lcov file with the floors; `ok` is false if one is missed. */
function checkCoverage(path: string): { readonly text: string; readonly ok: boolean } {
  const folders = new Map<string, Lines>();
  const all = { found: 0, hit: 0 };
  for (const [file, { found, hit }] of linesByFile(readFileSync(path, 'utf8'))) {
    const folder = /^src\/([\w-]+)\//.exec(file)?.[1];
    if (folder === undefined) continue;
    const lines = folders.get(folder) ?? { found: 0, hit: 0 };
    folders.set(folder, { found: lines.found + found, hit: lines.hit + hit });
    if (folder === 'dev') continue;
    all.found += found;
    all.hit += hit;
  }
  const rows = [...folders]
    .sort()
    .map(([folder, lines]) => row(`src/${folder}`, lines, FLOORS[folder]));
  rows.push(row('all but src/dev', all, FLOOR));
  return { text: rows.map(({ text }) => text).join('\n'), ok: rows.every(({ ok }) => ok) };
}

function row(
  name: string,
  { found, hit }: Lines,
  floor = 0,
): { readonly text: string; readonly ok: boolean } {
  const percent = found === 0 ? 100 : (hit / found) * 100;
  const ok = percent >= floor;
  const least = floor === 0 ? '' : ` (at least ${floor} %${ok ? '' : ', MISSED'})`;
  return { text: `${name}: ${percent.toFixed(1)} % of ${found} lines${least}`, ok };
}

mkdirSync(dirname(LOG), { recursive: true });
const tests = globSync('test/{unit,integration}/**/*.test.ts', { cwd: root });
const { status } = spawnSync(
  process.execPath,
  [
    ...['--test', '--test-concurrency=2', '--test-timeout=120000'],
    ...['--experimental-test-coverage', '--test-coverage-include=src/**'],
    ...['--test-reporter=dot', '--test-reporter-destination=stdout'],
    ...['--test-reporter=lcov', `--test-reporter-destination=${LOG}`],
    ...tests.filter((path) => !TIMED.test(path)),
  ],
  { cwd: root, stdio: 'inherit' },
);
const coverage = checkCoverage(LOG);
process.stdout.write(`\n${coverage.text}\n`);
process.exitCode = status === 0 && coverage.ok ? 0 : 1;
