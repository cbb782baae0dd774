/**
 * `npm run coverage`: runs the unit and integration tests, and compares the lines of src that they run with floors. It is not
 * a part of `npm test`, because counting makes everything slower; tests that measure CPU time or memory are left out here.
 * `npm run coverage -- core admission` runs only tests in folders of these names, and compares nothing: it shows what is missing.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkFloors, type Floor } from './coverage-floors.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LOG = join(root, '.cache', 'coverage.info');

/** Helpers of tests that measure: counting lines changes what they measure. */
const MEASURES = /helpers\/(cpu-time|live-heap|rendering-memory)\.ts'/;

/** What decides, and the machines of all states, in full. src/dev is not delivered: it is not a part of the whole. */
const FLOORS: readonly Floor[] = [
  { path: 'src/', except: 'src/dev/', percent: 90 },
  { path: 'src/dev/', percent: 95 },
  ...[
    'src/core/',
    'src/admission/',
    'src/output/',
    'src/agent/entry-state.ts',
    'src/agent/entry-transitions.ts',
    'src/agent/phase.ts',
    'src/agent/session-state.ts',
    'src/agent/session-transitions.ts',
    'src/csi/volume-state.ts',
  ].map((path) => ({ path, percent: 100 })),
];

const sources = new Map(
  globSync('src/**/*.ts', { cwd: root })
    .filter((path) => !path.includes('/generated/'))
    .sort()
    .map((path) => [path, readFileSync(join(root, path), 'utf8')]),
);
const folders = process.argv.slice(2);
const tests = globSync('test/{unit,integration}/**/*.test.ts', { cwd: root })
  .filter((path) => !MEASURES.test(readFileSync(join(root, path), 'utf8')))
  .filter((path) => folders.length === 0 || folders.some((folder) => path.includes(`/${folder}/`)));
mkdirSync(dirname(LOG), { recursive: true });
const { status } = spawnSync(
  process.execPath,
  [
    ...['--test', '--test-concurrency=2', '--test-timeout=300000'],
    ...['--experimental-test-coverage', '--test-coverage-include=src/**'],
    ...['--test-reporter=dot', '--test-reporter-destination=stdout'],
    ...['--test-reporter=lcov', `--test-reporter-destination=${LOG}`],
    ...tests,
  ],
  { cwd: root, stdio: 'inherit' },
);
const lcov = readFileSync(LOG, 'utf8').replaceAll(`SF:${root}/`, 'SF:');
const { text, ok } = checkFloors(lcov, sources, FLOORS);
process.stdout.write(`\n${text}\n`);
process.exitCode = status === 0 && (ok || folders.length > 0) ? 0 : 1;
