/**
 * Values as JSON, YAML or TOML: one walk, three dialects. Ring: template.
 *
 * @see RFC 8259, https://yaml.org/spec/1.2.2/, https://toml.io/en/v1.0.0
 */
import { Fault, valueFault } from './fault.ts';
import { isList, isRecord, typeName } from './values.ts';

/** Deeper values are refused: nothing reads them, and the walk recurses. */
const MAX_DEPTH = 100;
/** Most values within a value, and most characters. A template can make lists that hold each other many times. */
const MAX_VALUES = 100_000;
const MAX_LENGTH = 16 * 1024 * 1024;

interface Dialect {
  readonly scalar: (value: unknown) => string;
  readonly list: readonly [open: string, close: string];
  readonly record: readonly [open: string, close: string];
  readonly comma: string;
  readonly pair: string;
  /** Spaces by which each level is set in; 0 writes all on one line. */
  readonly indent: number;
}

const JSON_DIALECT: Dialect = {
  scalar: jsonScalar,
  list: ['[', ']'],
  record: ['{', '}'],
  comma: ',',
  pair: ':',
  indent: 0,
};

const YAML: Dialect = { ...JSON_DIALECT, scalar: yamlScalar, comma: ', ', pair: ': ' };

const TOML: Dialect = { ...YAML, scalar: tomlScalar, record: ['{ ', ' }'], pair: ' = ' };

/** JSON, equal to what `JSON.stringify` gives; `indent` 0 is compact. */
export function encodeJson(value: unknown, indent = 0): string {
  const dialect = indent > 0 ? { ...JSON_DIALECT, pair: ': ', indent } : JSON_DIALECT;
  return new Encoder(dialect).flow(value, 0).text;
}

/** YAML that fits on one line (flow style), read alike by YAML 1.1 and 1.2. Text is always quoted. */
export function encodeYaml(value: unknown): string {
  return new Encoder(YAML).flow(value, 0).text;
}

/** YAML in block style, a line for each value. */
export function encodeYamlBlock(value: unknown): string {
  return new Encoder(YAML).block(value, 0).text;
}

/** A TOML value: text, number, boolean, array or inline table. TOML has no null. */
export function encodeToml(value: unknown): string {
  return new Encoder(TOML).flow(value, 0).text;
}

/** Writes one value. */
class Encoder {
  readonly #dialect: Dialect;
  #text = '';
  #values = 0;

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  get text(): string {
    return this.#text;
  }

  /** With brackets and braces. */
  flow(value: unknown, depth: number): this {
    this.#enter(depth);
    const { scalar, list, record, pair } = this.#dialect;
    if (isList(value)) {
      return this.#enclose(list, value.map(itemOf), depth);
    }
    if (isRecord(value)) {
      const members = Object.entries(value).map(
        ([key, item]) => [scalar(key) + pair, item] as const,
      );
      return this.#enclose(record, members, depth);
    }
    return this.#put(scalar(value));
  }

  /** YAML's lines, set in by two spaces a level. What is empty or no collection is written as in flow style. */
  block(value: unknown, depth: number): this {
    this.#enter(depth);
    const lines = isList(value) ? value.map(dashOf) : isRecord(value) ? membersOf(value) : [];
    if (lines.length === 0) return this.flow(value, depth);
    for (const [index, [label, item]] of lines.entries()) {
      this.#put(`${index === 0 ? '' : '\n'}${'  '.repeat(depth)}${label}`);
      if (isFilled(item)) this.#put('\n').block(item, depth + 1);
      else this.#put(' ').flow(item, depth + 1);
    }
    return this;
  }

  #enclose(
    [open, close]: readonly [string, string],
    items: readonly Labelled[],
    depth: number,
  ): this {
    if (items.length === 0) return this.#put(`${open.trim()}${close.trim()}`);
    this.#put(open);
    for (const [index, [label, item]] of items.entries()) {
      if (index > 0) this.#put(this.#dialect.comma);
      this.#breakLine(depth + 1)
        .#put(label)
        .flow(item, depth + 1);
    }
    return this.#breakLine(depth).#put(close);
  }

  #breakLine(depth: number): this {
    const { indent } = this.#dialect;
    return indent === 0 ? this : this.#put(`\n${' '.repeat(indent * depth)}`);
  }

  #put(text: string): this {
    this.#text += text;
    if (this.#text.length <= MAX_LENGTH) return this;
    throw new Fault('ERR_TEMPLATE_LIMIT', 'the text would grow beyond 16 MiB');
  }

  #enter(depth: number): void {
    if (depth > MAX_DEPTH) throw valueFault(`the value is nested deeper than ${MAX_DEPTH}`);
    this.#values += 1;
    if (this.#values <= MAX_VALUES) return;
    throw new Fault('ERR_TEMPLATE_LIMIT', `the value holds more than ${MAX_VALUES} values`);
  }
}

/** An item of a collection with what is written in front of it. */
type Labelled = readonly [label: string, item: unknown];

function itemOf(item: unknown): Labelled {
  return ['', item];
}

function dashOf(item: unknown): Labelled {
  return ['-', item];
}

function membersOf(value: Readonly<Record<string, unknown>>): Labelled[] {
  return Object.entries(value).map(([key, item]) => [`${yamlKey(key)}:`, item]);
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
