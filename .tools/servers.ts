/**
 * Builds the real servers and clients that the suites run against (Go caches what has not changed), and installs what comes
 * from Debian.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Program } from './programs.ts';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const servers = join(root, 'test', 'servers');

/** A Debian package, and a file that tells whether it is there. */
export interface Package {
  readonly name: string;
  readonly file: string;
  /** Its settings, written before it is installed. */
  readonly settings?: { readonly path: string; readonly text: string };
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

export const PROMETHEUS: Package = {
  name: 'prometheus',
  file: '/usr/bin/promtool',
  // Tests start their own; an empty unit masks the one of the package, which would listen on port 9090.
  settings: { path: '/etc/systemd/system/prometheus.service', text: '' },
};

/** What a cluster is made of besides its own programs. */
export const CLUSTER_PACKAGES: readonly Package[] = [
  { name: 'etcd-server', file: '/usr/bin/etcd' },
  { name: 'libseccomp-dev', file: '/usr/include/seccomp.h' },
  { name: 'containernetworking-plugins', file: '/usr/lib/cni/bridge' },
  { name: 'buildah', file: '/usr/bin/buildah' },
  { name: 'debootstrap', file: '/usr/sbin/debootstrap' },
  { name: 'busybox-static', file: '/bin/busybox' },
  { name: 'iptables', file: '/usr/sbin/iptables' },
  { name: 'conntrack', file: '/usr/sbin/conntrack' },
  { name: 'iproute2', file: '/usr/sbin/ip' },
];

/** Prints progress, beside whatever the suite itself prints. */
export function say(line: string): void {
  process.stderr.write(`servers: ${line}\n`);
}

/** Runs a command to its end; gives the exit code. */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...environment };
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
}

/**
 * Builds programs and passes their paths to the tests. Without Go it prints an error and ends the process: a suite
 * that is silently skipped proves nothing.
 */
export async function buildPrograms(programs: readonly Program[]): Promise<Built> {
  if (spawnSync('go', ['version']).status !== 0) {
    say('Go 1.26 or newer is needed to build the real servers: https://go.dev/dl/');
    process.exit(1);
  }
  for (const program of programs) {
    const code = await build(program);
    if (code !== 0) process.exit(code);
  }
  return { path: binaryOf };
}

/** What has been built. */
export interface Built {
  path(program: Program): string;
}

function binaryOf({ path, binary = basename(path) }: Program): string {
  return join(servers, 'bin', binary);
}

/** A program that this machine has, if it has it. */
export function onPath(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(':')
    .map((directory) => join(directory, name))
    .find((path) => existsSync(path));
}

/** Ends the process where it is not root's. */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  say('a cluster requires root: it creates network namespaces, mounts and cgroups');
  process.exit(1);
}

/** Says every half minute that it is still at it. */
async function build(program: Program): Promise<number> {
  const { name, module = '.', path, isStatic = false, versions = {}, variable, patience } = program;
  const { modfile, tags } = program;
  const set = Object.entries(versions).map(([symbol, value]) => ` -X ${symbol}=${value}`);
  const binary = binaryOf(program);
  const started = performance.now();
  const elapsed = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  say(`building ${name} (${patience})`);
  const progress = setInterval(() => {
    say(`still building, ${elapsed()}`);
  }, 30_000);
  try {
    const args = [
      ...['build', `-ldflags=-s -w${set.join('')}`, '-o', binary],
      ...(modfile === undefined ? [] : [`-modfile=${modfile}`]),
      ...(tags === undefined ? [] : [`-tags=${tags}`]),
      path,
    ];
    const code = await run('go', args, join(servers, module), isStatic ? { CGO_ENABLED: '0' } : {});
    say(`${name} ${code === 0 ? 'is built' : 'could not be built'}, ${elapsed()}`);
    process.env[variable] = binary;
    return code;
  } finally {
    clearInterval(progress);
  }
}

const PACKAGES_LOCK = '/run/lock/vouchsafe-packages';

/**
 * Checks for Debian packages. As root with `CI=true` it installs missing ones; otherwise it prints the command that
 * installs them, and ends the process.
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
    if (settings === undefined) continue;
    mkdirSync(dirname(settings.path), { recursive: true });
    writeFileSync(settings.path, settings.text);
  }
  // Two suites may be prepared at once, and apt-get does not wait for another one.
  const quietly = ['DEBIAN_FRONTEND=noninteractive', 'UCF_FORCE_CONFFOLD=1', 'apt-get'];
  for (const args of [['update', '--quiet'], install]) {
    const code = await run('flock', [PACKAGES_LOCK, 'env', ...quietly, ...args], root);
    if (code !== 0) process.exit(code);
  }
}
