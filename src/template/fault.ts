/**
 * A problem found while rendering, before its position in the template is added.
 */
import { VouchsafeError } from '../core/index.ts';
import type { Position } from './position.ts';
import { isRecord, keysNote, quoteName, shortened, typeName } from './values.ts';

/** The error codes of rendering. */
export type FaultCode = 'ERR_TEMPLATE_MISSING_KEY' | 'ERR_TEMPLATE_VALUE' | 'ERR_TEMPLATE_LIMIT';

/** Thrown by helpers and lookups. Its message names types and keys, never a value. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly #message: string | (() => string);

  /** Pass a function for a message that is expensive to build; it runs only when the message is read. */
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

/** `ERR_TEMPLATE_VALUE`: a value that cannot be used here. */
export function valueFault(message: string | (() => string)): Fault {
  return new Fault('ERR_TEMPLATE_VALUE', message);
}

/**
 * `ERR_TEMPLATE_MISSING_KEY`: `key` is not in `holder`, the data at the Vault path `path`. Pass no key if it was
 * computed: it may be a secret.
 */
export function missingKey(holder: unknown, key?: string, path?: string): Fault {
  const what = key === undefined ? 'no such key' : `no key ${quoteName(key)}`;
  const where = path === undefined ? '' : ` in ${path}`;
  return new Fault('ERR_TEMPLATE_MISSING_KEY', () => {
    const found = isRecord(holder) ? keysNote(holder) : `it is ${typeName(holder)}`;
    return `there is ${what}${where} (${found})`;
  });
}

/** Longest part of a template that an error quotes, in characters. */
const MAX_SUBJECT = 200;

/** Turns a fault into an error with template, line, column and subject. Other errors pass unchanged. */
export function locate(error: unknown, template: string, at: Position, subject: string): unknown {
  if (!(error instanceof Fault)) return error;
  return new VouchsafeError(
    error.code,
    `${template}:${at.line}:${at.column}: ${shortened(subject, MAX_SUBJECT)}: ${error.describe()}`,
    { details: { template, line: at.line, column: at.column } },
  );
}
