/**
 * The file of an environment variable, in the syntax that the kubelet reads: `KEY='value'`. Within the quotes everything is
 * literal, line breaks too, and nothing can be escaped.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.35.0/pkg/kubelet/util/env/env_util.go
 */
import { VouchsafeError } from '../core/index.ts';

/** Longest value, in bytes: the limit of Kubernetes, a quarter of what Linux allows. */
export const MAX_VALUE_BYTES = 32 * 1024;

/**
 * The file with one variable.
 *
 * @throws VouchsafeError `ERR_ENV_VALUE` if the kubelet would not read the same value; the error has the variable's name.
 */
export function envFile(name: string, value: string | Uint8Array): Uint8Array {
  const text = typeof value === 'string' ? value : decoded(value);
  const problem = text === undefined ? 'is not valid UTF-8' : problemOf(text);
  if (problem !== undefined) {
    const message = `the value of the variable ${name} ${problem}: deliver it as a file, or change it with env-template-${name}`;
    throw new VouchsafeError('ERR_ENV_VALUE', message, { details: { variable: name } });
  }
  return Buffer.from(`${name}='${text}'\n`);
}

/** Why the kubelet would read something else, or nothing. */
function problemOf(text: string): string | undefined {
  if (text === '') return 'is empty, which the kubelet treats as missing';
  if (text.includes('\0')) return 'has a NUL character, which no variable can have';
  if (text.includes("'")) return 'has a single quote, which the kubelet cannot read';
  if (text.includes('\r\n')) {
    return 'has a carriage return before a line feed, which the kubelet drops';
  }
  if (!text.isWellFormed()) return 'is not well-formed Unicode';
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_VALUE_BYTES) return undefined;
  return `has ${bytes} bytes; the maximum is ${MAX_VALUE_BYTES}`;
}

function decoded(value: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    return undefined;
  }
}
