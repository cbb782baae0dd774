/**
 * The images of the cluster, made without a registry and outside the cluster's network: the project's own from
 * its Dockerfile, and small ones of single programs. Store, layers and archives are kept below .cache/cluster.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeBase } from './base.ts';
import { unmountBelow } from './workspace.ts';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const CACHE = join(root, '.cache', 'cluster');
const BASE_IMAGE = 'vouchsafe.test/node:1';

/** Where the project's image stands in the cluster. */
export const REPOSITORY = 'vouchsafe.test/vouchsafe';
export const VERSION = version();
/** Image of the container that holds a pod's namespaces. */
export const PAUSE_IMAGE = 'vouchsafe.test/pause:1';
/** An application with a shell: Debian's static busybox, which runs as user 1000. */
export const SHELL_IMAGE = 'vouchsafe.test/shell:1';
/** The same with iptables, for what redirects the connections of a pod. */
export const REDIRECT_IMAGE = 'vouchsafe.test/redirect:1';
/** An application that asks PostgreSQL all the time. */
export const QUERIES_IMAGE = 'vouchsafe.test/queries:1';
/** An application that prints hashes of its variables. */
export const VARIABLES_IMAGE = 'vouchsafe.test/variables:1';
/** SPIRE's programs. */
export const SPIRE_IMAGE = 'vouchsafe.test/spire:1';
/** HashiCorp's injector, where a bench measures it. */
export const INJECTOR_IMAGE = 'vouchsafe.test/vault-k8s:1';
/** What that injector puts into pods. */
export const VAULT_IMAGE = 'vouchsafe.test/vault:1';

/** An image in a file. */
export interface Archive {
  readonly image: string;
  readonly path: string;
  readonly bytes: number;
}

/** What the images are made of. */
export interface ImagePrograms {
  readonly pause: string;
  readonly queries: string;
  readonly variables: string;
  /** Programs of SPIRE, where it runs in the cluster. */
  readonly spire?: readonly string[];
  /** HashiCorp's injector, and the Vault that its containers run. */
  readonly incumbent?: { readonly injector: string; readonly vault: string };
}

/** Builds all images; what has not changed since the last time comes from the cache. */
export function buildImages(programs: ImagePrograms): readonly Archive[] {
  const { pause, queries, variables, spire = [], incumbent } = programs;
  const archives = [
    single(PAUSE_IMAGE, pause),
    single(QUERIES_IMAGE, queries),
    single(VARIABLES_IMAGE, variables),
    shell(),
    redirect(),
    archive(`${REPOSITORY}:${VERSION}`, root, [
      `--build-arg=NODE_IMAGE=${base()}`,
      '--build-arg=RUNTIME_IMAGE=scratch',
    ]),
    ...(spire.length === 0 ? [] : [withPrograms(SPIRE_IMAGE, spire)]),
    ...(incumbent === undefined
      ? []
      : [single(INJECTOR_IMAGE, incumbent.injector), withPrograms(VAULT_IMAGE, [incumbent.vault])]),
  ];
  unmountBelow(CACHE);
  return archives;
}

/** An image of one static program. */
function single(image: string, program: string): Archive {
  const context = empty(image);
  cpSync(program, join(context, 'program'));
  return fromContext(image, context, ['COPY program /program', 'ENTRYPOINT ["/program"]']);
}

function shell(): Archive {
  return withShell(SHELL_IMAGE, () => undefined);
}

/** The host's iptables with its extensions: kube-proxy uses it on the same kernel. */
function redirect(): Archive {
  const program = realpathSync('/usr/sbin/iptables');
  return withShell(REDIRECT_IMAGE, (tree) => {
    cpSync(program, join(tree, 'bin', 'iptables'));
    const libraries = librariesOf(program);
    copyLibraries(libraries, tree);
    // Looked for below /usr, wherever ldd finds the libraries.
    const extensions = libraries
      .map((library) => join(dirname(realpathSync(library)), 'xtables'))
      .find((one) => existsSync(one));
    if (extensions !== undefined) cpSync(extensions, join(tree, extensions), { recursive: true });
  });
}

/** Programs with their libraries, and a shell, as in Vault's own image. */
function withPrograms(image: string, programs: readonly string[]): Archive {
  return withShell(image, (tree) => {
    for (const program of programs) {
      cpSync(program, join(tree, 'bin', basename(program)));
      copyLibraries(librariesOf(program), tree);
    }
  });
}

function librariesOf(program: string): readonly string[] {
  return execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/[^ )]+/g) ?? [];
}

function copyLibraries(libraries: readonly string[], tree: string): void {
  for (const library of libraries) {
    mkdirSync(join(tree, dirname(library)), { recursive: true });
    copyFileSync(library, join(tree, library));
  }
}

/** Busybox under all its names, and what else is put into the tree. */
function withShell(image: string, add: (tree: string) => void): Archive {
  const context = empty(image);
  const tree = join(context, 'tree');
  const bin = join(tree, 'bin');
  mkdirSync(bin, { recursive: true });
  cpSync('/bin/busybox', join(bin, 'busybox'));
  const applets = execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const applet of applets) {
    if (applet !== 'busybox') symlinkSync('busybox', join(bin, applet));
  }
  add(tree);
  return fromContext(image, context, ['COPY tree /', 'CMD ["/bin/sh"]']);
}

function fromContext(image: string, context: string, lines: readonly string[]): Archive {
  const all = ['FROM scratch', ...lines, 'USER 1000:1000'];
  writeFileSync(join(context, 'Dockerfile'), `${all.join('\n')}\n`);
  return archive(image, context, []);
}

/** Stands in for the image that the Dockerfile begins with. */
function base(): string {
  if (buildah('images', '--quiet', '--filter', `reference=${BASE_IMAGE}`) === '') {
    const context = empty(BASE_IMAGE);
    makeBase(context);
    buildah('build', `--tag=${BASE_IMAGE}`, context);
    rmSync(context, { recursive: true });
  }
  return BASE_IMAGE;
}

function archive(image: string, context: string, flags: readonly string[]): Archive {
  const path = join(CACHE, 'images', `${file(image)}.tar`);
  mkdirSync(dirname(path), { recursive: true });
  buildah('build', '--layers', ...flags, `--tag=${image}`, context);
  const id = buildah('images', '--quiet', '--no-trunc', image);
  const known = `${path}.id`; // compressing takes longer than all the rest
  if (!existsSync(path) || !existsSync(known) || readFileSync(known, 'utf8') !== id) {
    rmSync(path, { force: true });
    buildah('push', '--format=oci', image, `oci-archive:${path}:${image}`);
    writeFileSync(known, id);
  }
  return { image, path, bytes: statSync(path).size };
}

function buildah(...args: string[]): string {
  const store = [`--root=${join(CACHE, 'store')}`, '--runroot=/run/vouchsafe-buildah'];
  return execFileSync('buildah', [...store, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, BUILDAH_ISOLATION: 'chroot', STORAGE_DRIVER: 'overlay' },
  }).trim();
}

function empty(image: string): string {
  const context = join(CACHE, 'contexts', file(image));
  if (existsSync(context)) rmSync(context, { recursive: true });
  mkdirSync(context, { recursive: true });
  return context;
}

function file(image: string): string {
  return image.replaceAll(/[^a-z0-9]/g, '-');
}

function version(): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version; // our own file
}
