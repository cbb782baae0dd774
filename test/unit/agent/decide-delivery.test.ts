/** Every decision about a rendered set, and what must hold of each whatever was rendered. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { KeptFile } from '../../../src/agent/choose-set.ts';
import {
  countPass,
  decideDelivery,
  dependenciesOf,
  endlessError,
  isRetriedLater,
  NO_PASSES,
  stateAfter,
  type Decision,
  type Passes,
} from '../../../src/agent/decide-delivery.ts';
import type { RenderedFile } from '../../../src/agent/file-set.ts';
import {
  dependencyKey,
  isOptional,
  VouchsafeError,
  type Dependency,
  type ErrorCode,
} from '../../../src/core/index.ts';
import { agentConfig, templateFile } from '../../helpers/agent-harness.ts';

const CONFIG = agentConfig({
  files: [
    templateFile('a', 'text', { refresh: '60s' }),
    templateFile('b', 'text', { refresh: '30s' }),
  ],
});

/** How a file came out of a rendering. */
type Outcome = 'content' | 'missing' | 'error';

/** A file with dependencies of its own, `name/value`, unless given. */
function rendered(name: 'a' | 'b', outcome: Outcome, paths = [`${name}/value`]): RenderedFile {
  const file = CONFIG.files.find((one) => one.name === name);
  assert.ok(file !== undefined);
  const used = new Map(paths.map((path) => [`read:${path}`, { kind: 'read', path } as const]));
  return {
    file,
    content: outcome === 'content' ? Buffer.from(`${name} new`) : undefined,
    digest: undefined,
    used: outcome === 'error' ? new Map() : used,
    missing: outcome === 'missing' ? [...used.values()] : [],
    error: outcome === 'error' ? error('ERR_TEMPLATE_MISSING_KEY', name) : undefined,
  };
}

function error(code: ErrorCode, message: string): VouchsafeError {
  return new VouchsafeError(code, message);
}

function keptFile(name: 'a' | 'b'): readonly [string, KeptFile] {
  const keys = new Set([`read:${name}/value`]);
  return [name, { content: Buffer.from(`${name} old`), digest: undefined, keys }];
}

/** `write a=new b=old (a)`: the bytes of each file, and the message of the error. */
function text(decision: Decision): string {
  switch (decision.kind) {
    case 'wait':
      return ['wait', ...decision.missing.map((one) => ('path' in one ? one.path : one.kind))].join(
        ' ',
      );
    case 'fail':
      return `fail (${decision.error.message})`;
    case 'write': {
      const files = decision.chosen.map(({ file, content, isHeldBack }) => {
        const bytes = Buffer.from(content).toString();
        assert.equal(isHeldBack, bytes.endsWith('old'));
        assert.ok(bytes.startsWith(file.name));
        return bytes.replace(' ', '=');
      });
      const why = decision.error === undefined ? '' : ` (${decision.error.message})`;
      return `write ${files.join(' ')}${why}`;
    }
  }
}

const OUTCOMES = ['content', 'missing', 'error'] as const;

/** Outcomes of a and b -> the decision before the first delivery, and after it. */
const TABLE: Readonly<Record<string, readonly [string, string]>> = {
  'content content': ['write a=new b=new', 'write a=new b=new'],
  'content missing': ['wait b/value', 'write a=new b=old'],
  'content error': ['fail (b)', 'write a=new b=old (b)'],
  'missing content': ['wait a/value', 'write a=old b=new'],
  'missing missing': ['wait a/value b/value', 'write a=old b=old'],
  'missing error': ['fail (b)', 'write a=old b=old (b)'],
  'error content': ['fail (a)', 'write a=old b=new (a)'],
  'error missing': ['fail (a)', 'write a=old b=old (a)'],
  'error error': ['fail (a)', 'write a=old b=old (a)'],
};

/** The same with too many dependencies, which is the reason where no file has an error of its own. */
const TABLE_WITH_LIMIT: typeof TABLE = {
  ...TABLE,
  'content content': ['write a=new b=new (limit)', 'write a=new b=new (limit)'],
  'content missing': ['fail (limit)', 'write a=new b=old (limit)'],
  'missing content': ['fail (limit)', 'write a=old b=new (limit)'],
  'missing missing': ['fail (limit)', 'write a=old b=old (limit)'],
};

