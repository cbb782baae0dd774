import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { clashingPaths, outputPathProblem } from '../../../src/core/index.ts';

for (const path of [
  'app.json',
  'tls/server.pem',
  'a/b/c/d',
  '.env',
  '.hidden/.file',
  'with space',
  'übersicht.txt',
  'e\u0301.txt',
  '證書/私鑰.pem',
  'a..b',
  'x'.repeat(255),
  `${'x/'.repeat(511)}xx`,
]) {
  test(`the name ${JSON.stringify(path.slice(0, 40))} is good`, () => {
    assert.equal(outputPathProblem(path), undefined);
  });
}

for (const [path, rule] of [
  ['', /empty/],
  ['/etc/passwd', /absolute/],
  ['..', /segment/],
  ['../x', /segment/],
  ['a/../b', /segment/],
  ['a/..', /segment/],
  ['.', /segment/],
  ['./a', /segment/],
  ['a/./b', /segment/],
  ['a/', /slash at the end/],
  ['a//b', /empty segment/],
  ['..data', /reserved/],
  ['..data/app.json', /reserved/],
  ['..data_tmp', /reserved/],
  ['a/..hidden', /reserved/],
  ['a\\b', /backslash/],
  ['..\\..\\x', /backslash/],
  ['a\0b', /control/],
  ['a\nb', /control/],
  ['a\u007fb', /control/],
  ['a\u0085b', /control/],
  ['\ud800', /Unicode/],
  ['x'.repeat(256), /255 bytes/],
  ['ü'.repeat(128), /255 bytes/],
  [`${'x/'.repeat(512)}x`, /1024 bytes/],
] as const) {
  test(`the name ${JSON.stringify(path.slice(0, 40))} is rejected`, () => {
    assert.match(outputPathProblem(path) ?? 'no problem', rule);
  });
}

test('no good name leaves the directory or has a second spelling', () => {
  const segment = fc.constantFrom('..', '.', '', 'a', '..data', 'b c', 'ü', '\\', '\0', '/');
  const path = fc.oneof(
    fc.array(segment, { maxLength: 6 }).map((segments) => segments.join('/')),
    fc.string({ unit: 'binary', maxLength: 40 }),
  );
  fc.assert(
    fc.property(path, (text) => {
      fc.pre(outputPathProblem(text) === undefined);
      const full = posix.resolve('/vault/secrets', text);
      assert.equal(full, `/vault/secrets/${text}`);
    }),
  );
});

test('clashes are equal names and files that are directories of others', () => {
  for (const [paths, clashing] of [
    [[], []],
    [['a', 'b', 'c'], []],
    [['a/b', 'a/c'], []],
    [['a', 'ab', 'a.b'], []],
    [['a', 'A'], []],
    [
      ['a', 'b', 'a', 'a'],
      ['2 a, 0 a', '3 a, 0 a'],
    ],
    [['a', 'a/b'], ['1 a/b, 0 a']],
    [['a/b/c', 'x', 'a'], ['0 a/b/c, 2 a']],
    [['a/b', 'a/b/c', 'a/d'], ['1 a/b/c, 0 a/b']],
    [
      ['a', 'a/b', 'a/b/c', 'a/b'],
      ['1 a/b, 0 a', '2 a/b/c, 0 a', '3 a/b, 1 a/b'],
    ],
  ] as const) {
    const found = clashingPaths(paths).map(
      ({ path, index, other, otherIndex }) => `${index} ${path}, ${otherIndex} ${other}`,
    );
    assert.deepEqual(found, clashing, paths.join(' '));
  }
});

test('names clash exactly when they cannot all be made on a file system', () => {
  const path = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(fc.array(path, { maxLength: 4 }), (lists) => {
      const paths = lists.map((segments) => segments.join('/'));
      const fits = paths.every((one, index) =>
        paths.every(
          (other, place) => index === place || (one !== other && !one.startsWith(`${other}/`)),
        ),
      );
      assert.equal(clashingPaths(paths).length === 0, fits);
    }),
  );
});

test('a name of any length is compared in linear time', () => {
  const long = `a${'/'.repeat(200_000)}`; // a prefix for each slash would be twenty thousand million characters
  const [clash, ...more] = clashingPaths([long, 'b', 'a']);
  assert.ok(clash?.path === long && clash.other === 'a' && clash.otherIndex === 2);
  assert.equal(more.length, 0);
});
