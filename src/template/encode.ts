/**
 * Values as JSON, YAML or TOML: one walk, three dialects. Ring: template.
 *
 * @see RFC 8259, https://yaml.org/spec/1.2.2/, https://toml.io/en/v1.0.0
 */
import { valueFault } from './fault.ts';
import { isList, isRecord, typeName } from './values.ts';

/** Deeper values are refused: nothing reads them, and the walk recurses. */
const MAX_DEPTH = 100;

interface Dialect {
  scalar(value: unknown): string;
  readonly list: readonly [open: string, close: string];
  readonly record: readonly [open: string, close: string];
  readonly comma: string;
  readonly pair: string;
  /** Spaces by which each level is set in; 0 writes all on one line. */
  readonly indent: number;
}

/** JSON, equal to what `JSON.stringify` gives; `indent` 0 is compact. */
export function encodeJson(value: unknown, indent = 0): string {
  const dialect: Dialect = {
    scalar: jsonScalar,
    list: ['[', ']'],
    record: ['{', '}'],
    comma: ',',
    pair: indent > 0 ? ': ' : ':',
    indent,
  };
  return write(value, dialect, 0);
}

const YAML: Dialect = {
  scalar: yamlScalar,
  list: ['[', ']'],
  record: ['{', '}'],
  comma: ', ',
  pair: ': ',
  indent: 0,
};

/** YAML that fits on one line (flow style), read alike by YAML 1.1 and 1.2. Text is always quoted. */
export function encodeYaml(value: unknown): string {
  return write(value, YAML, 0);
}

/** YAML in block style, a line for each value. */
export function encodeYamlBlock(value: unknown): string {
  return yamlBlock(value, 0);
}

const TOML: Dialect = {
  scalar: tomlScalar,
  list: ['[', ']'],
  record: ['{ ', ' }'],
  comma: ', ',
  pair: ' = ',
  indent: 0,
};

/** A TOML value: text, number, boolean, array or inline table. TOML has no null. */
export function encodeToml(value: unknown): string {
  return write(value, TOML, 0);
}

function write(value: unknown, dialect: Dialect, depth: number): string {
  if (depth > MAX_DEPTH) throw valueFault(`the value is nested deeper than ${MAX_DEPTH}`);
  if (isList(value)) {
    const items = value.map((item) => write(item, dialect, depth + 1));
    return enclose(items, dialect.list, dialect, depth);
  }
  if (isRecord(value)) {
    const items = Object.entries(value).map(
      ([key, item]) => `${dialect.scalar(key)}${dialect.pair}${write(item, dialect, depth + 1)}`,
    );
    return enclose(items, dialect.record, dialect, depth);
  }
  return dialect.scalar(value);
}

function enclose(
  items: readonly string[],
  [open, close]: readonly [string, string],
  dialect: Dialect,
  depth: number,
): string {
  if (items.length === 0) return `${open.trim()}${close.trim()}`;
  if (dialect.indent === 0) return `${open}${items.join(dialect.comma)}${close}`;
  const outer = ' '.repeat(dialect.indent * depth);
  const inner = `${outer}${' '.repeat(dialect.indent)}`;
  return `${open}\n${items.map((item) => inner + item).join(',\n')}\n${outer}${close}`;
}

function yamlBlock(value: unknown, depth: number): string {
  if (depth > MAX_DEPTH) throw valueFault(`the value is nested deeper than ${MAX_DEPTH}`);
  const pad = '  '.repeat(depth);
  const below = (item: unknown): string =>
    isFilled(item) ? `\n${yamlBlock(item, depth + 1)}` : ` ${encodeYaml(item)}`;
  if (isList(value) && value.length > 0) {
    return value.map((item) => `${pad}-${below(item)}`).join('\n');
  }
  if (isRecord(value) && isFilled(value)) {
    return Object.entries(value)
      .map(([key, item]) => `${pad}${yamlKey(key)}:${below(item)}`)
      .join('\n');
  }
  return encodeYaml(value);
}

function isFilled(value: unknown): boolean {
  if (isList(value)) return value.length > 0;
  return isRecord(value) && Object.keys(value).length > 0;
}

function jsonScalar(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return plainScalar(value) ?? finite(value, 'JSON');
}

function yamlScalar(value: unknown): string {
  if (typeof value === 'string') return yamlText(value);
  const plain = plainScalar(value);
  if (plain !== undefined) return plain;
  // YAML 1.1 reads 1e+21 as text; it wants a dot.
  return finite(value, 'YAML').replace(/^(-?\d+)e/, '$1.0e');
}

/** A double-quoted scalar. What JSON leaves as it is but YAML does not call printable is escaped. */
function yamlText(text: string): string {
  const quoted = JSON.stringify(wellFormed(text, 'YAML'));
  return quoted.replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, escapeUnit);
}

/** A key without quotes where every version of YAML reads it as text. */
function yamlKey(key: string): string {
  const isPlain =
    /^[A-Za-z_][\w-]*$/.test(key) && !/^(?:y|yes|n|no|on|off|true|false|null)$/i.test(key);
  return isPlain ? key : yamlText(key);
}

function tomlScalar(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(wellFormed(value, 'TOML')).replace(/\u007f/g, escapeUnit);
  }
  if (value === null) throw valueFault('TOML has no null; leave the key out, or use default');
  const plain = plainScalar(value);
  if (plain !== undefined) return plain;
  const number = finite(value, 'TOML');
  // Integers end at 64 bits; what is larger is written as a float.
  const isLarge = typeof value === 'number' && Math.abs(value) >= 2 ** 63;
  return isLarge && /^-?\d+$/.test(number) ? `${number}.0` : number;
}

/** Constants and big integers, which all dialects write alike. */
function plainScalar(value: unknown): string | undefined {
  if (value === null) return 'null';
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  return undefined;
}

function finite(value: unknown, format: string): string {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  const what = typeof value === 'number' ? 'a number that is not finite' : typeName(value);
  throw valueFault(`${format} cannot hold ${what}`);
}

function wellFormed(text: string, format: string): string {
  if (text.isWellFormed()) return text;
  throw valueFault(`${format} cannot hold text with half a surrogate pair`);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
