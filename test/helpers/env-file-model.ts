/**
 * A model of how the kubelet reads one variable from a file, written from its documented syntax and independent of the code
 * that writes such files.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/kubelet/util/env/env_util.go
 */

/** The value of `key`; empty if it is not there, which the kubelet treats as missing. */
export function readVariable(file: Uint8Array, key: string): string {
  const lines = linesOf(Buffer.from(file).toString('utf8'));
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const text = line.replace(/^[ \t]+/, '');
    if (text === '' || text.startsWith('#')) continue;
    const equals = text.indexOf('=');
    const name = text.slice(0, equals);
    if (equals < 1 || /[ \t]$/.test(name)) throw new Error('malformed name');
    const given = text.slice(equals + 1);
    if (/^[ \t]/.test(given)) {
      if (name === key) return '';
      continue;
    }
    if (!given.startsWith("'")) throw new Error('not quoted');
    const value = quoted(given.slice(1), lines);
    if (name === key) return value;
  }
  return '';
}

/** Up to the closing quote, perhaps on a later line. */
function quoted(first: string, lines: string[]): string {
  let value = '';
  for (let rest: string | undefined = first; rest !== undefined; rest = lines.shift()) {
    const end = rest.indexOf("'");
    if (end < 0) {
      value += `${rest}\n`;
      continue;
    }
    const after = rest.slice(end + 1).replace(/^[ \t]+/, '');
    if (after !== '' && !after.startsWith('#')) throw new Error('content after the quote');
    return value + rest.slice(0, end);
  }
  throw new Error('unclosed quote');
}

/** The longest line that Go's bufio.Scanner reads. */
const MAX_LINE_BYTES = 64 * 1024;

/** As Go's bufio.ScanLines: without a carriage return at the end, and without an empty last line. */
function linesOf(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) {
    if (Buffer.byteLength(line) >= MAX_LINE_BYTES) throw new Error('token too long');
  }
  return lines.map((line) => line.replace(/\r$/, ''));
}
