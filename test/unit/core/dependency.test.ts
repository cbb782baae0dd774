import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import {
  dependencyKey,
  dependencyLabel,
  isVaultDependency,
  keyInTemplates,
  loginOf,
  withLogin,
  withOptional,
  exactNumber,
  normalizeVaultPath,
  splitSecretRef,
  unescapePath,
  type Dependency,
  type WriteParams,
} from '../../../src/core/index.ts';

const text = fc.oneof(fc.constantFrom('a', 'b', 'a?[]', '[["a","b"]]', '"'), fc.string());
const scalar = fc.oneof(
  text,
  fc.integer({ min: 0, max: 2 }),
  fc.constantFrom('1', '1.0', '1.00').map(exactNumber),
  fc.boolean(),
);
const few = { maxKeys: 2, noNullPrototype: true };
const params: fc.Arbitrary<WriteParams> = fc.dictionary(
  text,
  fc.oneof(
    scalar,
    fc.array(fc.oneof(scalar, fc.constant(null)), { maxLength: 2 }),
    fc.dictionary(text, fc.oneof(scalar, fc.dictionary(text, scalar, few)), few),
  ),
  { ...few, maxKeys: 3 },
);
const dependency: fc.Arbitrary<Dependency> = fc.oneof(
  fc.record({ kind: fc.constantFrom('read', 'list'), path: text }),
  fc.record({ kind: fc.constantFrom('write', 'pki'), path: text, params }),
  fc.record({ kind: fc.constant('jwt-svid'), audiences: fc.array(text, { maxLength: 3 }) }),
  fc.record({ kind: fc.constantFrom('x509-svid', 'spiffe-id') }),
);

function canonical(one: Dependency): unknown {
  return 'audiences' in one ? { ...one, audiences: one.audiences.toSorted() } : { ...one };
}

test('keys are equal exactly for equal dependencies', () => {
  fc.assert(
    fc.property(dependency, dependency, (one, other) => {
      const equal = isDeepStrictEqual(canonical(one), canonical(other));
      assert.equal(dependencyKey(one) === dependencyKey(other), equal);
    }),
    { numRuns: 1000 },
  );
});

test('the order of parameters and audiences does not matter; their types do', () => {
  const write = (params: Record<string, string | number>): string =>
    dependencyKey({ kind: 'write', path: 'p', params });
  assert.equal(write({ a: 1, b: 2 }), write({ b: 2, a: 1 }));
  assert.notEqual(write({ a: 1 }), write({ a: '1' }));
  assert.notEqual(write({}), dependencyKey({ kind: 'pki', path: 'p', params: {} }));
  const jwt = (...audiences: string[]): string => dependencyKey({ kind: 'jwt-svid', audiences });
  assert.equal(jwt('x', 'y'), jwt('y', 'x'));
  assert.notEqual(jwt('x', 'y'), jwt('x,y'));
});

test('answers of Vault are distinguished from those of the Workload API', () => {
  fc.assert(fc.property(dependency, (one) => isVaultDependency(one) === 'path' in one));
});

for (const [given, path] of [
  ['kvv2/app', 'kvv2/app'],
  ['/kvv2/app/', 'kvv2/app'],
  ['v1/kvv2/app', 'kvv2/app'],
  ['/v1/kvv2/app', 'kvv2/app'],
  ['//v1//kvv2///app//', 'kvv2/app'],
  ['v1/v1/app', 'app'],
  ['  kvv2/app\n', 'kvv2/app'],
  ['kvv2/v1/app', 'kvv2/v1/app'],
  ['v1', 'v1'],
  ['v10/app', 'v10/app'],
  ['kvv2/my app', 'kvv2/my app'],
  ['kvv2/übersicht', 'kvv2/übersicht'],
  ['kvv2/...', 'kvv2/...'],
  ['kvv2/.hidden', 'kvv2/.hidden'],
] as const) {
  test(`the path ${JSON.stringify(given)} is ${path}`, () => {
    assert.equal(normalizeVaultPath(given), path);
  });
}

for (const given of [
  '',
  ' ',
  '/',
  '///',
  'v1/',
  '/v1//',
  'kvv2/../sys',
  '../sys',
  'kvv2/.',
  './kvv2',
  'kvv2/a\nb',
  'kvv2/a\0',
  'kvv2/a\u007fb',
  '/ kvv2',
  'x'.repeat(1025),
  'ü'.repeat(513),
]) {
  test(`${JSON.stringify(given.slice(0, 20))} is not a valid path`, () => {
    assert.equal(normalizeVaultPath(given), undefined);
  });
}

