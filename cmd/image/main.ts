/**
 * What the container image starts: `agent`, `webhook`, `csi` with `mounter`, and what the driver starts itself
 * (`renderer`), with the words that follow. Wiring only. It loads the files of the bundle with the code that V8 has compiled from them when the image was made.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { EXIT } from '../../src/core/index.ts';

/** What the file of each process exports. */
interface Process {
  run(words: readonly string[]): void;
}

const require = createRequire(import.meta.url);
const loaded = new Map<string, unknown>();

/** `require` as the files of the bundle see it. */
function load(name: string): unknown {
  if (!name.startsWith('./')) return require(name);
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const filename = join(import.meta.dirname, name);
  // Written in ASCII, which is read as it stands.
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

/** V8 takes it only if it is of the same version, flags and source; without it a start is slower, and no more. */
function compiled(filename: string): Buffer | undefined {
  try {
    return readFileSync(`${filename}.cache`);
  } catch {
    return undefined;
  }
}

const PROCESSES = ['agent', 'webhook', 'csi', 'mounter', 'renderer'];

const [name = '', ...words] = process.argv.slice(2);
if (PROCESSES.includes(name)) {
  (load(`./${name}.cjs`) as Process).run(words); // a file of the bundle
} else {
  process.stderr.write(
    `vouchsafe: ERR_USAGE: this image runs one of: ${PROCESSES.join(', ')}, with [OPTIONS]\n`,
  );
  process.exitCode = EXIT.usage;
}
