/** A logger that keeps what is logged. */
import { inspect } from 'node:util';
import type { Logger, LogFields, LogLevel } from '../../src/core/index.ts';

/** One line of a log. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** A {@link Logger} with its lines. */
export interface RecordingLogger extends Logger {
  readonly lines: readonly LogLine[];
  /** All that a human could see of it. */
  text(): string;
}

/** Records every level; children write to the same list. */
export function recordingLogger(): RecordingLogger {
  const lines: LogLine[] = [];
  const add =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, fields });
  const logger: RecordingLogger = {
    lines,
    text: () => inspect(lines, { depth: 10, showHidden: true }),
    debug: add('debug'),
    info: add('info'),
    warn: add('warn'),
    error: add('error'),
    child: () => logger,
  };
  return logger;
}