for (const [name, table, limit] of [
  ['what was rendered decides', TABLE, undefined],
  ['with too many dependencies', TABLE_WITH_LIMIT, error('ERR_TEMPLATE_LIMIT', 'limit')],
] as const) {
  suite(name, () => {
    for (const a of OUTCOMES) {
      for (const b of OUTCOMES) {
        test(`a: ${a}, b: ${b}`, () => {
          const set = [rendered('a', a), rendered('b', b)];
          const all = new Map([keptFile('a'), keptFile('b')]);
          const decisions = [new Map(), all].map((kept) => {
            return text(decideDelivery({ rendered: set, kept, limit }));
          });
          assert.deepEqual(decisions, table[`${a} ${b}`]);
        });
      }
    }
  });
}

test('files that share a dependency wait for each other, also those that could be written', () => {
  const set = [rendered('a', 'content', ['shared']), rendered('b', 'missing', ['shared'])];
  const kept = new Map([keptFile('a'), keptFile('b')]);
  const decision = decideDelivery({ rendered: set, kept, limit: undefined });
  assert.equal(text(decision), 'write a=old b=old');
  // Without older bytes, a waits as well.
  const first = decideDelivery({ rendered: set, kept: new Map([keptFile('b')]), limit: undefined });
  assert.equal(text(first), 'wait shared');
});

test('a set is written only whole, waits only for what is missing, and fails only with a reason', () => {
  const outcome = fc.constantFrom(...OUTCOMES);
  const paths = fc.uniqueArray(fc.constantFrom('x', 'y', 'z'), { minLength: 1 });
  const input = fc.record({
    files: fc.tuple(fc.tuple(outcome, paths), fc.tuple(outcome, paths)),
    old: fc.uniqueArray(fc.constantFrom('a' as const, 'b' as const)),
    isOver: fc.boolean(),
  });
  fc.assert(
    fc.property(input, ({ files: [a, b], old, isOver }) => {
      const set = [rendered('a', ...a), rendered('b', ...b)];
      const limit = isOver ? error('ERR_TEMPLATE_LIMIT', 'limit') : undefined;
      const kept = new Map(old.map(keptFile));
      const decision = decideDelivery({ rendered: set, kept, limit });
      const errors = [...set.map((one) => one.error), limit].filter((one) => one !== undefined);
      switch (decision.kind) {
        case 'write':
          assert.deepEqual(
            decision.chosen.map(({ file }) => file.name),
            ['a', 'b'],
          );
          assert.equal(decision.error, errors[0]);
          break;
        case 'wait':
          assert.ok(decision.missing.length > 0);
          assert.deepEqual(errors, []);
          break;
        case 'fail':
          assert.equal(decision.error, errors[0]);
      }
      assert.deepEqual(decideDelivery({ rendered: set, kept, limit }), decision, 'it is pure');
    }),
  );
});

test('only a write confirms the files; no decision takes that back', () => {
  for (const state of ['none', 'by-predecessor', 'confirmed'] as const) {
    assert.equal(stateAfter(state, 'wait'), state);
    assert.equal(stateAfter(state, 'fail'), state);
    assert.equal(stateAfter(state, 'write'), 'confirmed');
  }
});

for (const [code, isRetried] of [
  ['ERR_OUTPUT_IO', true],
  ['ERR_TEMPLATE_BUSY', true],
  ['ERR_TEMPLATE_MISSING_KEY', false],
  ['ERR_TEMPLATE_LIMIT', false],
  ['ERR_VAULT_UNREACHABLE', false],
] as const) {
  test(`${code} is ${isRetried ? 'tried again after a wait' : 'left to new values'}`, () => {
    assert.equal(isRetriedLater(error(code, 'why')), isRetried);
  });
}

test('a dependency of several files has the shortest of their intervals', () => {
  const set = [rendered('a', 'content', ['x', 'shared']), rendered('b', 'missing', ['shared'])];
  const found = [...dependenciesOf(set)].map(([key, { refreshMs }]) => [key, refreshMs]);
  assert.deepEqual(found, [
    ['read:x', 60_000],
    ['read:shared', 30_000],
  ]);
});

