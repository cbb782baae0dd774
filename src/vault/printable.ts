/**
 * Makes Vault's texts safe to quote in messages.
 */
import type { Secret } from '../core/index.ts';

/** Longest quotation, in characters. */
const MAX_LENGTH = 300;
/** How much of a text is examined, in characters. */
const MAX_EXAMINED = 4096;

/** JWTs, Vault tokens of old and new forms, and PEM blocks. */
const CREDENTIALS =
  /eyJ[\w-]*(\.[\w-]*)*|\b(hv[sbr]|[sbr])\.[\w.-]{20,}|-----BEGIN[\s\S]*?(-----END[^-]*-----|$)/g;

/**
 * Vault's error text on one line, without control characters, without anything that looks like a credential
 * and without the given secrets; at most 300 characters.
 */
export function printable(text: string, secrets: readonly Secret<string>[]): string {
  let result = text;
  for (const secret of secrets) {
    const value = secret.reveal().trim();
    if (value !== '') result = result.replaceAll(value, '[redacted]');
  }
  // The word at the cut is dropped: a truncated credential may not be recognised.
  if (result.length > MAX_EXAMINED) result = result.slice(0, MAX_EXAMINED).replace(/\S+$/, '');
  result = result
    .replace(CREDENTIALS, '[redacted]')
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\s]+/gu, ' ')
    .trim();
  return result.length <= MAX_LENGTH ? result : `${result.slice(0, MAX_LENGTH - 1)}…`;
}
