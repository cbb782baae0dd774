/**
 * Successful responses that hold no value, and what they hold instead.
 */
import { isNumber, isRecord, Secret } from '../core/index.ts';
import { stringAt, type JsonObject } from './json.ts';
import { printable } from './printable.ts';

/** Why a response is not usable, as the rest of a sentence about it: `is not a JSON object`. Never a secret. */
export interface ResponseProblem {
  /**
   * `malformed`: it is probably not Vault's. `no-value`: it is a success without a value. `wrapped`: it has a wrapping token
   * instead of a value.
   */
  readonly kind: 'malformed' | 'no-value' | 'wrapped';
  readonly what: string;
}

/** Members that Vault sends in every response of a secrets engine or auth method. */
const ENVELOPE = ['request_id', 'lease_id', 'data', 'auth', 'wrap_info'] as const;

/** Longest path or accessor in a message, in characters. */
const MAX_NAME = 120;

/** Most warnings of Vault that a message quotes. */
const MAX_QUOTED = 2;

/** False for JSON that has none of the members that Vault sends with a value. */
export function hasEnvelope(body: JsonObject): boolean {
  return ENVELOPE.some((name) => Object.hasOwn(body, name));
}

/**
 * The problem of a response whose value is wrapped: the value can only be had for the wrapping token, once, and with a control group
 * only after an approval. Names what was wrapped, never the token.
 *
 * @see https://developer.hashicorp.com/vault/docs/concepts/response-wrapping
 * @see https://developer.hashicorp.com/vault/docs/enterprise/control-groups
 */
export function wrappingProblem(body: JsonObject | undefined): ResponseProblem | undefined {
  const info = body?.['wrap_info'];
  if (!isRecord(info) || stringAt(info, 'token') === '') return undefined;
  const token = new Secret(stringAt(info, 'token'));
  const name = (member: string): string =>
    printable(stringAt(info, member), [token]).slice(0, MAX_NAME);
  const facts = [
    ['creation path', name('creation_path')],
    ['accessor of the wrapped token', name('wrapped_accessor')],
  ].flatMap(([what = '', value = '']) => (value === '' ? [] : [`${what} ${value}`]));
  const about = facts.length === 0 ? '' : ` (${facts.join(', ')})`;
  const what = `is wrapped${about}: it has a wrapping token instead of a value. Either a control group requires that people approve each request, or a proxy forces wrapping (X-Vault-Wrap-TTL)`;
  return { kind: 'wrapped', what };
}

/** Vault's own warnings for the end of a message. */
export function quoteWarnings(warnings: readonly string[]): string {
  return warnings.length === 0 ? '' : `; Vault warned: ${warnings.slice(0, MAX_QUOTED).join('; ')}`;
}

/**
 * What the bytes are, if they are what Vault's PKI and SSH engines send instead of JSON.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7468
 */
export function bareKindOf(bytes: Uint8Array): 'PEM' | 'DER' | 'an SSH public key' | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 256));
  const text = start.toString('latin1').trimStart();
  if (text.startsWith('-----BEGIN ')) return 'PEM';
  if (/^(ssh|ecdsa|sk)-[\w@.-]+ AAAA/.test(text)) return 'an SSH public key';
  return isDer(start, bytes.byteLength) ? 'DER' : undefined;
}

/** One sequence of ASN.1 in its long form that takes all of the bytes. */
function isDer(start: Uint8Array, length: number): boolean {
  const [tag, size = 0] = start;
  const digits = size - 0x80;
  if (tag !== 0x30 || digits < 1 || digits > 4) return false;
  const content = start.subarray(2, 2 + digits).reduce((sum, byte) => sum * 256 + byte, 0);
  return 2 + digits + content === length;
}

/** True if the member is a number, also as text. */
export function hasNumber(parent: JsonObject, name: string): boolean {
  const value = parent[name];
  return isNumber(value) || (typeof value === 'string' && /^\d+$/.test(value));
}
