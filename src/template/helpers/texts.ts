/**
 * Helpers for text and its encodings. Ring: template.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { encodeJson } from '../encode.ts';
import { Fault, valueFault } from '../fault.ts';
import { pure, type Helper, type HelperCall } from '../helper.ts';
import { scalarText } from '../values.ts';

/** Longest text that a helper makes, in UTF-16 units. */
export const MAX_TEXT_LENGTH = 16 * 1024 * 1024;

export const TEXTS: readonly Helper[] = [
  pure({
    name: 'base64Encode',
    usage: 'base64Encode text',
    description: 'Base64 of the text.',
    args: [1, 1],
    run: (call) => Buffer.from(call.bytes(0)).toString('base64'),
  }),
  pure({
    name: 'base64Decode',
    usage: 'base64Decode text',
    description:
      'What Base64 stands for. If that is not UTF-8 text, it must be all that the template prints: a binary file.',
    args: [1, 1],
    run: (call) => decode(call.text(0), /^[A-Za-z0-9+/]*={0,2}$/, 'Base64'),
  }),
  pure({
    name: 'base64UrlEncode',
    usage: 'base64UrlEncode text',
    description: 'Base64 for URLs, without padding.',
    args: [1, 1],
    run: (call) => Buffer.from(call.bytes(0)).toString('base64url'),
  }),
  pure({
    name: 'base64UrlDecode',
    usage: 'base64UrlDecode text',
    description: 'What Base64 for URLs stands for; otherwise like `base64Decode`.',
    args: [1, 1],
    run: (call) => decode(call.text(0), /^[A-Za-z0-9_-]*={0,2}$/, 'Base64 for URLs'),
  }),
  pure({
    name: 'sha256',
    usage: 'sha256 text',
    description: 'SHA-256 in hexadecimal.',
    args: [1, 1],
    run: (call) => createHash('sha256').update(call.bytes(0)).digest('hex'),
  }),
  pure({
    name: 'text',
    usage: 'text value',
    description: 'Text as it is, null as nothing, lists and objects as JSON.',
    args: [1, 1],
    run: ({ args: [value] }) => scalarText(value) ?? (value === null ? '' : encodeJson(value)),
  }),
  pure({
    name: 'trim',
    usage: 'trim text',
    description: 'The text without white space at its ends.',
    args: [1, 1],
    run: (call) => call.text(0).trim(),
  }),
  pure({
    name: 'trimPrefix',
    usage: 'trimPrefix text prefix',
    description: 'The text without that beginning.',
    args: [2, 2],
    run: (call) => {
      const [text, prefix] = [call.text(0), call.text(1)];
      return text.startsWith(prefix) ? text.slice(prefix.length) : text;
    },
  }),
  pure({
    name: 'trimSuffix',
    usage: 'trimSuffix text suffix',
    description: 'The text without that ending.',
    args: [2, 2],
    run: (call) => {
      const [text, suffix] = [call.text(0), call.text(1)];
      return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
    },
  }),
  pure({
    name: 'indent',
    usage: 'indent text spaces',
    description: 'The text with every line that is not empty set in by that many spaces.',
    args: [2, 2],
    run: (call) => {
      const pad = ' '.repeat(call.integer(1, 0, 100));
      const lines = call.text(0).split('\n');
      return joined(
        lines.map((line) => (line === '' ? line : pad + line)),
        '\n',
      );
    },
  }),
  pure({
    name: 'replace',
    usage: 'replace text from to',
    description: 'The text with every occurrence of `from` replaced by `to`. No patterns.',
    args: [3, 3],
    run: (call) => joined(call.text(0).split(call.nonEmpty(1)), call.text(2)),
  }),
  pure({
    name: 'split',
    usage: 'split text separator',
    description: 'The parts between separators, as a list.',
    args: [2, 2],
    run: (call) => call.text(0).split(call.nonEmpty(1)),
  }),
  pure({
    name: 'join',
    usage: 'join list separator',
    description: 'The items of a list as one text.',
    args: [2, 2],
    run: (call) => {
      const items = call.list(0);
      const texts = items.map((item) => scalarText(item) ?? call.refuse('an item', item, 'text'));
      return joined(texts, call.text(1));
    },
  }),
  pure({
    name: 'concat',
    usage: 'concat text [text ...]',
    description: 'All texts put together: `(concat "kvv2/" name)`.',
    args: [1, Infinity],
    run: (call) => joined(allTexts(call), ''),
  }),
  pure({
    name: 'lower',
    usage: 'lower text',
    description: 'The text in lower case.',
    args: [1, 1],
    run: (call) => call.text(0).toLowerCase(),
  }),
  pure({
    name: 'upper',
    usage: 'upper text',
    description: 'The text in upper case.',
    args: [1, 1],
    run: (call) => call.text(0).toUpperCase(),
  }),
  pure({
    name: 'startsWith',
    usage: 'startsWith text prefix',
    description: 'True if the text begins so.',
    args: [2, 2],
    run: (call) => call.text(0).startsWith(call.text(1)),
  }),
  pure({
    name: 'endsWith',
    usage: 'endsWith text suffix',
    description: 'True if the text ends so.',
    args: [2, 2],
    run: (call) => call.text(0).endsWith(call.text(1)),
  }),
];

function allTexts(call: HelperCall): string[] {
  return call.args.map((_, index) => call.text(index));
}

/** `Array.join` that looks at the length before it makes the text. */
function joined(parts: readonly string[], separator: string): string {
  const length = parts.reduce((sum, part) => sum + part.length, separator.length * parts.length);
  if (length > MAX_TEXT_LENGTH) {
    throw new Fault('ERR_TEMPLATE_LIMIT', 'the text would grow beyond 16 MiB');
  }
  return parts.join(separator);
}

/** Text where the bytes are UTF-8, else the bytes. Line breaks within Base64 are common and skipped. */
function decode(text: string, alphabet: RegExp, name: string): string | Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (!alphabet.test(digits) || digits.replace(/=+$/, '').length % 4 === 1) {
    throw valueFault(`argument 1 is not ${name}`);
  }
  const bytes = Buffer.from(digits, 'base64');
  return isUtf8(bytes) ? bytes.toString('utf8') : new Uint8Array(bytes);
}
