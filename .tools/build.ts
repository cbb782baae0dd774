/**
 * Makes the bundle of the container image in dist/: `vouchsafe.cjs`, one file for each process, and the packages
 * that are loaded when they are needed, with nothing of node_modules left outside; beside them the code that V8
 * compiled from them. `templates/` must stand beside dist/.
 */
import { build, type Metafile, type Plugin } from 'esbuild';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepCompiled } from './compile.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Packages that others load but never use here. node-vault: its HTTP is our own transport, its schemas are not asked.
 * pino: it writes by itself, without a thread. grpc-js: no service is described by a file.
 */
const UNUSED_PACKAGES = /^(axios|debug|mustache|tv4|thread-stream|@grpc\/proto-loader)$/;

/** A part of packages that is loaded at once but never used. */
interface UnusedPart {
  readonly of: RegExp;
  readonly path: RegExp;
}

/** Metrics of the process, pushing and clusters. Ours are asked for by name. */
const METRICS: UnusedPart = {
  of: /\/prom-client\/index\.js$/,
  path: /^\.\/lib\/(cluster|defaultMetrics|pushgateway)$/,
};

/** What serves, and what balances by reports of load. */
const GRPC_SERVER: UnusedPart = {
  of: /\/grpc-js\/build\/src\//,
  path: /^\.\/(orca|server(-credentials|-interceptors)?)$/,
};

const withoutUnused = (unusedParts: readonly UnusedPart[]): Plugin => ({
  name: 'without-unused',
  setup(on) {
    const unused = { path: join(root, '.tools', 'unused-package.cjs') };
    on.onResolve({ filter: UNUSED_PACKAGES }, () => unused);
    for (const { of, path } of unusedParts) {
      on.onResolve({ filter: path }, ({ importer }) => (of.test(importer) ? unused : undefined));
    }
  },
});

/** Modules of Node that grpc-js loads at once and may need later, if ever: to compress, to look a name up. */
const lazyModules: Plugin = {
  name: 'lazy-modules',
  setup(on) {
    on.onResolve({ filter: /^(dns|zlib)$/ }, ({ path, importer }) =>
      importer.includes('/grpc-js/') ? { path, namespace: 'lazy-modules' } : undefined,
    );
    on.onLoad({ filter: /.*/, namespace: 'lazy-modules' }, ({ path }) => ({
      contents: `module.exports = new Proxy({}, {
        get: (_, name) => process.getBuiltinModule('node:${path}')[name],
      });`,
    }));
  },
};

/** All that pino wants of threads is to know that it is on none. */
const mainThread: Plugin = {
  name: 'main-thread',
  setup(on) {
    on.onResolve({ filter: /^worker_threads$/ }, () => ({
      path: 'main',
      namespace: 'main-thread',
    }));
    on.onLoad({ filter: /.*/, namespace: 'main-thread' }, () => ({
      contents: 'exports.isMainThread = true;',
    }));
  },
};

/**
 * An `import` of node:http may read everything that it exports, its WebSocket too, for which Node then loads the
 * whole of undici. Taken this way, a name is read when it is used.
 */
const lazyHttp: Plugin = {
  name: 'lazy-http',
  setup(on) {
    on.onResolve({ filter: /^(node:)?http$/ }, () => ({ path: 'http', namespace: 'lazy-http' }));
    on.onLoad({ filter: /.*/, namespace: 'lazy-http' }, () => ({
      contents: `module.exports = process.getBuiltinModule('node:http');`,
    }));
  },
};

/** Of package.json the version is all that a process asks for. */
const versionAlone: Plugin = {
  name: 'version-alone',
  setup(on) {
    on.onLoad({ filter: /[/]package\.json$/ }, async ({ path }) => {
      if (path !== join(root, 'package.json')) return undefined;
      const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string }; // npm requires it
      return { contents: JSON.stringify({ version }), loader: 'json' };
    });
  },
};

/** Packages that some starts need, each in a file of its own: package -> file. */
type Parts = Readonly<Record<string, string>>;

const COMMON_PARTS: Parts = {
  '@kubernetes/client-node': 'kubernetes-client',
  chokidar: 'chokidar',
  yaml: 'yaml',
};

