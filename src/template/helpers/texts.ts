/**
 * Helpers for text and its encodings.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { encodeJson } from '../encode.ts';
import { valueFault } from '../fault.ts';
import { pure, type Helper, type HelperCall } from '../helper.ts';
import { countOccurrences, Search } from '../search.ts';
import { TextBuilder } from '../text-builder.ts';
import { scalarText } from '../values.ts';
import { unitBytes, type WorkBudget } from '../work.ts';

/** Fixed cost of a SHA-256, in steps. */
const HASH_STEPS = 30;

export const TEXTS: readonly Helper[] = [
  pure({
    name: 'base64Encode',
    usage: 'base64Encode text',
    description: 'Base64 of the text.',
    args: [1, 1],
    run: (call) => encode(call, 'base64'),
  }),
  pure({
    name: 'base64Decode',
    usage: 'base64Decode text',
    description:
      'The decoded Base64. If it is not UTF-8 text, it must be the only output of the template: a binary file.',
    args: [1, 1],
    run: (call) => decode(call, BASE64, 'Base64'),
  }),
  pure({
    name: 'base64UrlEncode',
    usage: 'base64UrlEncode text',
    description: 'Base64 for URLs, without padding.',
    args: [1, 1],
    run: (call) => encode(call, 'base64url'),
  }),
  pure({
    name: 'base64UrlDecode',
    usage: 'base64UrlDecode text',
    description: 'The decoded Base64 for URLs; otherwise like `base64Decode`.',
    args: [1, 1],
    run: (call) => decode(call, BASE64_URL, 'Base64 for URLs'),
  }),
  pure({
    name: 'sha256',
    usage: 'sha256 text',
    description: 'SHA-256 in hexadecimal.',
    args: [1, 1],
    run: (call) => {
      const [value] = call.args;
      call.work.step(HASH_STEPS);
      const bytes = value instanceof Uint8Array ? call.bytes(0) : call.text(0);
      return createHash('sha256').update(bytes).digest('hex');
    },
  }),
  pure({
    name: 'text',
    usage: 'text value',
    description: 'Text as it is, null as nothing, lists and objects as JSON.',
    args: [1, 1],
    run: ({ args: [value], work }) =>
      scalarText(value) ?? (value === null ? '' : encodeJson(value, 0, work)),
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
    description: 'The text without this prefix.',
    args: [2, 2],
    run: (call) => {
      const [text, prefix] = [call.text(0), call.text(1)];
      return text.startsWith(prefix) ? text.slice(prefix.length) : text;
    },
  }),
  pure({
    name: 'trimSuffix',
    usage: 'trimSuffix text suffix',
    description: 'The text without this suffix.',
    args: [2, 2],
    run: (call) => {
      const [text, suffix] = [call.text(0), call.text(1)];
      return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
    },
  }),
  pure({
    name: 'indent',
    usage: 'indent text spaces',
    description: 'The text with every non-empty line indented by that many spaces.',
    args: [2, 2],
    run: (call) => {
      const pad = ' '.repeat(call.integer(1, 0, 100));
      return setIn(call.work, call.text(0), pad);
    },
  }),
  pure({
    name: 'replace',
    usage: 'replace text from to',
    description: 'The text with every occurrence of `from` replaced by `to`; no patterns.',
    args: [3, 3],
    run: (call) => replaced(call.work, call.text(0), call.nonEmpty(1), call.text(2)),
  }),
  pure({
    name: 'split',
    usage: 'split text separator',
    description: 'The parts between separators, as a list.',
    args: [2, 2],
    run: (call) => parts(call.work, call.text(0), call.nonEmpty(1)),
  }),
  pure({
    name: 'join',
    usage: 'join list separator',
    description: 'The items of a list as one text.',
    args: [2, 2],
    run: (call) => {
      const items = call.list(0);
      call.work.step(items.length);
      const texts = items.map((item) => scalarText(item) ?? call.reject('an item', item, 'text'));
      return joined(call.work, texts, call.text(1));
    },
  }),
  pure({
    name: 'concat',
    usage: 'concat text [text ...]',
    description: 'All texts joined: `(concat "kvv2/" name)`.',
    args: [1, Infinity],
    run: (call) => joined(call.work, allTexts(call), ''),
  }),
  pure({
    name: 'lower',
    usage: 'lower text',
    description: 'The text in lower case.',
    args: [1, 1],
    run: (call) => {
      const text = call.text(0);
      call.work.make(caseBytes(call.work, text));
      return text.toLowerCase();
    },
  }),
  pure({
    name: 'upper',
    usage: 'upper text',
    description: 'The text in upper case.',
    args: [1, 1],
    run: (call) => {
      const text = call.text(0);
      call.work.make(caseBytes(call.work, text));
      return text.toUpperCase();
    },
  }),
  pure({
    name: 'startsWith',
    usage: 'startsWith text prefix',
    description: 'True if the text starts with the prefix.',
    args: [2, 2],
    run: (call) => call.text(0).startsWith(call.text(1)),
  }),
  pure({
    name: 'endsWith',
    usage: 'endsWith text suffix',
    description: 'True if the text ends with the suffix.',
    args: [2, 2],
    run: (call) => call.text(0).endsWith(call.text(1)),
  }),
];

