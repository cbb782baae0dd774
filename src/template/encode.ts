/**
 * Encodes values as JSON, YAML or TOML: one walk, three dialects.
 *
 * @see RFC 8259, https://yaml.org/spec/1.2.2/, https://toml.io/en/v1.0.0
 */
import { NumberText } from '../core/index.ts';
import { escapeUnits, unicodeEscape } from './escape-units.ts';
import { Fault, valueFault } from './fault.ts';
import { MAX_DEPTH } from './parse-json.ts';
import { TextBuilder } from './text-builder.ts';
import { isList, isRecord, typeName } from './values.ts';
import { unitBytes, WorkBudget } from './work.ts';

/** Limit of nested values. A template can create lists that contain each other many times. */
const MAX_VALUES = 100_000;
/** Steps charged for each value, in addition to those for its text. */
const VALUE_STEPS = 4;

interface Dialect {
  readonly scalar: (value: unknown, work: WorkBudget) => string;
  readonly list: readonly [open: string, close: string];
  readonly record: readonly [open: string, close: string];
  readonly comma: string;
  readonly pair: string;
  /** Spaces of indentation for each level; 0 writes one line. */
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
export function encodeJson(value: unknown, indent = 0, work = new WorkBudget()): string {
  const dialect = indent > 0 ? { ...JSON_DIALECT, pair: ': ', indent } : JSON_DIALECT;
  return new Encoder(dialect, work).flow(value, 0).text;
}

/** YAML that fits on one line (flow style), read alike by YAML 1.1 and 1.2. Text is always quoted. */
export function encodeYaml(value: unknown, work = new WorkBudget()): string {
  return new Encoder(YAML, work).flow(value, 0).text;
}

/** YAML in block style, a line for each value. */
export function encodeYamlBlock(value: unknown, work = new WorkBudget()): string {
  return new Encoder(YAML, work).block(value, 0).text;
}

/** A TOML value: text, number, boolean, array or inline table. TOML has no null. */
export function encodeToml(value: unknown, work = new WorkBudget()): string {
  return new Encoder(TOML, work).flow(value, 0).text;
}

/** Writes one value. */
class Encoder {
  readonly #dialect: Dialect;
  readonly #work: WorkBudget;
  readonly #text: TextBuilder;
  #values = 0;

  constructor(dialect: Dialect, work: WorkBudget) {
    this.#dialect = dialect;
    this.#work = work;
    this.#text = new TextBuilder(work);
  }

  get text(): string {
    return this.#text.text;
  }

  /** With brackets and braces. */
  flow(value: unknown, depth: number): this {
    this.#enter(depth);
    const { scalar, list, record, pair } = this.#dialect;
    if (isList(value)) {
      return this.#enclose(list, value, depth, (item) => this.flow(item, depth + 1));
    }
    if (!isRecord(value)) return this.#add(scalar(value, this.#work));
    return this.#enclose(record, this.#keys(value), depth, (key) =>
      this.#add(scalar(key, this.#work))
        .#put(pair)
        .flow(value[key], depth + 1),
    );
  }

  /** YAML block style, indented by two spaces. Scalars and empty collections are written in flow style. */
  block(value: unknown, depth: number): this {
    if (!isFilled(value)) return this.flow(value, depth);
    this.#enter(depth);
    const indent = '  '.repeat(depth);
    let separator = '';
    const line = (label: string, item: unknown): void => {
      this.#put(separator).#put(indent).#add(label);
      if (isFilled(item)) this.#put('\n').block(item, depth + 1);
      else this.#put(' ').flow(item, depth + 1);
      separator = '\n';
    };
    if (isList(value)) for (const item of value) line('-', item);
    else for (const key of this.#keys(value)) line(`${yamlKey(key, this.#work)}:`, value[key]);
    return this;
  }

  #enclose<T>(
    [open, close]: readonly [string, string],
    items: readonly T[],
    depth: number,
    write: (item: T) => void,
  ): this {
    if (items.length === 0) return this.#put(open.trim()).#put(close.trim());
    const { comma, indent } = this.#dialect;
    const inner = lineBreak(indent, depth + 1);
    let separator = open + inner;
    for (const item of items) {
      this.#put(separator);
      write(item);
      separator = comma + inner;
    }
    return this.#put(lineBreak(indent, depth) + close);
  }

  #keys(record: Readonly<Record<string, unknown>>): readonly string[] {
    const keys = Object.keys(record);
    this.#work.step(VALUE_STEPS * keys.length);
    return keys;
  }

  #put(text: string): this {
    this.#work.make(text.length);
    return this.#add(text);
  }

  /** Adds text that is already charged for. */
  #add(text: string): this {
    this.#text.add(text);
    return this;
  }

  #enter(depth: number): void {
    if (depth > MAX_DEPTH) throw valueFault(`the value is nested deeper than ${MAX_DEPTH}`);
    this.#values += 1;
    this.#work.step(VALUE_STEPS);
    if (this.#values <= MAX_VALUES) return;
    throw new Fault(
      'ERR_TEMPLATE_LIMIT',
      `the value contains more than ${MAX_VALUES} values; write parts of it`,
    );
  }
}

type Collection = readonly unknown[] | Readonly<Record<string, unknown>>;

function lineBreak(indent: number, depth: number): string {
  return indent === 0 ? '' : `\n${' '.repeat(indent * depth)}`;
}

