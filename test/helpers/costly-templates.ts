/**
 * Templates and documents that are made to cost as much as they can. Which arguments a helper takes is found out by
 * trying, so that a helper that is added later is attacked as well.
 */
import {
  checkTemplate,
  parseTemplate,
  renderTemplate,
  TEMPLATE_HELPERS,
} from '../../src/template/index.ts';

const LONG = 2 * 1024 * 1024;
const MANY = 50_000;

const few = Array.from({ length: 300 }, (_, index) => `k${index}`);
const record = (names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(names.map((name) => [name, 'v']));

/** Values by kind: the first of each is short, and finds out who takes the kind. */
const KINDS: Readonly<Record<string, readonly unknown[]>> = {
  text: [
    'abc',
    'a'.repeat(LONG),
    '\n'.repeat(LONG),
    'é"\'<\\'.repeat(LONG / 8),
    'ß😀\u0001'.repeat(LONG / 16),
    'x\n'.repeat(LONG / 2),
    ' '.repeat(LONG),
  ],
  needle: ['b', `${'a'.repeat(5_000)}b`, `b${'a'.repeat(200_000)}`, 'a', 'aa'],
  base64: ['YWJj', 'YWJj'.repeat(LONG / 4), 'Y W J j\n'.repeat(LONG / 8), '4oKs'.repeat(LONG / 8)],
  json: [
    '{"a":[1]}',
    `{${Array.from({ length: MANY }, (_, index) => `"n${index}":[]`).join()}}`,
    '['.repeat(LONG),
    `[${'{},'.repeat(LONG / 3)}0]`,
    `"${'\\u20ac'.repeat(LONG / 8)}"`,
  ],
  number: ['12', 3, '9'.repeat(400), 1e300],
  list: [
    ['a', 'b'],
    Array(MANY).fill('a'),
    Array(MANY).fill('a'.repeat(5_001)),
    few,
    Array(1_000).fill(few),
  ],
  record: [
    { a: 'b' },
    record(few),
    record(Array.from({ length: MANY }, (_, index) => `n${index}`)),
    { ['k'.repeat(LONG)]: 'v' },
  ],
};

/** The document of all costly templates: `@root.text.[1]` is the second text. */
export const COSTLY_DOCUMENT: Readonly<Record<string, unknown>> = { ...KINDS, few };

const kindNames = Object.keys(KINDS);
/** Integers that helpers want written out. */
const LITERALS = ['0', '100'];
/** Kinds that differ by type. */
const TYPES = ['text', 'list', 'record', '0'];

/** The kinds of arguments that each helper accepts, found by calling it with a short value of each. */
function acceptedCalls(): readonly (readonly string[])[] {
  const candidates = [
    ...tuples([...kindNames, ...LITERALS], 2),
    ...tuples(TYPES, 3).filter((one) => one.length === 3),
  ];
  return TEMPLATE_HELPERS.flatMap(({ name }) =>
    candidates.map((args) => [name, ...args]).filter(accepts),
  );
}

function tuples(names: readonly string[], most: number): readonly (readonly string[])[] {
  if (most === 0) return [[]];
  const shorter = tuples(names, most - 1);
  const longest = shorter.filter((one) => one.length === most - 1);
  return [...shorter, ...longest.flatMap((one) => names.map((name) => [...one, name]))];
}

function accepts(call: readonly string[]): boolean {
  const source = `{{#if (${call.map((part) => reference(part, 0)).join(' ')})}}{{/if}}`;
  if (checkTemplate(source, 't').problems.length > 0) return false;
  try {
    renderTemplate(parseTemplate(source, 't'), { root: COSTLY_DOCUMENT, lookup: () => undefined });
    return true;
  } catch {
    return false;
  }
}

/** How a template names a value of a kind. */
export function reference(part: string, index: number): string {
  return kindNames.includes(part) ? `@root.${part}.[${index}]` : part;
}

export const VALUES_OF_A_KIND = 5;
/** A helper and the kinds of its arguments. */
export const COSTLY_CALLS = acceptedCalls();
