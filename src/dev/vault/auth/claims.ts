/**
 * Finds claims in a token and compares them with what a role is bound to.
 */
import { asList, asObject } from '../core/fields.ts';
import { Refusal, type Json } from '../core/messages.ts';

/** The payload of a verified token. */
export type Claims = Json;

/** How bound claims are compared. */
export type ClaimsType = 'string' | 'glob';

/**
 * A claim by name, or by JSON pointer where the name starts with a slash.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6901
 */
export function findClaim(claims: Claims, name: string): unknown {
  if (!name.startsWith('/')) return claims[name];
  return name
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(
      (value, part) =>
        Array.isArray(value) ? asList(value)[Number(part)] : asObject(value)?.[part],
      claims,
    );
}

/** A claim that must be a string. @throws Refusal 400 */
export function claimText(claims: Claims, name: string, isPointer: boolean): string {
  const value = isPointer ? findClaim(claims, name) : claims[name];
  if (value === undefined) throw new Refusal(400, `claim "${name}" not found in token`);
  if (typeof value === 'string') return value;
  throw new Refusal(400, `claim "${name}" could not be converted to string`);
}

/** Each bound claim must have one of its values. @throws Refusal 400 that names the claim. */
export function checkBoundClaims(claims: Claims, bound: Json, type: ClaimsType): void {
  for (const [name, expected] of Object.entries(bound)) {
    const actual = findClaim(claims, name);
    if (actual === undefined) {
      throw new Refusal(400, `error validating claims: claim "${name}" is missing`);
    }
    const allowed = asList(expected);
    if (!asList(actual).some((value) => allowed.some((wish) => equals(wish, value, type)))) {
      throw new Refusal(
        400,
        `error validating claims: claim "${name}" does not match any associated bound claim values`,
      );
    }
  }
}

/** Whether a text matches a pattern in which `*` stands for any characters, including slashes. */
export function matchesGlob(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return pattern === text;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

function equals(expected: unknown, actual: unknown, type: ClaimsType): boolean {
  if (type === 'string') return expected === actual;
  return (
    typeof expected === 'string' && typeof actual === 'string' && matchesGlob(expected, actual)
  );
}
