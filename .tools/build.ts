/**
 * Makes the bundle of the container image in dist/: `vouchsafe.mjs` and the parts that it loads when they are
 * needed, with nothing of node_modules left outside. `templates/` must stand beside dist/.
 */
import { build, type Metafile, type Plugin } from 'esbuild';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What node-vault would load but never uses here: its HTTP is our own transport, its schemas are not asked. */
const UNUSED_PACKAGES = /^(axios|debug|mustache|tv4)$/;

/** What prom-client loads at once for metrics of the process, pushing and clusters. Ours are asked for by name. */
const UNUSED_METRICS = /^\.\/lib\/(cluster|defaultMetrics|pushgateway)$/;

const withoutUnused: Plugin = {
  name: 'without-unused',
  setup(on) {
    const unused = { path: join(root, '.tools', 'unused-package.cjs') };
    on.onResolve({ filter: UNUSED_PACKAGES }, () => unused);
    on.onResolve({ filter: UNUSED_METRICS }, ({ importer }) =>
      importer.endsWith('node_modules/prom-client/index.js') ? unused : undefined,
    );
  },
};

/**
 * An `import` of node:http reads everything that it exports, its WebSocket too, for which Node then loads the
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

/** Bundles into a directory, with the licences of what is in it; tells what went into each file. */
export async function bundle(directory: string): Promise<Metafile> {
  await rm(directory, { recursive: true, force: true });
  const { metafile } = await build({
    entryPoints: { vouchsafe: 'cmd/image/main.ts' },
    outdir: directory,
    bundle: true,
    // What every start needs is in few files; what some starts need is loaded by them.
    splitting: true,
    chunkNames: '[name]-[hash]',
    platform: 'node',
    target: 'node26',
    format: 'esm',
    outExtension: { '.js': '.mjs' },
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none', // the licences are put beside the bundle, whole
    logLevel: 'warning',
    absWorkingDir: root,
    metafile: true,
    plugins: [withoutUnused, lazyHttp],
    // Some dependencies are CommonJS and ask for Node's modules by `require`.
    banner: {
      js: "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire(import.meta.url);",
    },
  });
  await writeFile(join(directory, 'LICENSES.txt'), await licencesOf(metafile));
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

if (import.meta.main) await bundle(join(root, 'dist'));
