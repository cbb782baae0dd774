/**
 * JSON lines on a stream, by pino.
 */
import { pino, stdTimeFunctions, type DestinationStream, type Logger as Pino } from 'pino';
import {
  printableText,
  VouchsafeError,
  type Logger,
  type LogFields,
  type LogLevel,
} from '../core/index.ts';

/** A logger of JSON lines: `level`, `time` (RFC 3339), `message` and the fields given. */
export function createLogger(level: LogLevel, destination: DestinationStream): Logger {
  const root = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    // JSON may contain characters that control a terminal; escaped, its meaning is the same.
    { write: (line) => destination.write(printableText(line)) },
  );
  return wrap(root);
}

function wrap(logger: Pino): Logger {
  return {
    debug: (message, fields) => logger.debug(printable(fields), message),
    info: (message, fields) => logger.info(printable(fields), message),
    warn: (message, fields) => logger.warn(printable(fields), message),
    error: (message, fields) => logger.error(printable(fields), message),
    child: (fields) => wrap(logger.child(printable(fields))),
  };
}

/** Errors print as code and message; other errors print only as their class, as their text may hold secrets. */
function printable(fields: LogFields = {}): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof VouchsafeError) {
      result[`${name}_code`] = value.code;
      result[name] = value.message;
    } else {
      result[name] = value instanceof Error ? value.name : value;
    }
  }
  return result;
}
