/**
 * Long values of a saved state, each in its own file beside it. A file is written once, not again with later states.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, JsonText } from '../core/index.ts';

const NAME = /^value-[0-9a-f-]{36}\.json$/;

/** The file name of each value, the same in every state. */
const names = new WeakMap<JsonText, string>();

/** The name that represents a value; values with the same name are the same. */
function nameOf(value: JsonText): string {
  const name = names.get(value) ?? `value-${randomUUID()}.json`;
  names.set(value, name);
  return name;
}

/** A replacer for `JSON.stringify`: names instead of long values. */
export function named(_key: string, value: unknown): unknown {
  return value instanceof JsonText ? nameOf(value) : value;
}

/** The long values of one state. All methods throw the system's errors. */
export class ValueFiles {
  readonly #directory: string;
  readonly #written = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Writes the values that are not written yet. */
  write(values: readonly JsonText[]): void {
    for (const value of values) {
      const name = nameOf(value);
      if (this.#written.has(name)) continue;
      writePrivate(join(this.#directory, name), value.bytes);
      this.#written.add(name);
    }
  }

  /** Undefined if no such file exists. */
  read(name: unknown): JsonText | undefined {
    if (typeof name !== 'string' || !NAME.test(name)) return undefined;
    try {
      const value = new JsonText(fs.readFileSync(join(this.#directory, name)));
      names.set(value, name);
      this.#written.add(name);
      return value;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Removes all other value files, including those of a killed process. */
  keepOnly(values: readonly JsonText[]): void {
    const kept = new Set(values.map(nameOf));
    for (const name of namesIn(this.#directory)) {
      if (kept.has(name)) continue;
      fs.rmSync(join(this.#directory, name), { force: true });
      this.#written.delete(name);
    }
  }
}

/** Writes a file that only its owner may read. It must not exist yet; if writing fails, it is removed. */
export function writePrivate(path: string, content: string | Uint8Array): void {
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants;
  const file = fs.openSync(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  try {
    fs.writeFileSync(file, content);
    fs.fchmodSync(file, 0o600);
  } catch (error) {
    fs.rmSync(path, { force: true });
    throw error;
  } finally {
    fs.closeSync(file);
  }
}

/** The size of all value files in a directory, in bytes. */
export async function bytesOfValueFiles(directory: string): Promise<number> {
  const found = await readdir(directory).catch(() => []);
  const sizes = found
    .filter((name) => NAME.test(name))
    .map(async (name) => (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

function namesIn(directory: string): readonly string[] {
  try {
    return fs.readdirSync(directory).filter((name) => NAME.test(name));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
