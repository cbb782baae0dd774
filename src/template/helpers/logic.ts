/**
 * Helpers that compare, choose and handle collections.
 */
import { compareNumbers, isNumber } from '../../core/index.ts';
import { valueFault } from '../fault.ts';
import { choice, pure, type Helper, type HelperCall } from '../helper.ts';
import { isSameNumber, numberIn, requiredNumber } from '../numbers.ts';
import { parseJson } from '../parse-json.ts';
import { Search } from '../search.ts';
import { isAbsent, isList, isRecord, isTruthy, keysNote, readKey, scalarText } from '../values.ts';
import { unitBytes } from '../work.ts';

export const LOGIC: readonly Helper[] = [
  choice({
    name: 'default',
    usage: 'default value [value ...] fallback',
    description:
      'The first value that is neither missing, null nor empty text, otherwise the last.',
    args: [2, Infinity],
    stopsAt: (value) => !isAbsent(value),
  }),
  pure({
    name: 'required',
    usage: 'required value ["message"]',
    description: 'The value; an error with the message if it is missing, null or empty text.',
    args: [1, 2],
    lenient: true,
    literal: [1],
    run: (call) => {
      if (!isAbsent(call.args[0])) return call.args[0];
      throw valueFault(call.args.length > 1 ? call.text(1) : 'a value is required here');
    },
  }),
  choice({
    name: 'and',
    usage: 'and value value [value ...]',
    description: 'The first value that is false as for `if`, otherwise the last.',
    args: [2, Infinity],
    stopsAt: (value) => !isTruthy(value),
  }),
  choice({
    name: 'or',
    usage: 'or value value [value ...]',
    description: 'The first value that is true as for `if`, otherwise the last.',
    args: [2, Infinity],
    stopsAt: isTruthy,
  }),
  pure({
    name: 'not',
    usage: 'not value',
    description: 'True if the value is false as for `if`.',
    args: [1, 1],
    lenient: true,
    run: (call) => !isTruthy(call.args[0]),
  }),
  pure({
    name: 'eq',
    usage: 'eq a b',
    description:
      'True if both print the same, or are the same number: `(eq port 5432)` holds for 5432, "5432" and 5432.0.',
    args: [2, 2],
    run: isEqual,
  }),
  pure({
    name: 'ne',
    usage: 'ne a b',
    description: 'The opposite of `eq`.',
    args: [2, 2],
    run: (call) => !isEqual(call),
  }),
  order('lt', 'less than', (sign) => sign < 0),
  order('le', 'less than or equal to', (sign) => sign <= 0),
  order('gt', 'greater than', (sign) => sign > 0),
  order('ge', 'greater than or equal to', (sign) => sign >= 0),
  pure({
    name: 'contains',
    usage: 'contains container value',
    description: 'True if a text contains that part, a list that item, or an object that key.',
    args: [2, 2],
    run: (call) => {
      const [container] = call.args;
      const part = call.text(1);
      if (isList(container)) return container.some((item) => isSame(call, item, part));
      if (isRecord(container)) return Object.hasOwn(container, part);
      const text = call.text(0);
      return part === '' || new Search(call.work, text, part).next() >= 0;
    },
  }),
  pure({
    name: 'length',
    usage: 'length value',
    description: 'The number of characters of a text, items of a list or keys of an object.',
    args: [1, 1],
    run: (call) => {
      const [value] = call.args;
      if (isList(value)) return value.length;
      return isRecord(value) ? call.keys(0).length : characters(call.text(0));
    },
  }),
  pure({
    name: 'keys',
    usage: 'keys object',
    description: 'The keys of an object, as a list in the order of Vault’s answer.',
    args: [1, 1],
    run: (call) => {
      const keys = call.keys(0);
      call.work.makeItems(keys.length);
      return keys;
    },
  }),
  pure({
    name: 'lookup',
    usage: 'lookup container key',
    description: 'The value of a key that is computed, or an item of a list by its number.',
    args: [2, 2],
    run: (call) => {
      const [container, key] = call.args;
      // As an index, 1.0 is 1.
      const isIndex = isList(container) && isNumber(key);
      return call.property(container, isIndex ? String(Number(key)) : call.text(1));
    },
  }),
  pure({
    name: 'first',
    usage: 'first list',
    description: 'The first item of a list.',
    args: [1, 1],
    run: (call) => item(call, 0),
  }),
  pure({
    name: 'last',
    usage: 'last list',
    description: 'The last item of a list.',
    args: [1, 1],
    run: (call) => item(call, -1),
  }),
  pure({
    name: 'single',
    usage: 'single value',
    description: 'The value; of an object with one key, that key’s value.',
    args: [1, 1],
    run: (call) => {
      const [value] = call.args;
      if (!isRecord(value)) return value;
      const keys = call.keys(0);
      const [key] = keys;
      if (key !== undefined && keys.length === 1) return readKey(value, key);
      throw valueFault(`one value is required; select it with path#key (${keysNote(value)})`);
    },
  }),
  pure({
    name: 'list',
    usage: 'list value [value ...]',
    description: 'A list of the values.',
    args: [1, Infinity],
    run: (call) => {
      call.work.makeItems(call.args.length);
      return call.args;
    },
  }),
  pure({
    name: 'object',
    usage: 'object key=value [key=value ...]',
    description: 'An object of the parameters: `{{json (object user=db.username)}}`.',
    args: [0, 0],
    hash: 'any',
    run: (call) => {
      call.work.makeKeys(call.hash.size);
      return Object.fromEntries(call.hash);
    },
  }),
  pure({
    name: 'merge',
    usage: 'merge object object [object ...]',
    description: 'One object with the keys of all; later ones take precedence.',
    args: [2, Infinity],
    run: (call) => Object.fromEntries(allEntries(call)),
  }),
  pure({
    name: 'pick',
    usage: 'pick object key [key ...]',
    description: 'The object with only these keys, all of which must exist.',
    args: [2, Infinity],
    run: (call) => {
      const object = call.record(0);
      const names = call.args.slice(1).map((_, index) => call.text(index + 1));
      call.work.makeKeys(names.length);
      return Object.fromEntries(names.map((name) => [name, call.property(object, name)]));
    },
  }),
  pure({
    name: 'omit',
    usage: 'omit object key [key ...]',
    description: 'The object without these keys.',
    args: [2, Infinity],
    run: (call) => {
      const names = new Set(call.args.slice(1).map((_, index) => call.text(index + 1)));
      return Object.fromEntries(entries(call, 0).filter(([key]) => !names.has(key)));
    },
  }),
  pure({
    name: 'parseJson',
    usage: 'parseJson text',
    description: 'The value of a JSON text.',
    args: [1, 1],
    run: (call) => parseJson(call.work, call.text(0)),
  }),
  pure({
    name: 'parseNumber',
    usage: 'parseNumber text',
    description: 'The number in a text, with its digits, for `json`, `yaml` and `toml`.',
    args: [1, 1],
    run: (call) => requiredNumber(call.args[0]),
  }),
];