const apart = (parts: Parts): Plugin => ({
  name: 'parts',
  setup(on) {
    on.onResolve({ filter: /^[@a-z]/ }, ({ path, importer }) => {
      const part = parts[path];
      if (part === undefined || !importer.startsWith(join(root, 'src'))) return undefined;
      return { path: `./${part}.cjs`, external: true };
    });
  },
});

/** Processes that are bundled alike, and the packages that are bundled with them. */
interface Bundled {
  readonly processes: readonly string[];
  /** Packages of theirs alone. */
  readonly parts: Parts;
  readonly unused: readonly UnusedPart[];
}

const BUNDLED: readonly Bundled[] = [
  {
    processes: ['agent', 'webhook'],
    parts: { '@grpc/grpc-js': 'grpc-js' },
    unused: [METRICS, GRPC_SERVER],
  },
  // It serves the kubelet.
  { processes: ['csi'], parts: { '@grpc/grpc-js': 'grpc-js-whole' }, unused: [METRICS] },
  // It has one socket, and logs.
  { processes: ['mounter'], parts: {}, unused: [METRICS] },
  // Templates, and nothing else.
  { processes: ['renderer'], parts: {}, unused: [] },
];

const COMMON = {
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  define: { 'import.meta.url': '$url', 'import.meta.dirname': '__dirname' },
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none', // the licences are put beside the bundle, whole
  logLevel: 'warning',
  absWorkingDir: root,
  metafile: true,
} as const;

/** The address of a file, as ES modules know their own. */
const OWN_URL = "const $url=require('node:url').pathToFileURL(__filename).href;";

/**
 * Bundles into a directory, with the licences of what is in it; tells what went into each file. What V8 compiles
 * is not kept yet: see {@link keepCompiled}.
 */
export async function bundle(directory: string): Promise<Metafile> {
  await rm(directory, { recursive: true, force: true });
  const { metafile: loader } = await build({
    ...COMMON,
    entryPoints: { vouchsafe: 'cmd/image/main.ts', 'start-gate': 'cmd/start-gate/main.ts' },
    outdir: directory,
    banner: { js: OWN_URL },
    plugins: [versionAlone],
  });
  const rest = await Promise.all(
    [...BUNDLED, { processes: [], parts: COMMON_PARTS, unused: [] }].map((one) =>
      bundleProcesses(directory, one),
    ),
  );
  const all = [loader, ...rest];
  const metafile = {
    inputs: Object.assign({}, ...all.map(({ inputs }) => inputs)) as Metafile['inputs'],
    outputs: Object.assign({}, ...all.map(({ outputs }) => outputs)) as Metafile['outputs'],
  };
  await writeFile(join(directory, 'LICENSES.txt'), await licencesOf(metafile));
  return metafile;
}

async function bundleProcesses(
  directory: string,
  { processes, parts, unused }: Bundled,
): Promise<Metafile> {
  const { metafile } = await build({
    ...COMMON,
    entryPoints: {
      ...Object.fromEntries(processes.map((name) => [name, `cmd/image/${name}.ts`])),
      ...Object.fromEntries(Object.entries(parts).map(([path, part]) => [part, path])),
    },
    outdir: directory,
    define: { ...COMMON.define, 'import.meta.main': 'false' },
    // `import()` of a part goes through the loader as everything else.
    supported: { 'dynamic-import': false },
    plugins: [
      ...[apart({ ...COMMON_PARTS, ...parts }), withoutUnused(unused)],
      ...[lazyHttp, lazyModules, mainThread, versionAlone],
    ],
    // What cmd/image/main.ts runs: one expression, so that nothing has to be put around the text at the start.
    banner: { js: `(function(exports,require,module,__filename){${OWN_URL}` },
    footer: { js: '})' },
  });
  return metafile;
}

async function licencesOf({ inputs }: Metafile): Promise<string> {
  const packages = Object.keys(inputs).flatMap(
    (path) => /^node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(path) ?? [],
  );
  const texts = [...new Set(packages)].sort().map(async (directory) => {
    const names = await readdir(join(root, directory));
    // Packages without a file of that name tell it in package.json.
    const file = names.find((name) => /^licen[cs]e/i.test(name)) ?? 'package.json';
    const text = await readFile(join(root, directory, file), 'utf8');
    return `${directory}/${file}\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`);
}

if (import.meta.main) {
  const directory = join(root, 'dist');
  await bundle(directory);
  await keepCompiled(directory);
}
