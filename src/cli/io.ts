/**
 * What a command may touch of the world.
 */
import { parseDocumentText } from '../config/index.ts';
import {
  codeOf,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Random,
} from '../core/index.ts';

/** Streams, files and environment of a command; tests give their own. */
export interface Io {
  /** Writes a result. */
  readonly out: (data: string | Uint8Array) => void;
  /** Writes a line for a person. */
  readonly printError: (line: string) => void;
  /** Reads a whole file, or standard input where the path is `-`. */
  readonly read: (path: string) => Promise<string>;
  readonly variable: (name: string) => string | undefined;
  /** True where a person looks at the output. */
  readonly isTerminal: boolean;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Reads an input that a person named.
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

/**
 * Reads a YAML or JSON document that a person named.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` that names the path, and the place in it.
 */
export async function readDocument(io: Io, path: string): Promise<unknown> {
  const source = await readInput(io, path);
  try {
    return await parseDocumentText(source);
  } catch (cause) {
    const { code, message } = toVouchsafeError(cause);
    throw new VouchsafeError(code, `${path}: ${message}`, { cause });
  }
}
