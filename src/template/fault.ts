/**
 * A problem found while rendering, before anybody knows where it stands in the template.
 */
import { VouchsafeError } from '../core/index.ts';
import type { Position } from './position.ts';
import { isRecord, keysNote, quoteName, shortened, typeName } from './values.ts';

/** The codes that rendering can end with. */
export type FaultCode = 'ERR_TEMPLATE_MISSING_KEY' | 'ERR_TEMPLATE_VALUE' | 'ERR_TEMPLATE_LIMIT';

/** Thrown by helpers and look-ups. Its message names types and keys, never a value. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly #message: string | (() => string);

  /** A message that takes a look through the data is made when somebody wants to read it. */
  constructor(code: FaultCode, message: string | (() => string)) {
    super(typeof message === 'string' ? message : code);
    this.name = 'Fault';
    this.code = code;
    this.#message = message;
  }

  /** The message. */
  describe(): string {
    return typeof this.#message === 'string' ? this.#message : this.#message();
  }
}

/** `ERR_TEMPLATE_VALUE`: a value that cannot be used so. */
export function valueFault(message: string | (() => string)): Fault {
  return new Fault('ERR_TEMPLATE_VALUE', message);
}

/**
 * `ERR_TEMPLATE_MISSING_KEY`: `key` is not in `holder`, which is what Vault has at `path`. A key that was
 * computed is not named.
 */
export function missingKey(holder: unknown, key?: string, path?: string): Fault {
  const what = key === undefined ? 'no such key' : `no key ${quoteName(key)}`;
  const where = path === undefined ? '' : ` in ${path}`;
  return new Fault('ERR_TEMPLATE_MISSING_KEY', () => {
    const found = isRecord(holder) ? keysNote(holder) : `it is ${typeName(holder)}`;
    return `there is ${what}${where} (${found})`;
  });
}

/** Longest part of a template that an error repeats. */
const MAX_SUBJECT = 200;

/** Puts template, line, column and the thing as written in front of a fault. Other errors pass unchanged. */
export function locate(error: unknown, template: string, at: Position, subject: string): unknown {
  if (!(error instanceof Fault)) return error;
  return new VouchsafeError(
    error.code,
    `${template}:${at.line}:${at.column}: ${shortened(subject, MAX_SUBJECT)}: ${error.describe()}`,
    { details: { template, line: at.line, column: at.column } },
  );
}
