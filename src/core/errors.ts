/**
 * The one error class.
 */
import { ERROR_TABLE, EXIT, type ErrorCode, type RetryClass } from './error-table.ts';
import type { LogLevel } from './logger.ts';

/** Facts for machines that go with an error. Never a secret, a body or an output of a template. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** What a {@link VouchsafeError} may carry besides its message. */
export interface ErrorOptions {
  /** The foreign error behind it. Kept for debugging, never printed: its text is not ours. */
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
  /** The least time to wait before trying again, where the peer said so (`Retry-After`). */
  readonly retryAfterMs?: number;
}

/** An error of the product: a stable code, a message that says what, which object and what to do. */
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

  /** What a log line or a status page may show. */
  toJSON(): Record<string, unknown> {
    return { code: this.code, message: this.message, ...this.details };
  }
}

/**
 * Turns anything caught into a {@link VouchsafeError}: ours unchanged, anything else as `ERR_BUG`, whose
 * message is the class of the foreign error alone, because its text may hold what must not be printed.
 */
export function toVouchsafeError(error: unknown): VouchsafeError {
  if (error instanceof VouchsafeError) return error;
  const kind = error instanceof Error ? error.name : typeof error;
  return new VouchsafeError('ERR_BUG', `unexpected ${kind}; please report it`, { cause: error });
}

/** True for an error of ours with that code. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): boolean {
  return error instanceof VouchsafeError && codes.includes(error.code);
}

/** The stable code that Node gives an error of the system or of its own (`ENOENT`); undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The exit code that an error ends a process with. */
export function exitCodeOf(error: unknown): number {
  return error instanceof VouchsafeError ? error.exitCode : EXIT.bug;
}