test('a path in its one spelling stays as it is', () => {
  const piece = fc.constantFrom('v1', '/', '//', 'a', ' ', '..', 'b c', '\t', '.');
  const path = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(path, (given) => {
      const once = normalizeVaultPath(given);
      fc.pre(once !== undefined);
      assert.equal(normalizeVaultPath(once), once);
      assert.doesNotMatch(once, /^\/|\/$|\/\/|^v1\//);
    }),
    { numRuns: 1000 },
  );
});

test('an endless path of slashes and blanks is rejected at once', () => {
  for (const piece of ['/', ' ', 'v1/', '/ ', 'a/']) {
    assert.equal(
      normalizeVaultPath(`a${piece.repeat(100_000)}a`.slice(0, 300_000) + '\u0001'),
      undefined,
    );
  }
});

test('a label names parameters but never their values, which a template may compute from secrets', () => {
  const label = dependencyLabel({
    kind: 'write',
    path: 'transit/encrypt/k',
    params: { plaintext: 'planted', context: 'planted' },
  });
  assert.equal(label, 'transit/encrypt/k (context, plaintext)');
  assert.equal(dependencyLabel({ kind: 'read', path: 'kvv2/app' }), 'kvv2/app');
  assert.equal(dependencyLabel({ kind: 'jwt-svid', audiences: ['b', 'a'] }), 'jwt-svid for a, b');
});

for (const [given, path, key] of [
  ['kvv2/app', 'kvv2/app', undefined],
  ['kvv2/app#key', 'kvv2/app', 'key'],
  ['kvv2/app#', 'kvv2/app', ''],
  ['kvv2/c\\#sharp', 'kvv2/c#sharp', undefined],
  ['kvv2/c\\#sharp#key', 'kvv2/c#sharp', 'key'],
  ['kvv2/\\#a\\##k#e\\#y', 'kvv2/#a#', 'k#e\\#y'],
  ['kvv2/c%23sharp', 'kvv2/c%23sharp', undefined],
  ['kvv2/a\\b#c', 'kvv2/a\\b', 'c'],
] as const) {
  test(`${given} is the path ${path} and the key ${key ?? 'of no value'}`, () => {
    assert.deepEqual(splitSecretRef(given), { path, key });
  });
}

test('any path survives its escape, with any key', () => {
  const path = fc.string().map((one) => one.replaceAll('\\', ''));
  fc.assert(
    fc.property(path, fc.option(fc.string(), { nil: undefined }), (path, key) => {
      const escaped = path.replaceAll('#', '\\#');
      const written = key === undefined ? escaped : `${escaped}#${key}`;
      assert.deepEqual(splitSecretRef(written), { path, key });
      assert.equal(unescapePath(escaped), path);
    }),
  );
});

suite('dependencies of a login', () => {
  const read = { kind: 'read', path: 'kv/a' } as const;
  const other = withLogin(read, 'other/web');

  test('have keys and labels of their own', () => {
    const keys = [read, other, withLogin(read, 'x')].map(dependencyKey);
    assert.equal(new Set(keys).size, 3);
    assert.equal(dependencyLabel(other), 'kv/a by login other/web');
    assert.deepEqual([read, other].map(loginOf), [undefined, 'other/web']);
  });

  test('are seen by the templates of their login only', () => {
    assert.equal(keyInTemplates(other, 'other/web'), dependencyKey(read));
    assert.equal(keyInTemplates(other, undefined), undefined);
    assert.equal(keyInTemplates(read, 'other/web'), undefined);
    assert.equal(keyInTemplates({ kind: 'spiffe-id' }, 'other/web'), 'spiffe-id');
  });

  test('keep their login when they become optional; SVIDs have none', () => {
    assert.deepEqual(withOptional(other, true), { ...other, optional: true });
    assert.deepEqual(withOptional(withOptional(other, true), false), other);
    assert.deepEqual(withLogin({ kind: 'x509-svid' }, 'x'), { kind: 'x509-svid' });
    assert.equal(withLogin(read, undefined), read);
  });
});
