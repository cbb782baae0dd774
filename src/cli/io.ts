/**
 * The streams, files and environment of a command.
 */
import { parseDocumentText, parseExactDocumentText } from '../config/schema/index.ts';
import {
  codeOf,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Random,
} from '../core/index.ts';

/** Injected into every command; tests pass their own. */
export interface Io {
  /** Writes to standard output. */
  readonly out: (data: string | Uint8Array) => void;
  /** Writes a line to standard error. */
  readonly printError: (line: string) => void;
  /** Reads a whole file; `-` reads standard input. */
  readonly read: (path: string) => Promise<string>;
  /** Names of the files in a directory; undefined for what is not a directory. Default: nothing is a directory. */
  readonly list?: (path: string) => Promise<readonly string[] | undefined>;
  /** A variable of the environment; undefined where it is not set or empty. */
  readonly variable: (name: string) => string | undefined;
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Reads an input of the command line.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` that names the path and the system's reason.
 */
export async function readInput(io: Io, path: string): Promise<string> {
  try {
    return await io.read(path);
  } catch (cause) {
    const code = codeOf(cause) ?? 'unreadable';
    const name = path === '-' ? 'standard input' : path;
    throw new VouchsafeError('ERR_CONFIG_UNREADABLE', `cannot read ${name} (${code})`, { cause });
  }
}

/** Files that are manifests, as kubectl takes them from a directory. */
const MANIFEST_FILE = /\.(?:ya?ml|json)$/;

/**
 * The manifests that a path of the command line names: itself, or those of a directory in alphabetical order.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` for a directory without any.
 */
export async function filesOf(io: Io, path: string): Promise<readonly string[]> {
  if (path === '-') return [path];
  const names = await io.list?.(path);
  if (names === undefined) return [path];
  const files = names.filter((name) => MANIFEST_FILE.test(name)).toSorted();
  if (files.length > 0) return files.map((name) => `${path.replace(/\/$/, '')}/${name}`);
  const message = `${path} contains no file with the ending .yaml, .yml or .json`;
  throw new VouchsafeError('ERR_CONFIG_UNREADABLE', message);
}

/**
 * Reads a YAML or JSON document of settings.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` that names path, line and column.
 */
export async function readDocument(io: Io, path: string): Promise<unknown> {
  return await readParsed(io, path, parseDocumentText);
}

/** As {@link readDocument}, for values of templates: numbers keep their digits. */
export async function readValues(io: Io, path: string): Promise<unknown> {
  return await readParsed(io, path, parseExactDocumentText);
}

async function readParsed(
  io: Io,
  path: string,
  parse: (source: string) => Promise<unknown>,
): Promise<unknown> {
  const source = await readInput(io, path);
  try {
    return await parse(source);
  } catch (cause) {
    const { code, message } = toVouchsafeError(cause);
    throw new VouchsafeError(code, `${path}: ${message}`, { cause });
  }
}
