/**
 * Where the manual explains an error.
 */
import { ERROR_TABLE } from '../core/index.ts';

/** A remedy for a message that begins with an error code. The message is another process's, so any other code is ignored. */
export function errorPage(message: string): string {
  const [code = ''] = /^ERR_[A-Z0-9_]+/.exec(message) ?? [];
  const anchor = Object.hasOwn(ERROR_TABLE, code) ? `#${code.toLowerCase()}` : '';
  return `see docs/reference/errors.md${anchor}`;
}
