/** What costly templates render (costly-templates.ts): texts, lists and objects that are made to cost much. */
const LONG = 2 * 1024 * 1024;
const MANY = 50_000;

/** A text repeated, in one piece: V8 would put the pieces together within the first rendering that reads it. */
const repeat = (text: string, count: number): string => Buffer.from(text.repeat(count)).toString();

const few = Array.from({ length: 300 }, (_, index) => `k${index}`);
const record = (names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(names.map((name) => [name, 'v']));

/** Values by kind: the first of each is short, and finds out who takes the kind. */
export const KINDS: Readonly<Record<string, readonly unknown[]>> = {
  text: [
    'abc',
    repeat('a', LONG),
    repeat('\n', LONG),
    repeat('é"\'<\\', LONG / 8),
    repeat('ß😀\u0001', LONG / 16),
    repeat('x\n', LONG / 2),
    repeat(' ', LONG),
  ],
  needle: ['b', `${repeat('a', 5_000)}b`, `b${repeat('a', 200_000)}`, 'a', 'aa'],
  base64: [
    'YWJj',
    repeat('YWJj', LONG / 4),
    repeat('Y W J j\n', LONG / 8),
    repeat('4oKs', LONG / 8),
  ],
  json: [
    '{"a":[1]}',
    `{${Array.from({ length: MANY }, (_, index) => `"n${index}":[]`).join()}}`,
    repeat('[', LONG),
    `[${repeat('{},', LONG / 3)}0]`,
    `"${repeat('\\u20ac', LONG / 8)}"`,
  ],
  number: ['12', 3, repeat('9', 400), 1e300],
  list: [
    ['a', 'b'],
    Array(MANY).fill('a'),
    Array(MANY).fill(repeat('a', 5_001)),
    few,
    Array(1_000).fill(few),
  ],
  record: [
    { a: 'b' },
    record(few),
    record(Array.from({ length: MANY }, (_, index) => `n${index}`)),
    { [repeat('k', LONG)]: 'v' },
  ],
};

/** The document of all costly templates: `@root.text.[1]` is the second text. */
export const COSTLY_DOCUMENT: Readonly<Record<string, unknown>> = { ...KINDS, few };

/** A text of 2^`doublings` times the letter, as the context of `body`. */
export function doubled(letter: string, doublings: number, body: string): string {
  const withs = '{{#with (concat this this)}}'.repeat(doublings);
  return `{{#with "${letter}"}}${withs}${body}${'{{/with}}'.repeat(doublings + 1)}`;
}
