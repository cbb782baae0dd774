/**
 * The entry point of the container image: runs `agent`, `webhook`, `csi`, `mounter` or, for the driver, `renderer` with the
 * arguments that follow. Wiring only. Loads the bundle's files with the code that V8 compiled when the image was built.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { EXIT } from '../../src/core/index.ts';

/** The exports of each process's file. */
interface Process {
  run(args: readonly string[]): void;
}

const require = createRequire(import.meta.url);
const loaded = new Map<string, unknown>();

/** `require` as the files of the bundle see it. */
function load(name: string): unknown {
  if (!name.startsWith('./')) return require(name);
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const filename = join(import.meta.dirname, name);
  // The bundle is ASCII, so that Latin-1 is the same text, and faster to decode.
  const script = new Script(readFileSync(filename, 'latin1'), {
    filename,
    cachedData: compiled(filename),
  });
  const module = { exports: {} };
  const define = script.runInThisContext() as Definition; // what build.ts wraps each file in
  define(module.exports, load, module, filename);
  loaded.set(name, module.exports);
  return module.exports;
}

type Definition = (exports: object, require: unknown, module: object, filename: string) => void;

/** V8 accepts it only for the same version, flags and source; without it the start is only slower. */
function compiled(filename: string): Buffer | undefined {
  try {
    return readFileSync(`${filename}.cache`);
  } catch {
    return undefined;
  }
}

const PROCESSES = ['agent', 'webhook', 'csi', 'mounter', 'renderer'];

const [name = '', ...args] = process.argv.slice(2);
if (PROCESSES.includes(name)) {
  (load(`./${name}.cjs`) as Process).run(args); // a file of the bundle
} else {
  process.stderr.write(
    `vouchsafe: ERR_USAGE: this image runs one of: ${PROCESSES.join(', ')}, with [OPTIONS]\n`,
  );
  process.exitCode = EXIT.usage;
}
