/**
 * Hostile input for the property tests at the boundaries (test/unit/fuzz): odd texts and values, and mutations
 * of valid input, because most defects are near it. `VOUCHSAFE_FUZZ_RUNS=20 node --test 'test/unit/fuzz/*.test.ts'`
 * runs every property twenty times as often, on input that is new each time; a failure prints the seed that
 * repeats it. Without it the input is always the same, so that a red gate is about the change.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';

/** How much oftener than usual. */
const ASKED = process.env['VOUCHSAFE_FUZZ_RUNS'];
const MULTIPLIER = Math.max(0.01, Number(ASKED ?? '1') || 1);
const SEED = ASKED === undefined ? { seed: 1 } : {};
/** A single input that takes longer has found a hang: CPU time, so that a busy machine is no failure. */
const MAX_CPU_MS = 2000;
/** The same for input that is answered over a connection, in wall time. */
const MAX_WALL_MS = 20_000;

/** What no input may change. */
const PROTOTYPES: readonly object[] = [
  ...[Object, Array, Function, String, Number, Boolean, Map, Set, Error, Uint8Array, Promise].map(
    (one) => one.prototype as object, // typed as any for some
  ),
  Object,
  Array,
];
const pristine = PROTOTYPES.map(shapeOf);

/** Runs a property with the guards of all: prototypes stay as they were, and no input hangs. */
export function holds<T>(
  arbitrary: fc.Arbitrary<T>,
  numRuns: number,
  check: (value: T) => void,
): void {
  const property = fc.property(arbitrary, (value) => {
    const before = process.cpuUsage();
    check(value);
    const { user, system } = process.cpuUsage(before);
    assert.ok((user + system) / 1000 < MAX_CPU_MS, `it took ${(user + system) / 1000} ms`);
    assertPrototypes();
  });
  fc.assert(property, { ...SEED, numRuns: Math.ceil(numRuns * MULTIPLIER) });
}

/** Values of an arbitrary, for what is checked of many at a time: as many more and as new as {@link holds} has them. */
export function sampled<T>(arbitrary: fc.Arbitrary<T>, count: number): T[] {
  return fc.sample(arbitrary, { ...SEED, numRuns: Math.ceil(count * MULTIPLIER) });
}

/** {@link holds} for checks that wait. */
export async function holdsAsync<T>(
  arbitrary: fc.Arbitrary<T>,
  numRuns: number,
  check: (value: T) => Promise<void>,
): Promise<void> {
  const property = fc.asyncProperty(arbitrary, async (value) => {
    await check(value);
    assertPrototypes();
  });
  const parameters = { ...SEED, numRuns: Math.ceil(numRuns * MULTIPLIER), timeout: MAX_WALL_MS };
  await fc.assert(property, parameters);
}

function assertPrototypes(): void {
  assert.deepEqual(PROTOTYPES.map(shapeOf), pristine, 'a prototype was changed');
}

function shapeOf(object: object): string {
  return Reflect.ownKeys(object).map(String).join();
}

/** Names that mean something to JavaScript. */
export const PROTOTYPE_NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  'toJSON',
  'then',
  '__defineGetter__',
  'length',
  'name',
] as const;

