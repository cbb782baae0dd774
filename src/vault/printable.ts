/**
 * Makes Vault's own words fit for a message of ours.
 */
import type { Secret } from '../core/index.ts';

/** Longest quotation, in characters. */
const MAX_LENGTH = 300;
/** How much of a text is looked at, in characters. */
const MAX_LOOKED_AT = 4096;

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
  // The word at the cut is dropped, for it may be a credential that is too short to be known as one.
  if (result.length > MAX_LOOKED_AT) result = result.slice(0, MAX_LOOKED_AT).replace(/\S+$/, '');
  result = result
    .replace(CREDENTIALS, '[redacted]')
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\s]+/gu, ' ')
    .trim();
  return result.length <= MAX_LENGTH ? result : `${result.slice(0, MAX_LENGTH - 1)}…`;
}