function isFilled(value: unknown): value is Collection {
  if (isList(value)) return value.length > 0;
  return isRecord(value) && Object.keys(value).length > 0;
}

/** A string in double quotes with JSON's escapes; charges for it. */
function quoted(text: string, work: WorkBudget): string {
  if (text.length <= SHORT_TEXT_CHARS) return charged(work, JSON.stringify(text));
  work.make(quotedBytes(text, work));
  return JSON.stringify(text);
}

/** Bytes of a string in double quotes with JSON's escapes. */
export function quotedBytes(text: string, work: WorkBudget): number {
  work.read(text.length);
  return (text.length + 2 + escapedExtra(text)) * unitBytes([text]);
}

/** By how much JSON's escapes lengthen a string: one for escapes with a letter, five for `\\uXXXX`. */
function escapedExtra(text: string): number {
  if (!/["\\\u0000-\u001f\ud800-\udfff]/.test(text)) return 0;
  let extra = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === 0x22 || unit === 0x5c) extra += 1;
    else if (unit < 0x20) extra += '\b\f\n\r\t'.includes(String.fromCharCode(unit)) ? 1 : 5;
    else if (isLone(text, at)) extra += 5;
  }
  return extra;
}

/** Whether a lone surrogate is at this index. */
function isLone(text: string, at: number): boolean {
  const kind = text.charCodeAt(at) & 0xfc00;
  if (kind === 0xd800) return (text.charCodeAt(at + 1) & 0xfc00) !== 0xdc00;
  return kind === 0xdc00 && (at === 0 || (text.charCodeAt(at - 1) & 0xfc00) !== 0xd800);
}

function jsonScalar(value: unknown, work: WorkBudget): string {
  return typeof value === 'string' ? quoted(value, work) : charged(work, plainOr(value, 'JSON'));
}

function yamlScalar(value: unknown, work: WorkBudget): string {
  if (typeof value === 'string') return yamlText(value, work);
  // YAML 1.1 reads 1e21 as a string; a number requires a dot, and a sign of the exponent.
  return charged(work, plainOr(value, 'YAML').replace(EXPONENT, withDotAndSign));
}

const EXPONENT = /^(-?\d+)(\.\d+)?[eE]([+-]?)(?=\d)/;

function withDotAndSign(_: string, whole: string, fraction = '.0', sign = '+'): string {
  return `${whole}${fraction}e${sign || '+'}`;
}

/** A double-quoted scalar. Also escapes the characters that YAML, unlike JSON, does not call printable. */
function yamlText(text: string, work: WorkBudget): string {
  const json = quoted(wellFormed(text, 'YAML'), work);
  return escapeUnits(work, json, NOT_PRINTABLE, (unit) =>
    isPrintable(unit) ? undefined : unicodeEscape(unit),
  );
}

const NOT_PRINTABLE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/;

function isPrintable(unit: number): boolean {
  if (unit < 0x7f) return true;
  return unit > 0x9f && unit !== 0x2028 && unit !== 0x2029 && unit !== 0xfeff && unit < 0xfffe;
}

/** A key, without quotes if every version of YAML reads it as a string. */
function yamlKey(key: string, work: WorkBudget): string {
  const isPlain =
    /^[A-Za-z_][\w-]*$/.test(key) && !/^(?:y|yes|n|no|on|off|true|false|null)$/i.test(key);
  return isPlain ? charged(work, key) : yamlText(key, work);
}

function tomlScalar(value: unknown, work: WorkBudget): string {
  if (typeof value === 'string') {
    const json = quoted(wellFormed(value, 'TOML'), work);
    return escapeUnits(work, json, /\u007f/, (unit) =>
      unit === 0x7f ? unicodeEscape(unit) : undefined,
    );
  }
  if (value === null) throw valueFault('TOML has no null; omit the key, or use default');
  return charged(work, checkedForToml(plainOr(value, 'TOML')));
}

/** A reader would change a number beyond the range, or reject the file. */
function checkedForToml(number: string): string {
  const isWhole = /^-?\d+$/.test(number);
  if (isWhole && (number.length > 20 || BigInt.asIntN(64, BigInt(number)) !== BigInt(number))) {
    throw valueFault(
      'TOML integers have 64 bits; encode a larger number as text: toml (text value)',
    );
  }
  if (isWhole || Number.isFinite(Number(number)) || !/\d/.test(number)) return number;
  throw valueFault('TOML floats have 64 bits; encode a larger number as text: toml (text value)');
}

/** Strings up to this length are charged for after they are created. */
const SHORT_TEXT_CHARS = 100;

/** Charges for a short string that already exists. */
function charged(work: WorkBudget, text: string): string {
  work.make(text.length);
  return text;
}

/** Constants and numbers, which are the same in all dialects. */
function plainOr(value: unknown, format: string): string {
  if (value === null) return 'null';
  return typeof value === 'boolean' || value instanceof NumberText
    ? String(value)
    : finite(value, format);
}

function finite(value: unknown, format: string): string {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  const what = typeof value === 'number' ? 'a number that is not finite' : typeName(value);
  throw valueFault(`${format} cannot represent ${what}`);
}

function wellFormed(text: string, format: string): string {
  if (text.isWellFormed()) return text;
  throw valueFault(`${format} cannot represent text with a lone surrogate`);
}
