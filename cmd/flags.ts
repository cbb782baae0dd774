/**
 * Reads flags and the installation's values, for the webhook and the CSI driver. Wiring only.
 */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { parseDocumentText } from '../src/config/schema/index.ts';
import {
  EXIT,
  exitCodeOf,
  LOG_LEVELS,
  VouchsafeError,
  type LogLevel,
  toVouchsafeError,
} from '../src/core/index.ts';
import { printError, readTextFile } from '../src/platform/index.ts';

const MAX_VALUES_BYTES = 4 * 1024 * 1024;

/** `usage: webhook [--listen VALUE] …` */
export function usageOf(name: string, options: ParseArgsOptionsConfig): string {
  const flags = Object.entries(options).map(([flag, { type }]) =>
    type === 'boolean' ? `[--${flag}]` : `[--${flag} VALUE]`,
  );
  return `usage: ${name} ${flags.join(' ')}`;
}

/** A parsed command line. */
export interface Flags<O extends ParseArgsOptionsConfig> {
  readonly values: ReturnType<typeof parseArgs<{ args: string[]; options: O }>>['values'];
  readonly level: LogLevel;
}

/** Parses a command line that has `--log-level`. @throws VouchsafeError `ERR_USAGE` */
export function readFlags<O extends ParseArgsOptionsConfig>(
  words: readonly string[],
  options: O,
  usage: string,
): Flags<O> {
  try {
    const { values } = parseArgs<{ args: string[]; options: O }>({ args: [...words], options });
    const wanted: unknown = Reflect.get(values, 'log-level');
    const level = LOG_LEVELS.find((one): one is LogLevel => one === wanted);
    if (level === undefined)
      throw new TypeError(`--log-level must be one of ${LOG_LEVELS.join(', ')}`);
    return { values, level };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown option';
    throw new VouchsafeError('ERR_USAGE', `${reason}\n${usage}`, { cause });
  }
}

/**
 * Reads the installation's values, YAML or JSON; without a path, all defaults. @throws VouchsafeError `ERR_CONFIG_*`
 */
export async function readValues(path: string | undefined): Promise<unknown> {
  if (path === undefined) return {};
  let text: string;
  try {
    text = await readTextFile(path, MAX_VALUES_BYTES);
  } catch (cause) {
    throw new VouchsafeError('ERR_CONFIG_UNREADABLE', `cannot read ${path}`, { cause });
  }
  return parseDocumentText(text);
}

/** Runs a process to its end, and prints the error that ends it; resolves to the exit code. */
export async function exitCodeOfRun(run: () => Promise<void>): Promise<number> {
  try {
    await run();
    return EXIT.ok;
  } catch (caught) {
    const error = toVouchsafeError(caught);
    printError(`vouchsafe: ${error.code}: ${error.message}`);
    return exitCodeOf(error);
  }
}
