/**
 * Helpers that write a value so that the reader of a file format gets exactly that value back. Ring: template.
 */
import { encodeJson, encodeToml, encodeYaml, encodeYamlBlock } from '../encode.ts';
import { valueFault } from '../fault.ts';
import { pure, type Helper } from '../helper.ts';
import { quoteName } from '../values.ts';

export const ESCAPES: readonly Helper[] = [
  pure({
    name: 'json',
    usage: 'json value [indent=2]',
    description: 'Any value as JSON; on several lines with `indent`.',
    args: [1, 1],
    hash: ['indent'],
    run: (call) =>
      encodeJson(call.args[0], call.hash.has('indent') ? call.integer('indent', 0, 10) : 0),
  }),
  pure({
    name: 'yaml',
    usage: 'yaml value [block=true]',
    description:
      'Any value as YAML that reads back identically: quoted text, or flow style on one line; one line for each value with `block`.',
    args: [1, 1],
    hash: ['block'],
    run: (call) => (call.flag('block') ? encodeYamlBlock : encodeYaml)(call.args[0]),
  }),
  pure({
    name: 'toml',
    usage: 'toml value',
    description: 'Any value but null as a TOML value; objects become inline tables.',
    args: [1, 1],
    run: (call) => encodeToml(call.args[0]),
  }),
  pure({
    name: 'dotenv',
    usage: 'dotenv text',
    description:
      'Text as the value of a `KEY=value` line, quoted where needed. A POSIX shell reads every value back exactly, and so do dotenv parsers.',
    args: [1, 1],
    run: (call) => dotenv(withoutNul(call.text(0), 'An environment variable')),
  }),
  pure({
    name: 'envKeys',
    usage: 'envKeys object',
    description:
      'The object, if all its keys can be names of environment variables; else an error.',
    args: [1, 1],
    run: (call) => {
      const object = call.record(0);
      const wrong = Object.keys(object).filter((key) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(key));
      if (wrong.length === 0) return object;
      const names = wrong.slice(0, 20).map(quoteName).join(', ');
      throw valueFault(
        `these keys cannot be names of environment variables: ${names}; rename them, or pick others in a template of your own`,
      );
    },
  }),
  pure({
    name: 'properties',
    usage: 'properties text [key=true]',
    description: 'Text as a value of a Java properties file, or as a key with `key=true`.',
    args: [1, 1],
    hash: ['key'],
    run: (call) => properties(call.text(0), call.flag('key')),
  }),
  pure({
    name: 'shell',
    usage: 'shell text',
    description: 'Text as one word of a POSIX shell, in single quotes.',
    args: [1, 1],
    run: (call) => `'${withoutNul(call.text(0), 'A shell word').replaceAll("'", "'\\''")}'`,
  }),
  pure({
    name: 'url',
    usage: 'url text',
    description: 'Text percent-encoded as one component of a URL: a password, a query value.',
    args: [1, 1],
    run: (call) => {
      const text = call.text(0);
      if (!text.isWellFormed()) throw valueFault('a URL cannot hold half a surrogate pair');
      return encodeURIComponent(text).replace(/[!'()*]/g, percent);
    },
  }),
  pure({
    name: 'xml',
    usage: 'xml text',
    description: 'Text as the content of an XML element or attribute.',
    args: [1, 1],
    run: (call) => xml(call.text(0)),
  }),
  pure({
    name: 'pgpass',
    usage: 'pgpass text',
    description: 'Text as a field of a PostgreSQL password file.',
    args: [1, 1],
    run: (call) => {
      const text = withoutNul(call.text(0), 'A .pgpass field');
      if (/[\r\n]/.test(text)) throw valueFault('a .pgpass field cannot hold a line break');
      return text.replace(/[\\:]/g, '\\$&');
    },
  }),
];

/**
 * Single quotes are read literally everywhere, double quotes without `$`, `` ` ``, `"` and `\` too. What is left
 * (text with an apostrophe and one of those, or a backslash at its end) is written with the shell's escapes,
 * which most dotenv parsers know.
 */
function dotenv(text: string): string {
  if (/^[\w@%+=:,./-]*$/.test(text)) return text;
  if (!text.includes("'") && !text.endsWith('\\')) return `'${text}'`;
  return `"${text.replace(/[\\"$`]/g, '\\$&')}"`;
}

/** @see https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html#load-java.io.Reader- */
function properties(text: string, isKey: boolean): string {
  const escaped = text
    .replace(/[\\=:#!]/g, '\\$&')
    .replace(/\n/g, '\\n')
    .replace(/\r/g, '\\r')
    .replace(/\t/g, '\\t')
    .replace(/\f/g, '\\f')
    .replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return escaped.replace(isKey ? / /g : /^ /, '\\ ');
}

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
function xml(text: string): string {
  if (!text.isWellFormed() || /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text)) {
    throw valueFault('XML cannot hold a control character that is in the text');
  }
  return text.replace(/[&<>"'\t\n\r]/g, (character) => XML_ENTITIES[character] ?? character);
}

function withoutNul(text: string, what: string): string {
  if (text.includes('\0')) throw valueFault(`${what} cannot hold a NUL character`);
  return text;
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
