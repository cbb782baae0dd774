/**
 * Makes the shipped bundles in dist/: one file per process, with nothing of node_modules left outside.
 */
import { build, type BuildOptions } from 'esbuild';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

/** What node-vault would load but never uses here: its HTTP is our own transport, its schemas are not asked. */
const UNUSED_PACKAGES = ['axios', 'debug', 'mustache', 'tv4'];

const common: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  outdir: dist,
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'linked',
  logLevel: 'warning',
  absWorkingDir: root,
  // Some dependencies are CommonJS and ask for Node's modules by `require`.
  banner: {
    js: "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire(import.meta.url);",
  },
};

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await build({
  ...common,
  entryPoints: { agent: 'cmd/agent/main.ts' },
  // The agent is one file without lazy parts that every start needs; what few need stays lazy.
  splitting: true,
  chunkNames: 'agent-[hash]',
  alias: Object.fromEntries(UNUSED_PACKAGES.map((name) => [name, './.tools/unused-package.cjs'])),
});
await build({
  ...common,
  entryPoints: { webhook: 'cmd/webhook/main.ts' },
  splitting: true,
  chunkNames: 'webhook-[hash]',
});