function allTexts(call: HelperCall): string[] {
  return call.args.map((_, index) => call.text(index));
}

/** `Array.join`. */
function joined(work: WorkBudget, parts: readonly string[], separator: string): string {
  if (parts.length === 1) return parts[0] ?? '';
  const length = parts.reduce((sum, part) => sum + part.length, separator.length * parts.length);
  work.make(length * unitBytes([separator, ...parts]));
  return parts.join(separator);
}

function setIn(work: WorkBudget, text: string, pad: string): string {
  let filled = 0;
  for (const [start, end] of lines(text)) {
    work.step(1);
    if (end > start) filled += 1;
  }
  if (filled === 0 || pad === '') return text;
  work.make((text.length + filled * pad.length) * unitBytes([text]));
  const builder = new TextBuilder(work);
  for (const [start, end] of lines(text)) {
    if (end > start) builder.add(pad);
    builder.add(text.slice(start, end + 1));
  }
  return builder.text;
}

/** The start of each line, and the index of its line feed or the end of the text. */
function* lines(text: string): Generator<readonly [start: number, end: number]> {
  let start = 0;
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
    yield [start, end];
    start = end + 1;
  }
  yield [start, text.length];
}

function replaced(work: WorkBudget, text: string, from: string, to: string): string {
  const count = countOccurrences(work, text, from);
  if (count === 0) return text;
  work.make((text.length + count * (to.length - from.length)) * unitBytes([text, to]));
  const search = new Search(work, text, from);
  const builder = new TextBuilder(work);
  let start = 0;
  for (let at = search.next(); at >= 0; at = search.next()) {
    builder.add(text.slice(start, at));
    builder.add(to);
    start = at + from.length;
  }
  builder.add(text.slice(start));
  return builder.text;
}

/** `String.split`. */
function parts(work: WorkBudget, text: string, separator: string): readonly string[] {
  work.makeItems(countOccurrences(work, text, separator) + 1);
  const search = new Search(work, text, separator);
  const found: string[] = [];
  let start = 0;
  for (let at = search.next(); at >= 0; at = search.next()) {
    found.push(text.slice(start, at));
    start = at + separator.length;
  }
  found.push(text.slice(start));
  return found;
}

/** Upper bound of the bytes after a case conversion: one character can become three, with two bytes each. */
function caseBytes(work: WorkBudget, text: string): number {
  const isPlain = Buffer.byteLength(text) === text.length;
  return isPlain ? text.length : 2 * (text.length + 2 * growing(work, text));
}

/** Counts characters that a case conversion may expand, such as `ß` and `ﬃ`. */
function growing(work: WorkBudget, text: string): number {
  let count = 0;
  for (const _ of text.matchAll(
    /[\u00df\u0130\u0149\u01f0\u0390\u03b0\u0587\u1e96-\u1e9a\u1f50-\u1fff\ufb00-\ufb17]/g,
  )) {
    work.step(1);
    count += 1;
  }
  return count;
}

function encode(call: HelperCall, encoding: 'base64' | 'base64url'): string {
  const bytes = call.bytes(0);
  call.work.make(4 * Math.ceil(bytes.length / 3));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(encoding);
}

/** Digits and white space, then at most two `=`. */
const BASE64 = /^[A-Za-z0-9+/\s]*(?:=\s*){0,2}$/;
const BASE64_URL = /^[A-Za-z0-9_\-\s]*(?:=\s*){0,2}$/;

/** Text if the bytes are UTF-8, otherwise the bytes. Line breaks within Base64 are common, and skipped. */
function decode(call: HelperCall, shape: RegExp, name: string): string | Uint8Array {
  const text = call.text(0);
  const digits = shape.test(text) ? countDigits(text) : undefined;
  if (digits === undefined || digits % 4 === 1) throw valueFault(`argument 1 is not ${name}`);
  const length = Math.floor((digits * 3) / 4);
  call.work.make(length);
  const bytes = Buffer.from(text, 'base64'); // skips white space
  if (!isUtf8(bytes)) {
    call.work.make(length);
    return new Uint8Array(bytes);
  }
  call.work.make(isAscii(bytes) ? length : 2 * length);
  return bytes.toString('utf8');
}

/** Counts characters that are neither white space nor padding. */
function countDigits(text: string): number {
  let digits = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit > SPACE && unit < DELETE && unit !== EQUALS) digits += 1;
  }
  return digits;
}

const SPACE = 0x20;
const EQUALS = 0x3d;
const DELETE = 0x7f;