/** Whether an item of a list equals the second argument, which prints as `expected`. */
function isSame({ args, work }: HelperCall, item: unknown, expected: string): boolean {
  work.step(1);
  const text = scalarText(item);
  if (isNumber(item) && isSameNumber(item, args[1])) return true;
  if (text?.length !== expected.length) return false;
  work.read(expected.length);
  return text === expected;
}

/** Characters of a text: a surrogate pair is one. */
function characters(text: string): number {
  if (unitBytes([text]) === 1) return text.length;
  let pairs = 0;
  for (let at = 1; at < text.length; at += 1) {
    const isPair =
      (text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;
    if (isPair) pairs += 1;
  }
  return text.length - pairs;
}

/** The members of an object, charged for as those of a new object. */
function* entries(
  call: HelperCall,
  index: number,
): Generator<readonly [key: string, value: unknown], undefined, undefined> {
  const record = call.record(index);
  const keys = call.keys(index);
  call.work.makeKeys(keys.length);
  for (const key of keys) yield [key, readKey(record, key)];
}

/** The members of all objects among the arguments. */
function* allEntries(call: HelperCall): ReturnType<typeof entries> {
  for (const index of call.args.keys()) yield* entries(call, index);
}

function isEqual(call: HelperCall): boolean {
  const [a, b] = call.args;
  return printed(call, 0) === printed(call, 1) || isSameNumber(a, b);
}

/** The text that `eq` compares. Null equals only null; lists and objects are rejected. */
function printed(call: HelperCall, index: number): string | null {
  return call.args[index] === null ? null : call.text(index);
}

function order(name: string, words: string, accepts: (sign: number) => boolean): Helper {
  return pure({
    name,
    usage: `${name} a b`,
    description: `True if a is ${words} b; by number if both are numbers (also as text), else as text.`,
    args: [2, 2],
    run: (call) => {
      const [a, b] = [numberIn(call.args[0]), numberIn(call.args[1])];
      if (a !== undefined && b !== undefined) return accepts(compareNumbers(a, b));
      return accepts(sign(call.text(0), call.text(1)));
    },
  });
}

function sign(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function item(call: HelperCall, index: 0 | -1): unknown {
  const list = call.list(0);
  if (list.length > 0) return list.at(index);
  if (call.lenient) return undefined;
  throw valueFault('the list is empty');
}
