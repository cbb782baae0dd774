/**
 * A stand-in for the base image of the Dockerfile, where none can be pulled: Debian as debootstrap makes it, with
 * this machine's sources of packages, its authorities, the pinned Node, and npm with its settings.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const APT = '/etc/apt';
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
const PACKAGES = ['ca-certificates', 'libstdc++6'];

/** Fills a directory with a Dockerfile and what it needs. */
export function makeBase(context: string): void {
  const system = join(context, 'system');
  const packages = `--include=${PACKAGES.join(',')}`;
  run('debootstrap', ['--variant=minbase', packages, suite(), system, mirror()]);
  copyAptSettings(system);
  copyNode(system);
  cpSync(AUTHORITIES, join(system, AUTHORITIES), { dereference: true });
  copyNpmSettings(system);
  // As an archive: owners and modes stay as they are.
  run('tar', ['--create', `--file=${join(context, 'system.tar')}`, `--directory=${system}`, '.']);
  rmSync(system, { recursive: true });
  const lines = ['FROM scratch', 'ADD system.tar /', `ENV NODE_EXTRA_CA_CERTS=${AUTHORITIES}`];
  writeFileSync(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
}

function copyAptSettings(system: string): void {
  rmSync(join(system, APT, 'sources.list'), { force: true });
  for (const name of readdirSync(APT)) {
    cpSync(join(APT, name), join(system, APT, name), { recursive: true, dereference: true });
  }
}

function copyNode(system: string): void {
  const modules = join(system, 'usr', 'lib', 'node_modules');
  const bin = join(system, 'usr', 'bin');
  mkdirSync(modules, { recursive: true });
  cpSync(realpathSync(process.execPath), join(bin, 'node'));
  const global = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
  cpSync(realpathSync(join(global, 'npm')), join(modules, 'npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(bin, 'npm'));
}

/** The settings of the machine and of its user, and the authorities that they name. */
function copyNpmSettings(system: string): void {
  const files = ['/etc/npmrc', join(homedir(), '.npmrc')].filter((path) => existsSync(path));
  const text = files.map((path) => readFileSync(path, 'utf8')).join('\n');
  writeFileSync(join(system, 'root', '.npmrc'), text, { mode: 0o600 });
  const authority = /^cafile *= *(\S+)/m.exec(text)?.[1];
  if (authority === undefined || !existsSync(authority)) return;
  mkdirSync(dirname(join(system, authority)), { recursive: true });
  cpSync(authority, join(system, authority), { dereference: true });
}

function suite(): string {
  const release = readFileSync('/etc/os-release', 'utf8');
  return /^VERSION_CODENAME=(.+)$/m.exec(release)?.[1] ?? 'bookworm';
}

/** Where this machine gets its packages: the first source of either format. */
function mirror(): string {
  const lists = readdirSync(join(APT, 'sources.list.d')).filter((name) =>
    /\.(list|sources)$/.test(name),
  );
  const files = ['sources.list', ...lists.map((name) => join('sources.list.d', name))];
  for (const name of files) {
    const path = join(APT, name);
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const found = /^(?:URIs: *|deb (?:\[.*\] )?)(\S+)/m.exec(text)?.[1];
    if (found !== undefined) return found;
  }
  throw new Error(`${APT} names no source of packages`);
}

function run(command: string, args: readonly string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
