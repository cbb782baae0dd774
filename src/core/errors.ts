/**
 * The one error class.
 */
import { ERROR_TABLE, EXIT, type ErrorCode, type RetryClass } from './error-table.ts';
import type { LogLevel } from './logger.ts';

/** Machine-readable facts of an error. Never a secret, a body or an output of a template. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** Optional parts of a {@link VouchsafeError}. */
export interface ErrorOptions {
  /** The original error. Kept for debugging, never printed: its text may hold secrets. */
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
  /** The least time to wait before a retry, in milliseconds, as set by the peer (`Retry-After`). */
  readonly retryAfterMs?: number;
}

/** An error with a stable code, and a message that names what happened, the object and what to do. */
export class VouchsafeError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'VouchsafeError';
    this.code = code;
    this.details = options.details ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }

  get retry(): RetryClass {
    return ERROR_TABLE[this.code].retry;
  }

  get level(): LogLevel {
    return ERROR_TABLE[this.code].level;
  }

  get exitCode(): number {
    return ERROR_TABLE[this.code].exit;
  }

  /** The parts that a log line or a status page may show. */
  toJSON(): Record<string, unknown> {
    return { code: this.code, message: this.message, ...this.details };
  }
}

/**
 * Turns anything caught into a {@link VouchsafeError}: ours unchanged, anything else as `ERR_BUG`. Its message has
 * only the class of the original error, whose text may hold secrets.
 */
export function toVouchsafeError(error: unknown): VouchsafeError {
  if (error instanceof VouchsafeError) return error;
  const kind = error instanceof Error ? error.name : typeof error;
  return new VouchsafeError('ERR_BUG', `unexpected ${kind}; please report it`, { cause: error });
}

/** True for a {@link VouchsafeError} with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): boolean {
  return error instanceof VouchsafeError && codes.includes(error.code);
}

/**
 * True for the error of a read whose secret is certainly absent: it was never written, or its version was deleted. Not
 * where a mount, a namespace or a permission is missing.
 */
export function isAbsence(error: unknown): boolean {
  if (!(error instanceof VouchsafeError)) return false;
  return error.code === 'ERR_VAULT_NOT_FOUND' && error.details['absent'] === true;
}

/** The code of a system or Node error (`ENOENT`); undefined if it has none. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The exit code of a process that ends with this error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof VouchsafeError ? error.exitCode : EXIT.bug;
}
