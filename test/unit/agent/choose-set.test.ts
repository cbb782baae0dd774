import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseSet, type KeptFile } from '../../../src/agent/choose-set.ts';
import type { RenderedFile } from '../../../src/agent/file-set.ts';
import { agentConfig, templateFile } from '../../helpers/agent-harness.ts';

function rendered(name: string, content: string | undefined, ...paths: string[]): RenderedFile {
  const file = agentConfig({ files: [templateFile(name, 'text')] }).files[0];
  assert.ok(file);
  return {
    file,
    content: content === undefined ? undefined : Buffer.from(content),
    used: new Map(paths.map((path) => [path, { kind: 'read', path }])),
    missing: [],
    error: undefined,
    digest: undefined,
  };
}

function kept(content: string, ...keys: string[]): KeptFile {
  return { content: Buffer.from(content), digest: undefined, keys: new Set(keys) };
}

function texts(chosen: ReturnType<typeof chooseSet>): Record<string, string> | undefined {
  if (chosen === undefined) return undefined;
  return Object.fromEntries(
    chosen.map(({ file, content }) => [file.name, Buffer.from(content).toString()]),
  );
}

test('before the first delivery it is all or nothing', () => {
  assert.equal(
    chooseSet([rendered('a', '1', 'x'), rendered('b', undefined)], new Map()),
    undefined,
  );
  assert.deepEqual(texts(chooseSet([rendered('a', '1', 'x')], new Map())), { a: '1' });
});

test('a file that cannot be rendered keeps its bytes, and the others go on', () => {
  const last = new Map([
    ['a', kept('a1', 'x')],
    ['b', kept('b1', 'y')],
  ]);
  const chosen = chooseSet([rendered('a', 'a2', 'x'), rendered('b', undefined)], last);
  assert.deepEqual(texts(chosen), { a: 'a2', b: 'b1' });
  assert.deepEqual(
    chosen?.map(({ isHeldBack }) => isHeldBack),
    [false, true],
  );
});

test('files that share a dependency with it stay behind together, also by way of a third', () => {
  const last = new Map([
    ['user', kept('user1', 'db')],
    ['both', kept('both1', 'db', 'kv')],
    ['kv', kept('kv1', 'kv')],
    ['other', kept('other1', 'z')],
  ]);
  const set = [
    rendered('user', 'user2', 'db'),
    rendered('both', 'both2', 'db', 'kv'),
    rendered('kv', undefined),
    rendered('other', 'other2', 'z'),
  ];
  assert.deepEqual(texts(chooseSet(set, last)), {
    user: 'user1',
    both: 'both1',
    kv: 'kv1',
    other: 'other2',
  });
});

test('what a held-back file needs now and what its bytes come from is kept both', () => {
  const last = new Map([['a', kept('a1', 'old')]]);
  const chosen = chooseSet([rendered('a', undefined, 'new')], last);
  assert.deepEqual([...(chosen?.[0]?.keys ?? [])].sort(), ['new', 'old']);
});

test('no two files with a common dependency are of different age', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const key = fc.constantFrom('k1', 'k2', 'k3', 'k4', 'k5', 'k6');
  const shapes = fc.array(fc.tuple(fc.boolean(), fc.uniqueArray(key), fc.uniqueArray(key)), {
    minLength: 5,
    maxLength: 5,
  });
  fc.assert(
    fc.property(shapes, (files) => {
      const items = names.map((name, index) => {
        const [isStuck, , now] = files[index] ?? [false, [], []];
        return rendered(name, isStuck ? undefined : 'new', ...now);
      });
      const last = new Map(
        names.map((name, index) => [name, kept('old', ...(files[index]?.[1] ?? []))]),
      );
      const chosen = chooseSet(items, last);
      assert.ok(chosen);
      for (const one of chosen.filter(({ isHeldBack }) => isHeldBack)) {
        for (const other of chosen.filter(({ isHeldBack }) => !isHeldBack)) {
          assert.ok(![...one.keys].some((shared) => other.keys.has(shared)));
        }
      }
    }),
  );
});