test('a write is repeated at the interval of a file that sets one, whatever others have by default', () => {
  const write: Dependency = {
    kind: 'write',
    path: 'transit/encrypt/a',
    params: { plaintext: 'x' },
  };
  const using = (refreshMs: number, isSet: boolean): RenderedFile => {
    const one = rendered('a', 'content', []);
    const { isRefreshSet: _, ...plain } = one.file;
    const file = { ...plain, refreshMs, ...(isSet && { isRefreshSet: true as const }) };
    return { ...one, file, used: new Map([['write', write]]) };
  };
  for (const [files, expected] of [
    [
      [using(1000, false), using(2000, false)],
      [1000, false],
    ],
    [
      [using(1000, false), using(2000, true)],
      [2000, true],
    ],
    [
      [using(2000, true), using(1000, false)],
      [2000, true],
    ],
    [
      [using(3000, true), using(2000, true)],
      [2000, true],
    ],
  ] as const) {
    const found = dependenciesOf(files).get('write');
    assert.deepEqual([found?.refreshMs, found?.isRepeated], expected);
  }
});

suite('passes', () => {
  const passes = (counts: readonly number[], last = NO_PASSES): Passes =>
    counts.reduce((so, known) => countPass(so, { known, isMissing: true }), last);

  test('only those that find more are counted', () => {
    assert.equal(passes([1, 2, 2, 1, 2]).growing, 3);
  });

  test('a complete one starts the count again', () => {
    const complete = countPass(passes([1, 2, 3]), { known: 9, isMissing: false });
    assert.deepEqual(complete, { known: 9, growing: 0 });
    assert.deepEqual(countPass(complete, { known: 9, isMissing: true }), complete);
  });

  test('a hundred may grow; one more is an error', () => {
    const grown = passes(Array.from({ length: 100 }, (_, index) => index + 1));
    assert.equal(endlessError(grown), undefined);
    assert.equal(endlessError(passes([101], grown))?.code, 'ERR_TEMPLATE_LIMIT');
  });
});

test('a secret may be absent if one use allows that, unless a file cannot be rendered without it', () => {
  const required: Dependency = { kind: 'read', path: 'kv/x' };
  const optional: Dependency = { ...required, optional: true };
  const file = (used: Dependency, missing: readonly Dependency[] = []): RenderedFile => {
    const item = rendered('a', missing.length === 0 ? 'content' : 'missing');
    return { ...item, used: new Map([[dependencyKey(used), used]]), missing };
  };
  const cases: readonly (readonly [string, readonly RenderedFile[], boolean])[] = [
    ['required', [file(required)], false],
    ['optional', [file(optional)], true],
    ['both, and there is a value', [file(optional), file(required)], true],
    ['both, in the other order', [file(required), file(optional)], true],
    ['optional, and it is waited for', [file(optional, [optional])], true],
    ['a use that is blocked', [file(optional), file(required, [required])], false],
    ['both within one file, blocked', [file(optional, [required])], false],
    [
      'blocked, in the other order',
      [file(required, [required]), file(optional, [optional])],
      false,
    ],
  ];
  for (const [name, files, expected] of cases) {
    const needed = dependenciesOf(files).get('read:kv/x');
    assert.equal(needed !== undefined && isOptional(needed.dependency), expected, name);
  }
});

test('no file is what a file can be, and what it can keep', () => {
  const none: RenderedFile = { ...rendered('a', 'content'), content: 'no file' };
  const written = decideDelivery({ rendered: [none], kept: new Map(), limit: undefined });
  assert.ok(written.kind === 'write');
  assert.deepEqual(
    written.chosen.map(({ content, isHeldBack }) => [content, isHeldBack]),
    [['no file', false]],
  );
  const [name, kept] = keptFile('a');
  const before = new Map([[name, { ...kept, content: 'no file' } as const]]);
  const held = decideDelivery({
    rendered: [rendered('a', 'error')],
    kept: before,
    limit: undefined,
  });
  assert.ok(held.kind === 'write');
  assert.deepEqual(
    held.chosen.map(({ content, isHeldBack }) => [content, isHeldBack]),
    [['no file', true]],
  );
});
