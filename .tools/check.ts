/**
 * The gate behind `npm test`: formatting, lint, types, unused code and generated files in parallel with the tests, so
 * that both cores are used. Every step runs even if others fail; the exit code is 1 if any failed.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const testLog = join(root, '.cache', 'tests.log');

interface Step {
  readonly name: string;
  readonly args: readonly string[];
}

/** A package's program, run by the pinned Node. */
const tool = (path: string): string => join(root, 'node_modules', path);

const STATIC_STEPS: readonly Step[] = [
  { name: 'types', args: [tool('typescript/bin/tsc'), '-p', '.'] },
  {
    name: 'lint',
    args: [
      tool('eslint/bin/eslint.js'),
      ...['--cache', '--cache-location', '.cache/eslint', '--max-warnings', '0', '.'],
    ],
  },
  {
    name: 'format',
    args: [tool('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.'],
  },
  {
    name: 'unused code',
    args: [tool('knip/bin/knip.js'), '--config', '.tools/knip.json', '--no-progress'],
  },
  { name: 'generated files', args: ['.tools/generate.ts', '--check'] },
];

const TESTS: Step = {
  name: 'tests',
  args: [
    '--test',
    ...['--test-concurrency=2', '--test-timeout=60000'],
    ...['--test-reporter=dot', '--test-reporter-destination=stdout'],
    ...['--test-reporter=spec', `--test-reporter-destination=${testLog}`],
    ...['test/unit/**/*.test.ts', 'test/integration/**/*.test.ts'],
  ],
};

/** Runs a step; its output is printed in one piece unless it is live. */
function run({ name, args }: Step, isLive: boolean): Promise<boolean> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const stdio = isLive ? 'inherit' : 'pipe';
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', stdio, stdio] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    child.on('error', reject);
    child.on('exit', (code) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      process.stdout.write(`\n${output}${name}: ${code === 0 ? 'ok' : 'FAILED'} (${seconds} s)\n`);
      resolve(code === 0);
    });
  });
}

/** The counts that close a test run. */
function testSummary(): string {
  const lines = readFileSync(testLog, 'utf8').split('\n');
  return lines.filter((line) => line.startsWith('ℹ ')).join('\n');
}

mkdirSync(dirname(testLog), { recursive: true });
const statics = async (): Promise<boolean[]> => {
  const results: boolean[] = [];
  for (const step of STATIC_STEPS) results.push(await run(step, false));
  return results;
};
const [results, tested] = await Promise.all([statics(), run(TESTS, true)]);
process.stdout.write(`${testSummary()}\n`);
process.exitCode = results.every(Boolean) && tested ? 0 : 1;
