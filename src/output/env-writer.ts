/**
 * Writes the files with environment variables beside the delivered ones, into a directory of their own, with the version
 * of the set.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OutputFile } from '../contracts/index.ts';
import { DEFAULTS } from '../config/schema/index.ts';
import { variableOf, variablePath, VouchsafeError, type Clock } from '../core/index.ts';
import type { FileWriter } from './file-writer.ts';

/**
 * Most bytes of all variables together: a process can start with 2 MiB of arguments and variables, if its stack has the usual limit.
 *
 * @see https://man7.org/linux/man-pages/man2/execve.2.html
 */
const MAX_TOTAL_BYTES = 1024 * 1024;

/** The result of a write. */
interface EnvWriteResult {
  /** Paths whose bytes differ for a reader, including new and removed files. */
  readonly changed: readonly string[];
  readonly swapped: boolean;
  /** Version of the variables: when they were last changed, in seconds since 1970. */
  readonly version: number;
}

/** Writes sets of files that include variables. */
export interface EnvWriter {
  /**
   * As {@link FileWriter.write}; each of the two directories is swapped as a whole. Also rejects with `ERR_ENV_VALUE` if the variables
   * do not fit into a process.
   */
  write(files: readonly OutputFile[], signal: AbortSignal): Promise<EnvWriteResult>;
}

/** Options of {@link createEnvWriter}. */
export interface EnvWriterOptions {
  /** Writes the delivered files. */
  readonly files: FileWriter;
  /** Writes the files with variables, into `directory`. */
  readonly variables: FileWriter;
  readonly directory: string;
  /** All variables. One without a value has an empty file: the kubelet starts no container whose file is missing, even if it is optional. */
  readonly names: readonly string[];
  readonly clock: Clock;
}

/** A writer for both directories. */
export function createEnvWriter(options: EnvWriterOptions): EnvWriter {
  return {
    async write(files, signal) {
      const [given, others] = partition(files);
      checkTotal(given);
      const variables = [...given, ...emptyFiles(options.names, given)];
      // First, because a failure of the variables has to leave the files as they are.
      const { changed, swapped, version } = await writeVariables(options, variables, signal);
      const result = await options.files.write(others, signal);
      return {
        changed: [...changed, ...result.changed],
        swapped: swapped || result.swapped,
        version,
      };
    },
  };
}

/** The variables, by their names, and the other files. */
function partition(
  files: readonly OutputFile[],
): readonly [variables: readonly OutputFile[], others: readonly OutputFile[]] {
  const variables: OutputFile[] = [];
  const others: OutputFile[] = [];
  for (const file of files) {
    const name = variableOf(file.path);
    if (name === undefined) others.push(file);
    else variables.push({ ...file, path: name });
  }
  return [variables, others];
}

/** Files for the variables that have no value. */
function emptyFiles(
  names: readonly string[],
  present: readonly OutputFile[],
): readonly OutputFile[] {
  const known = new Set(present.map(({ path }) => path));
  const missing = names.filter((name) => !known.has(name));
  return missing.map((path) => ({ path, mode: 0o400, content: Buffer.alloc(0) }));
}

async function writeVariables(
  { variables: writer, directory, clock }: EnvWriterOptions,
  variables: readonly OutputFile[],
  signal: AbortSignal,
): Promise<EnvWriteResult> {
  const present = await readPresent(directory);
  const last = versionIn(present.get(DEFAULTS.ENV_VERSION));
  const isSame =
    present.size === variables.length + 1 &&
    variables.every(({ path, content }) => present.get(path)?.equals(content) === true);
  const nowSeconds = Math.floor(clock.now() / 1000);
  // Greater in any case: two sets in one second, or with a clock that was set back, have different versions.
  const version = last === undefined ? nowSeconds : isSame ? last : Math.max(nowSeconds, last + 1);
  const { changed, swapped } = await writer.write([...variables, versionFile(version)], signal);
  // To a reader, an empty file is as good as none.
  const stillMissing = variables
    .filter(({ path, content }) => content.byteLength + (present.get(path)?.byteLength ?? 0) === 0)
    .map(({ path }) => path);
  const unchanged = new Set([DEFAULTS.ENV_VERSION, ...stillMissing]);
  const names = changed.filter((name) => !unchanged.has(name));
  return { changed: names.map(variablePath), swapped, version };
}

/** The files that the kubelet would read now. Empty before the first write, or if they are not readable. */
async function readPresent(directory: string): Promise<ReadonlyMap<string, Buffer>> {
  const names = await readdir(directory).catch(() => []);
  const visible = names.filter((name) => !name.startsWith('..'));
  const files = visible.map(async (name): Promise<readonly [string, Buffer]> => {
    return [name, await readFile(join(directory, name)).catch(() => Buffer.alloc(0))];
  });
  return new Map(await Promise.all(files));
}

const VERSION_FILE = new RegExp(`^${DEFAULTS.ENV_VERSION}='(\\d{1,15})'\\n$`);

function versionIn(file: Buffer | undefined): number | undefined {
  const [, digits] = VERSION_FILE.exec(file?.toString('latin1') ?? '') ?? [];
  return digits === undefined ? undefined : Number(digits);
}

function versionFile(version: number): OutputFile {
  const content = Buffer.from(`${DEFAULTS.ENV_VERSION}='${version}'\n`);
  return { path: DEFAULTS.ENV_VERSION, mode: 0o400, content };
}

function checkTotal(variables: readonly OutputFile[]): void {
  const bytes = variables.reduce((sum, { content }) => sum + content.byteLength, 0);
  if (bytes <= MAX_TOTAL_BYTES) return;
  const message = `the variables have ${bytes} bytes together; the maximum is ${MAX_TOTAL_BYTES}: deliver some of them as files`;
  throw new VouchsafeError('ERR_ENV_VALUE', message);
}
