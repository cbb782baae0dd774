/** The floors of `npm run coverage`, on planted reports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkFloors, hasCode } from '../../../.tools/coverage-floors.ts';

/** An lcov record of a file of ten lines. */
function record(path: string, missing: readonly number[]): string {
  const lines = Array.from({ length: 10 }, (_, index) => index + 1);
  const hits = lines.map((line) => `DA:${line},${missing.includes(line) ? 0 : 7}`);
  const totals = ['LF:10', `LH:${10 - missing.length}`];
  return [`SF:${path}`, 'FN:1,f', ...hits, ...totals, 'end_of_record', ''].join('\n');
}

const TEN_LINES = 'run();\n'.repeat(10);
const SOURCES = new Map([
  ['src/core/a.ts', TEN_LINES],
  ['src/vault/b.ts', TEN_LINES],
]);
const FLOORS = [
  { path: 'src/', percent: 90 },
  { path: 'src/core/', percent: 100 },
];

test('at the floor is enough', () => {
  const lcov = record('src/core/a.ts', []) + record('src/vault/b.ts', [3, 4]);
  assert.deepEqual(checkFloors(lcov, SOURCES, FLOORS), {
    ok: true,
    text: 'src/: 90.00 % of 20 lines (at least 90 %)\nsrc/core/: 100.00 % of 10 lines (at least 100 %)',
  });
});

test('one line too few misses the floor of everything', () => {
  const lcov = record('src/core/a.ts', []) + record('src/vault/b.ts', [3, 4, 5]);
  const { ok, text } = checkFloors(lcov, SOURCES, FLOORS);
  assert.equal(ok, false);
  assert.match(text, /^src\/: 85\.00 % of 20 lines \(at least 90 %, MISSED\)$/m);
});

test('where all lines must run, those that do not are listed', () => {
  const lcov = record('src/core/a.ts', [2, 3, 4, 9]) + record('src/vault/b.ts', []);
  const { ok, text } = checkFloors(lcov, SOURCES, [{ path: 'src/core/', percent: 100 }]);
  assert.equal(ok, false);
  assert.match(text, /60\.00 % .* MISSED\)\n {2}not run: src\/core\/a\.ts:2-4,9$/);
});

test('a file that no test loads counts with all of its lines, unless it has only types', () => {
  const lcov = record('src/core/a.ts', []);
  assert.equal(checkFloors(lcov, SOURCES, FLOORS).ok, false);
  const sources = new Map([...SOURCES, ['src/vault/b.ts', 'export interface B {}\n']]);
  assert.equal(checkFloors(lcov, sources, FLOORS).ok, true);
});

test('a file with a floor of its own that was renamed is noticed', () => {
  const lcov = record('src/core/a.ts', []) + record('src/vault/b.ts', []);
  const floors = [{ path: 'src/core/gone.ts', percent: 100 }];
  const { ok, text } = checkFloors(lcov, SOURCES, floors);
  assert.deepEqual([ok, text], [false, 'src/core/gone.ts: no such file, MISSED']);
});

test('a folder that is not a part of the whole has a floor of its own', () => {
  const lcov = record('src/dev/c.ts', [1, 2, 3, 4]) + record('src/core/a.ts', []);
  const sources = new Map([
    ['src/core/a.ts', TEN_LINES],
    ['src/dev/c.ts', TEN_LINES],
  ]);
  const floors = [
    { path: 'src/', except: 'src/dev/', percent: 90 },
    { path: 'src/dev/', percent: 70 },
  ];
  assert.deepEqual(checkFloors(lcov, sources, floors), {
    ok: false,
    text: [
      'src/ without src/dev/: 100.00 % of 10 lines (at least 90 %)',
      'src/dev/: 60.00 % of 10 lines (at least 70 %, MISSED)',
    ].join('\n'),
  });
});

test('generated files, which are not among the sources, are in no sum', () => {
  const lcov = record('src/config/generated/c.ts', [1, 2, 3]) + record('src/core/a.ts', []);
  const sources = new Map([['src/core/a.ts', TEN_LINES]]);
  assert.equal(checkFloors(lcov, sources, FLOORS).ok, true);
});

for (const [source, expected] of [
  ['/** Words. */\nexport type A = string;\nimport type { B } from "./b.ts";\n', false],
  ["export type { A } from './a.ts';\n", false],
  ['// a(); \nexport {};\n', false],
  ['export const a = 1;\n', true],
  ["export { a } from './a.ts';\n", true],
] as const) {
  test(`${JSON.stringify(source)} ${expected ? 'runs' : 'has only types'}`, () => {
    assert.equal(hasCode(source), expected);
  });
}