const ODD_TEXTS = [
  ...PROTOTYPE_NAMES,
  ...['', ' ', '.', '..', '...', '/', '//', '\\', '../x', 'a/../../x', '/etc/passwd', '..data'],
  ...['\0', 'a\0b', '\n', '\r\n', '\t', '\u0007', '\u001b[31m', '\u2028', '\ufeff', '\u00a0'],
  ...['\ud800', '\udfff', 'a\udc00b', '\u202e', '\u2066x\u2069', 'é', 'e\u0301', '😀', 'İ'],
  ...['0', '-0', '1', '-1', '1e308', '1e999', '9007199254740993', 'NaN', 'Infinity', '0x10'],
  ...['0s', '1ms', '365d', '366d', '999999999d', '99999999999h', '1h1h', '-5m', '1.0001s', '5M'],
  ...['true', 'false', 'null', 'undefined', 'True', 'yes', '[]', '{}', '"', "'", '`', '#', '##'],
  ...['{{', '}}', '{{this}}', '{{{{', '$(HOME)', '$$', '${x}', '%s', '%00', '%2e%2e', '<script>'],
  ...['a,b', ',', 'a,,a', 'x@y', '@', '*', '?a=b', 'a:b', '[::1]:1', 'http://', 'https://u:p@h/'],
  ...['0777', '0000', '07777', '0o440', '256', '4294967296', '-', '_', 'vouchsafe-agent'],
] as const;

const LONG = [255, 256, 257, 1024, 1025, 4097, 70_000];

/** Texts that were chosen to hurt, and any other. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...ODD_TEXTS) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...ODD_TEXTS), fc.string()).map(joined) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('a', '/', 'a/', '../', '9', '{{', 'é', ' ', '\n', 'a,'), long())
      .map(([unit, length]) => unit.repeat(length / unit.length)),
  },
);

/** Numbers at the edges of what programs count with. */
export const hostileNumber: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, -0, -1, 0.5, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53, -(2 ** 53), 1e15, 1e21),
  fc.constantFrom(1e308, -1e308, 5e-324, 8.64e15, 8.64e15 + 1, 253402300800),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.maxSafeInteger(),
);

/** Any value of JSON. Names of prototypes are own keys, as `JSON.parse` makes them. */
export const hostileValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    hostileText,
    fc.oneof(hostileNumber, fc.boolean(), fc.constant(null), deep()),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(hostileText, tie('value')), { maxLength: 3 }).map(fromEntries),
  ),
})).value;

/** The example after one to four changes anywhere in it: replaced, removed, doubled, renamed, edited parts. */
export function mutated(example: unknown): fc.Arbitrary<unknown> {
  const change = fc.tuple(fc.nat(), fc.nat(), fc.constantFrom(...CHANGES), hostileValue);
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) =>
    changes.reduce<unknown>((value, [place, other, kind, odd]) => {
      const paths = pathsOf(value);
      const path = paths[place % paths.length] ?? [];
      const donor = at(value, paths[other % paths.length] ?? []);
      return changeAt(value, path, (part) => changed(part, kind, { odd, donor, other }));
    }, example),
  );
}

/** The text after a few edits: cut, doubled, spiced with odd texts. */
export function mutatedText(...examples: readonly string[]): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.nat(), fc.nat(12), hostileText, fc.constantFrom('in', 'cut', 'twice'));
  return fc
    .tuple(fc.constantFrom(...examples), fc.array(edit, { maxLength: 4 }))
    .map(([example, edits]) =>
      edits.reduce((text, [where, length, odd, kind]) => {
        const start = where % (text.length + 1);
        const middle = text.slice(start, start + length);
        const inserted = kind === 'in' ? odd + middle : kind === 'cut' ? '' : middle + middle;
        return text.slice(0, start) + inserted + text.slice(start + length);
      }, example),
    );
}

/** The bytes after a few edits: flipped, cut, doubled, overwritten with odd ones. */
export function mutatedBytes(...examples: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const odd = fc.uint8Array({ maxLength: 6 });
  const edit = fc.tuple(fc.nat(), fc.nat(16), odd, fc.constantFrom('in', 'over', 'cut', 'twice'));
  return fc
    .tuple(fc.constantFrom(...examples), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([example, edits]) =>
      edits.reduce<Uint8Array>((bytes, [where, length, fresh, kind]) => {
        const start = where % (bytes.length + 1);
        const middle = bytes.subarray(start, start + length);
        const end = kind === 'in' ? start : kind === 'over' ? start + fresh.length : start + length;
        const inserted = kind === 'twice' ? [middle, middle] : kind === 'cut' ? [] : [fresh];
        return Buffer.concat([bytes.subarray(0, start), ...inserted, bytes.subarray(end)]);
      }, example),
    );
}

