/**
 * Builds the real servers and clients (once; Go caches the rest) and runs test/real against them.
 * Without Go it says so and fails: a suite that is skipped in silence proves nothing.
 */
import { spawn, spawnSync } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const servers = join(root, 'test', 'servers');

/** A program of the module in test/servers. */
interface Program {
  readonly name: string;
  /** Path for `go build`. */
  readonly path: string;
  /** Tells the tests where the binary is. */
  readonly variable: string;
  readonly patience: string;
}

const PROGRAMS: readonly Program[] = [
  {
    name: 'spiffecheck with go-spiffe 2.6.0',
    path: './cmd/spiffecheck',
    variable: 'VOUCHSAFE_TEST_SPIFFECHECK',
    patience: 'seconds with warm caches, a minute with cold ones',
  },
  {
    name: 'Vault 1.21.0',
    path: 'github.com/hashicorp/vault',
    variable: 'VOUCHSAFE_TEST_VAULT',
    patience: 'half a minute with warm caches, a quarter of an hour with cold ones',
  },
];

function say(line: string): void {
  process.stderr.write(`test:real: ${line}\n`);
}

function run(command: string, args: readonly string[], cwd: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
}

/** Builds a program and says every half minute that it is still at it. Returns the exit code. */
async function build({ name, path, variable, patience }: Program): Promise<number> {
  const binary = join(servers, 'bin', basename(path));
  const started = performance.now();
  const elapsed = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  say(`building ${name} (${patience})`);
  const progress = setInterval(() => {
    say(`still building, ${elapsed()}`);
  }, 30_000);
  try {
    const code = await run('go', ['build', '-ldflags=-s -w', '-o', binary, path], servers);
    say(`${name} ${code === 0 ? 'is built' : 'could not be built'}, ${elapsed()}`);
    process.env[variable] = binary;
    return code;
  } finally {
    clearInterval(progress);
  }
}

const go = spawnSync('go', ['version'], { encoding: 'utf8' });
if (go.status !== 0) {
  say('Go 1.26 or newer is needed to build the real servers: https://go.dev/dl/');
  process.exit(1);
}
for (const program of PROGRAMS) {
  const code = await build(program);
  if (code !== 0) process.exit(code);
}
const only = process.argv.slice(2);
const files = only.length > 0 ? only : ['test/real/**/*.test.ts'];
const args = ['--test', '--test-concurrency=2', '--test-reporter=spec', ...files];
process.exitCode = await run(process.execPath, args, root);
