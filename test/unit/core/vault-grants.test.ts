import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  denialsOf,
  isUnlimited,
  OPERATIONS,
  type Dependency,
  type Grant,
} from '../../../src/core/index.ts';

const ALL: Grant = { policy: 'p', paths: ['*'], operations: OPERATIONS, audiences: ['*'] };

function allows(grant: Partial<Grant>, dependency: Dependency): boolean {
  return denialsOf([{ ...ALL, ...grant }], dependency).length === 0;
}

function reads(globs: readonly string[], path: string): boolean {
  return allows({ paths: globs }, { kind: 'read', path });
}

test('a policy that limits nothing allows everything, the paths of Vault itself, too', () => {
  assert.ok(isUnlimited(ALL));
  for (const path of ['kvv2/app', 'auth/token/lookup-self', 'sys/mounts', 'identity/entity/id']) {
    assert.ok(reads(['*'], path), path);
  }
  assert.ok(!isUnlimited({ ...ALL, operations: ['read'] }));
  assert.ok(!isUnlimited({ ...ALL, paths: ['kvv2/*'] }));
  assert.ok(!isUnlimited({ ...ALL, audiences: [] }));
});

const ALLOWED: readonly (readonly [glob: string, path: string])[] = [
  ['kvv2/team-a/*', 'kvv2/team-a/app'],
  ['kvv2/team-a/*', '/v1/kvv2//team-a/app/'],
  ['kvv2/team-a/*', 'kvv2/team-a/app?version=3'],
  ['kvv2/team-a/*', 'kvv2/team-a/auth/config'],
  ['kvv2/team-a/*', 'kvv2/team-a/data/app'],
  ['kvv2/data', 'kvv2/data'],
  ['*/creds/team-a-*', 'database/creds/team-a-web'],
  ['auth/token/lookup-self', 'auth/token/lookup-self'],
  ['auth/token/*', 'auth/token/lookup-self'],
  ['sys/*', 'sys/health'],
];
const REFUSED: readonly (readonly [glob: string, path: string])[] = [
  ['kvv2/team-a/*', 'kvv2/team-b/app'],
  ['kvv2/team-a/*', 'kvv2/team-a'],
  ['kvv2/team-a/*', 'kvv2/team-a/../team-b/app'],
  ['kvv2/team-a/*', 'kvv2/team-b/app?version=1'],
  ['kvv2/team-a/*', ''],
  ['kvv2/app', 'kvv2/App'],
  // What the API of KV version 2 puts in the middle is no way around.
  ['kvv2/d*', 'kvv2/data/team-b/app'],
  ['kvv2/*a/app', 'kvv2/metadata/team-b/app'],
  ['kvv2/team-a/*', 'kvv2/data/team-b/app'],
  // No star stands for Vault's own paths.
  ['*/lookup-self', 'auth/token/lookup-self'],
  ['a*', 'auth/token/lookup-self'],
  ['*s', 'sys/mounts'],
  ['*/team-a/*', 'identity/team-a/x'],
  ['*/team-a/*', 'ns1/auth/team-a/x'],
  ['n*/team-a/*', 'ns1/sys/team-a/x'],
];
for (const [glob, path] of ALLOWED) {
  test(`${glob} allows to read ${path}`, () => assert.ok(reads([glob], path)));
}
for (const [glob, path] of REFUSED) {
  test(`${glob} does not allow to read "${path}"`, () => assert.ok(!reads([glob], path)));
}

test('operations are read, list and write; a certificate request is a write', () => {
  const path = 'kvv2/app';
  const dependencies: readonly (readonly [Dependency, string])[] = [
    [{ kind: 'read', path }, 'read'],
    [{ kind: 'list', path }, 'list'],
    [{ kind: 'write', path, params: {} }, 'write'],
    [{ kind: 'pki', path, params: {} }, 'write'],
  ];
  for (const operation of OPERATIONS) {
    for (const [dependency, needed] of dependencies) {
      const isAllowed = allows({ operations: [operation] }, dependency);
      assert.equal(isAllowed, operation === needed, `${dependency.kind} by ${operation}`);
    }
  }
});

test('every audience of a JWT-SVID must be allowed; other SVIDs are the own identity', () => {
  const limited = { audiences: ['api://*', 'sts'] };
  assert.ok(allows(limited, { kind: 'jwt-svid', audiences: ['api://x', 'sts'] }));
  assert.ok(!allows(limited, { kind: 'jwt-svid', audiences: ['sts', 'vault'] }));
  assert.ok(!allows({ audiences: [] }, { kind: 'jwt-svid', audiences: ['sts'] }));
  assert.ok(allows({ audiences: [] }, { kind: 'x509-svid' }));
  assert.ok(allows({ audiences: [] }, { kind: 'spiffe-id' }));
});

test('one policy that allows a request is enough; else each has its reason, and lists separately what it allows', () => {
  const grants = [
    { ...ALL, policy: 'a', paths: ['kv/a/*'] },
    { ...ALL, policy: 'b', paths: ['kv/b/*'], operations: ['list'] as const },
  ];
  assert.deepEqual(denialsOf(grants, { kind: 'read', path: 'kv/a/x' }), []);
  assert.deepEqual(denialsOf(grants, { kind: 'read', path: 'kv/b/x' }), [
    { policy: 'a', message: 'policy "a" does not allow this path', help: 'it allows paths kv/a/*' },
    {
      policy: 'b',
      message: 'policy "b" does not allow to read this path',
      help: 'it allows operations list',
    },
  ]);
});

test('a policy allows a path of Vault itself only where a glob writes its root out', () => {
  const part = fc.constantFrom('auth', 'sys', 'identity', 'kv', 'a', 'data');
  const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const globPart = fc.constantFrom('auth', 'sys', 'kv', 'a', '*', 'a*', '*s', 's*');
  const glob = fc.array(globPart, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  fc.assert(
    fc.property(path, fc.array(glob, { maxLength: 3 }), (asked, globs) => {
      const [root = ''] = asked.split('/');
      const isSystem = ['auth', 'sys', 'identity'].includes(root);
      if (!isSystem || globs.includes('*') || !reads(globs, asked)) return;
      assert.ok(globs.some((one) => one === asked || one.startsWith(`${root}/`)));
    }),
    { numRuns: 2000 },
  );
});