const CHANGES = ['replace', 'remove', 'donor', 'edit', 'add', 'rename', 'double', 'wrap'] as const;
type Change = (typeof CHANGES)[number];
type Path = readonly (string | number)[];

interface Supply {
  readonly odd: unknown;
  readonly donor: unknown;
  readonly other: number;
}

/** Stands for a part that is to be left out. */
const NOTHING = Symbol('nothing');

function changed(part: unknown, kind: Change, supply: Supply): unknown {
  const { odd, donor, other } = supply;
  if (kind === 'replace') return odd;
  if (kind === 'remove') return NOTHING;
  if (kind === 'donor') return donor;
  if (kind === 'wrap') return other % 2 === 0 ? [part] : { value: part };
  if (typeof part === 'string') return edited(part, textOf(odd), other);
  if (typeof part !== 'object' || part === null) return odd;
  if (!Array.isArray(part)) return fieldsChanged(part, kind, supply);
  const list: readonly unknown[] = part;
  return kind === 'double' ? [...list, ...list] : [...list, donor];
}

/** One field more, or one under another name. */
function fieldsChanged(part: object, kind: Change, { odd, donor, other }: Supply): unknown {
  const [first, ...others] = Object.entries(part) as [string, unknown][]; // typed as any
  const name = typeof odd === 'string' ? odd : (PROTOTYPE_NAMES[other % 8] ?? '');
  if (first === undefined) return fromEntries([[name, donor]]);
  const last: [string, unknown][] = kind === 'rename' ? [] : [first];
  return fromEntries([...last, ...others, [name, kind === 'rename' ? first[1] : donor]]);
}

function textOf(odd: unknown): string {
  return typeof odd === 'string' ? odd : JSON.stringify(odd);
}

function edited(text: string, odd: string, where: number): string {
  const start = where % (text.length + 1);
  return text.slice(0, start) + odd + text.slice(start + (where % 3));
}

function pathsOf(value: unknown, depth = 0): Path[] {
  if (typeof value !== 'object' || value === null || depth > 40) return [[]];
  const fields: [string | number, unknown][] = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value);
  return [
    [],
    ...fields.flatMap(([key, part]) => pathsOf(part, depth + 1).map((path) => [key, ...path])),
  ];
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (part, key) => Object.entries(part ?? {}).find(([name]) => name === String(key))?.[1],
    value,
  );
}

function changeAt(value: unknown, path: Path, change: (part: unknown) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) {
    const result = change(value);
    return result === NOTHING ? null : result;
  }
  const step = ([name, part]: [string, unknown]): [string, unknown][] => {
    if (name !== String(key)) return [[name, part]];
    const result = rest.length === 0 ? change(part) : changeAt(part, rest, change);
    return result === NOTHING ? [] : [[name, result]];
  };
  const entries = (Object.entries(value ?? {}) as [string, unknown][]).flatMap(step); // typed as any
  return Array.isArray(value) ? entries.map(([, part]) => part) : fromEntries(entries);
}

/** Makes `__proto__` an own key, as `JSON.parse` does. */
function fromEntries(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
}

function joined([a, b]: readonly [string, string]): string {
  return a + b;
}

function long(): fc.Arbitrary<number> {
  return fc.constantFrom(...LONG);
}

/** Lists or objects within each other. */
function deep(): fc.Arbitrary<unknown> {
  return fc
    .tuple(fc.constantFrom(5, 70, 3000), fc.constantFrom('', ...PROTOTYPE_NAMES))
    .map(([depth, name]) => {
      let value: unknown = 'bottom';
      for (let level = 0; level < depth; level += 1) {
        value = name === '' ? [value] : fromEntries([[name, value]]);
      }
      return value;
    });
}
