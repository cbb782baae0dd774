/**
 * The logger interface. `src/platform/logger.ts` writes the JSON lines.
 */

/** Fields of a log line. Names are snake_case; values are never secrets, bodies or objects of users. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Levels, from most to least verbose. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Structured log: a constant message and fields. `info` is a change of state, `debug` is for details. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

/** Logs nothing; the default everywhere. */
export const NO_LOGGER: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => NO_LOGGER,
};
