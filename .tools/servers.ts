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
  /** Its module; test/servers itself by default. */
  readonly module?: string;
  /** Path for `go build`. */
  readonly path: string;
  /** Linked into images without libraries. */
  readonly isStatic?: boolean;
  /** What the linker writes into its variables. */
  readonly versions?: Readonly<Record<string, string>>;
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

export const CSI_SANITY: Program = {
  name: 'csi-sanity 5.6.0',
  module: 'sanity',
  path: 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
  variable: 'VOUCHSAFE_TEST_CSI_SANITY',
  patience: 'seconds with warm caches, a minute with cold ones',
};

export const QUERIES: Program = {
  name: 'an application that asks PostgreSQL',
  path: './cmd/queries',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_QUERIES',
  patience: 'seconds with warm caches',
};

const KUBERNETES_VERSION = { major: '1', minor: '34', patch: '2' } as const;
const { major, minor, patch } = KUBERNETES_VERSION;

export const KUBERNETES: Program = {
  name: `Kubernetes ${major}.${minor}.${patch}`,
  module: 'kubernetes',
  path: './cmd/kubernetes',
  versions: {
    'k8s.io/component-base/version.gitVersion': `v${major}.${minor}.${patch}`,
    'k8s.io/component-base/version.gitMajor': major,
    'k8s.io/component-base/version.gitMinor': minor,
  },
  variable: 'VOUCHSAFE_TEST_KUBERNETES',
  patience: 'a minute with warm caches, ten with cold ones',
};

export const HELM: Program = {
  name: 'Helm 4.0.4',
  module: 'kubernetes',
  path: 'helm.sh/helm/v4/cmd/helm',
  versions: {
    'helm.sh/helm/v4/internal/version.version': 'v4.0.4',
    'helm.sh/helm/v4/pkg/chart/common.k8sVersionMajor': major,
    'helm.sh/helm/v4/pkg/chart/common.k8sVersionMinor': minor,
  },
  variable: 'VOUCHSAFE_TEST_HELM',
  patience: 'half a minute with warm caches, minutes with cold ones',
};

export const PAUSE: Program = {
  name: 'pause',
  module: 'kubernetes',
  path: './cmd/pause',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_PAUSE',
  patience: 'seconds',
};

export const ATTEST: Program = {
  name: 'attest',
  module: 'kubernetes',
  path: './cmd/attest',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_ATTEST',
  patience: 'seconds',
};

export const CSI: Program = {
  name: 'csi',
  module: 'kubernetes',
  path: './cmd/csi',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_CSI',
  patience: 'seconds',
};

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

/** What a cluster is made of besides its own programs. */
export const CLUSTER_PACKAGES: readonly Package[] = [
  { name: 'etcd-server', file: '/usr/bin/etcd' },
  { name: 'containerd', file: '/usr/bin/containerd' },
  { name: 'runc', file: '/usr/sbin/runc' },
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

function binaryOf({ path }: Program): string {
  return join(servers, 'bin', basename(path));
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
  const set = Object.entries(versions).map(([symbol, value]) => ` -X ${symbol}=${value}`);
  const binary = binaryOf(program);
  const started = performance.now();
  const elapsed = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  say(`building ${name} (${patience})`);
  const progress = setInterval(() => {
    say(`still building, ${elapsed()}`);
  }, 30_000);
  try {
    const args = ['build', `-ldflags=-s -w${set.join('')}`, '-o', binary, path];
    const code = await run('go', args, join(servers, module), isStatic ? { CGO_ENABLED: '0' } : {});
    say(`${name} ${code === 0 ? 'is built' : 'could not be built'}, ${elapsed()}`);
    process.env[variable] = binary;
    return code;
  } finally {
    clearInterval(progress);
  }
}

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
  const quietly = ['DEBIAN_FRONTEND=noninteractive', 'UCF_FORCE_CONFFOLD=1', 'apt-get'];
  for (const args of [['update', '--quiet'], install]) {
    const code = await run('env', [...quietly, ...args], root);
    if (code !== 0) process.exit(code);
  }
}
