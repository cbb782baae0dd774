/**
 * The real servers and clients that the suites run against: Go programs of the module in test/servers, built
 * once (Go caches the rest), and what comes from Debian.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const servers = join(root, 'test', 'servers');

/** A program of the module in test/servers. */
export interface Program {
  readonly name: string;
  /** Path for `go build`. */
  readonly path: string;
  /** Tells the tests where the binary is. */
  readonly variable: string;
  readonly patience: string;
}

export const SPIFFECHECK: Program = {
  name: 'spiffecheck with go-spiffe 2.6.0',
  path: './cmd/spiffecheck',
  variable: 'VOUCHSAFE_TEST_SPIFFECHECK',
  patience: 'seconds with warm caches, a minute with cold ones',
};

export const VAULT: Program = {
  name: 'Vault 1.21.0',
  path: 'github.com/hashicorp/vault',
  variable: 'VOUCHSAFE_TEST_VAULT',
  patience: 'half a minute with warm caches, a quarter of an hour with cold ones',
};

/** A Debian package, and a file that tells whether it is there. */
export interface Package {
  readonly name: string;
  readonly file: string;
  /** Its settings, written before it is installed. */
  readonly settings: { readonly path: string; readonly text: string };
}

export const POSTGRESQL: Package = {
  name: 'postgresql-15',
  file: '/usr/lib/postgresql/15/bin/postgres',
  // Tests make clusters of their own; nothing is to listen on port 5432.
  settings: {
    path: '/etc/postgresql-common/createcluster.conf',
    text: 'create_main_cluster = false\n',
  },
};

/** Prints progress, beside whatever the suite itself prints. */
export function say(line: string): void {
  process.stderr.write(`servers: ${line}\n`);
}

/** Runs a command to its end; gives the exit code. */
export function run(command: string, args: readonly string[], cwd: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
}

/**
 * Builds programs and tells the tests where they are. Without Go it says so and ends the process: a suite that
 * is skipped in silence proves nothing.
 */
export async function buildPrograms(programs: readonly Program[]): Promise<void> {
  if (spawnSync('go', ['version']).status !== 0) {
    say('Go 1.26 or newer is needed to build the real servers: https://go.dev/dl/');
    process.exit(1);
  }
  for (const program of programs) {
    const code = await build(program);
    if (code !== 0) process.exit(code);
  }
}

/** Says every half minute that it is still at it. */
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

/**
 * Makes sure of Debian's packages. As root with `CI=true` the missing ones are installed; a person is told the
 * one line that installs them, and the process ends.
 */
export async function ensurePackages(packages: readonly Package[]): Promise<void> {
  const missing = packages.filter(({ file }) => !existsSync(file));
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  const install = ['install', '--yes', '--no-install-recommends', ...names];
  if (process.env['CI'] !== 'true' || process.getuid?.() !== 0) {
    say(`Debian packages are missing; install them: apt-get ${install.join(' ')}`);
    process.exit(1);
  }
  for (const { settings } of missing) {
    mkdirSync(dirname(settings.path), { recursive: true });
    writeFileSync(settings.path, settings.text);
  }
  const quietly = ['DEBIAN_FRONTEND=noninteractive', 'UCF_FORCE_CONFFOLD=1', 'apt-get'];
  for (const args of [['update', '--quiet'], install]) {
    const code = await run('env', [...quietly, ...args], root);
    if (code !== 0) process.exit(code);
  }
}
