/**
 * Helpers that encode a value so that a parser of the file format reads back the same value.
 */
import { escapeUnits, unicodeEscape, type Escape } from '../escape-units.ts';
import { encodeJson, encodeToml, encodeYaml, encodeYamlBlock } from '../encode.ts';
import { valueFault } from '../fault.ts';
import { pure, type Helper } from '../helper.ts';
import { quoteName } from '../values.ts';
import { textBytes, type WorkBudget } from '../work.ts';

export const ESCAPES: readonly Helper[] = [
  pure({
    name: 'json',
    usage: 'json value [indent=2]',
    description: 'Any value as JSON; on several lines with `indent`.',
    args: [1, 1],
    hash: ['indent'],
    run: (call) =>
      encodeJson(
        call.args[0],
        call.hash.has('indent') ? call.integer('indent', 0, 10) : 0,
        call.work,
      ),
  }),
  pure({
    name: 'yaml',
    usage: 'yaml value [block=true]',
    description:
      'Any value as YAML that reads back identically: quoted text, or flow style on one line; one line for each value with `block`.',
    args: [1, 1],
    hash: ['block'],
    run: (call) => (call.flag('block') ? encodeYamlBlock : encodeYaml)(call.args[0], call.work),
  }),
  pure({
    name: 'toml',
    usage: 'toml value',
    description: 'Any value but null as a TOML value; objects become inline tables.',
    args: [1, 1],
    run: (call) => encodeToml(call.args[0], call.work),
  }),
  pure({
    name: 'dotenv',
    usage: 'dotenv text',
    description:
      'Text as the value of a `KEY=value` line, quoted where needed. A POSIX shell reads every value back exactly, and so do dotenv parsers.',
    args: [1, 1],
    run: (call) => dotenv(call.work, withoutNul(call.text(0), 'An environment variable')),
  }),
  pure({
    name: 'envKeys',
    usage: 'envKeys object',
    description:
      'The object, if all its keys are valid names of environment variables; otherwise an error.',
    args: [1, 1],
    run: (call) => {
      const object = call.record(0);
      const invalid = call.keys(0).filter((key) => {
        call.work.read(key.length);
        return !/^[A-Za-z_][A-Za-z0-9_]*$/.test(key);
      });
      if (invalid.length === 0) return object;
      const names = invalid.slice(0, 20).map(quoteName).join(', ');
      throw valueFault(
        `these keys are not valid names of environment variables: ${names}; rename them, or pick others in a template of your own`,
      );
    },
  }),
  pure({
    name: 'properties',
    usage: 'properties text [key=true]',
    description: 'Text as a value of a Java properties file, or as a key with `key=true`.',
    args: [1, 1],
    hash: ['key'],
    run: (call) => properties(call.work, call.text(0), call.flag('key')),
  }),
  pure({
    name: 'shell',
    usage: 'shell text',
    description: 'Text as one word of a POSIX shell, in single quotes.',
    args: [1, 1],
    run: (call) => {
      const word = withoutNul(call.text(0), 'A shell word');
      return enclosed(call.work, "'", escapeUnits(call.work, word, /'/, shellQuote));
    },
  }),
  pure({
    name: 'url',
    usage: 'url text',
    description: 'Text percent-encoded as one component of a URL: a password, a query value.',
    args: [1, 1],
    run: (call) => {
      const text = call.text(0);
      if (!text.isWellFormed()) throw valueFault('a URL cannot contain a lone surrogate');
      return percentEncoded(call.work, text);
    },
  }),
  pure({
    name: 'xml',
    usage: 'xml text',
    description: 'Text as the content of an XML element or attribute.',
    args: [1, 1],
    run: (call) => xml(call.work, call.text(0)),
  }),
  pure({
    name: 'pgpass',
    usage: 'pgpass text',
    description: 'Text as a field of a PostgreSQL password file.',
    args: [1, 1],
    run: (call) => {
      const text = withoutNul(call.text(0), 'A .pgpass field');
      if (/[\r\n]/.test(text)) throw valueFault('a .pgpass field cannot contain a line break');
      return escapeUnits(call.work, text, /[\\:]/, behindBackslash('\\:'));
    },
  }),
];

/**
 * Single-quoted text is literal everywhere, and so is double-quoted text without `$`, `` ` ``, `"` and `\`. Other text
 * (an apostrophe and one of these, or a backslash at the end) is written with the shell's escapes, which most dotenv
 * parsers support.
 */
function dotenv(work: WorkBudget, text: string): string {
  if (/^[\w@%+=:,./-]*$/.test(text)) return text;
  if (!text.includes("'") && !text.endsWith('\\')) return enclosed(work, "'", text);
  return enclosed(work, '"', escapeUnits(work, text, /[\\"$`]/, behindBackslash('\\"$`')));
}

/** @see https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html#load-java.io.Reader- */
function properties(work: WorkBudget, text: string, isKey: boolean): string {
  const special = isKey ? /[^!-~]|[\\=:#!]/ : /[^ -~]|[\\=:#!]|^ /;
  return escapeUnits(work, text, special, (unit, at) => {
    if (unit === SPACE) return isKey || at === 0 ? '\\ ' : undefined;
    const character = String.fromCharCode(unit);
    if ('\\=:#!'.includes(character)) return `\\${character}`;
    if (unit > SPACE && unit < DELETE) return undefined;
    return PROPERTY_ESCAPES[character] ?? unicodeEscape(unit);
  });
}

const SPACE = 0x20;
const DELETE = 0x7f;

const PROPERTY_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
};

const XML_ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  // Parsers turn these into spaces or line feeds unless they are references.
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/** @see https://www.w3.org/TR/xml/#charsets */
function xml(work: WorkBudget, text: string): string {
  if (!text.isWellFormed() || /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text)) {
    throw valueFault('the text has a control character that XML cannot contain');
  }
  return escapeUnits(work, text, /[&<>"'\t\n\r]/, (unit) =>
    unit > GREATER ? undefined : XML_ENTITIES[String.fromCharCode(unit)],
  );
}

/** The last unit that has an entity. */
const GREATER = 0x3e;

/** Escapes these characters with a backslash. */
function behindBackslash(characters: string): Escape {
  return (unit) => {
    const character = String.fromCharCode(unit);
    return characters.includes(character) ? `\\${character}` : undefined;
  };
}

const APOSTROPHE = 0x27;

/** A quote within single quotes: close, an escaped quote, reopen. */
function shellQuote(unit: number): string | undefined {
  return unit === APOSTROPHE ? "'\\''" : undefined;
}

function enclosed(work: WorkBudget, quote: string, text: string): string {
  work.make(textBytes(text) + 2);
  return [quote, text, quote].join('');
}

function withoutNul(text: string, what: string): string {
  if (text.includes('\0')) throw valueFault(`${what} cannot contain a NUL character`);
  return text;
}

/** Encodes every byte as `%XX`, except the unreserved characters of RFC 3986. */
function percentEncoded(work: WorkBudget, text: string): string {
  if (/^[\w.~-]*$/.test(text)) return text;
  work.make(Buffer.byteLength(text));
  const bytes = Buffer.from(text, 'utf8');
  const escaped = bytes.reduce((count, byte) => (isUnreserved(byte) ? count : count + 1), 0);
  work.step(escaped);
  work.make(2 * (bytes.length + 2 * escaped));
  const units = Buffer.alloc(bytes.length + 2 * escaped);
  let end = 0;
  for (const byte of bytes) {
    if (isUnreserved(byte)) {
      units[end] = byte;
      end += 1;
    } else {
      units[end] = PERCENT;
      units[end + 1] = HEX.charCodeAt(byte >> 4);
      units[end + 2] = HEX.charCodeAt(byte & 15);
      end += 3;
    }
  }
  return units.toString('latin1');
}

const HEX = '0123456789ABCDEF';
const PERCENT = 0x25;
const UNRESERVED = new Set(Buffer.from('-._~'));

function isUnreserved(byte: number): boolean {
  const isDigit = byte >= 0x30 && byte <= 0x39;
  const letter = byte | 0x20;
  return isDigit || (byte < 0x80 && letter >= 0x61 && letter <= 0x7a) || UNRESERVED.has(byte);
}
