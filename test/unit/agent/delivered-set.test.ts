/** What follows from a write, by what was written, held back and changed. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ChosenFile } from '../../../src/agent/choose-set.ts';
import {
  actionsFor,
  deliveredFiles,
  recordFailed,
  recordWritten,
  replacedLeases,
  usedKeys,
  type DeliveredSet,
} from '../../../src/agent/delivered-set.ts';
import type { Superseded } from '../../../src/agent/values.ts';
import { agentConfig, templateFile } from '../../helpers/agent-harness.ts';

const CONFIG = agentConfig({
  files: [
    templateFile('a', 'text', { onChange: ['signal:HUP@a'] }),
    templateFile('b', 'text', { onChange: ['signal:HUP@b'] }),
  ],
  onChange: ['signal:HUP@all'],
});

const [A, B] = CONFIG.files;

function chosen(file: typeof A, keys: readonly string[], isHeldBack = false): ChosenFile {
  assert.ok(file !== undefined);
  return { file, content: Buffer.from('x'), digest: undefined, keys: new Set(keys), isHeldBack };
}

suite('what is recorded', () => {
  const first = recordWritten(new Map(), [chosen(A, ['x']), chosen(B, ['y'])], {
    changed: [A?.path ?? '', B?.path ?? ''],
    nowMs: 100,
  });

  /** Name -> [known good, changed], where the values were last confirmed at 500 ms. */
  function times(set: DeliveredSet): Readonly<Record<string, readonly [number, number]>> {
    const files = deliveredFiles(set, () => 500, 900);
    return Object.fromEntries(files.map((one) => [one.name, [one.knownGoodAtMs, one.changedAtMs]]));
  }

  test('of a first write: every file is as good as its values', () => {
    assert.deepEqual(times(first), { a: [500, 100], b: [500, 100] });
  });

  test('of a write that changes one file: the other keeps the time of its last change', () => {
    const next = recordWritten(first, [chosen(A, ['x']), chosen(B, ['y'])], {
      changed: [B?.path ?? ''],
      nowMs: 300,
    });
    assert.deepEqual(times(next), { a: [500, 100], b: [500, 300] });
  });

  test('of a file that was held back: it is good as of its last delivery, until it is written again', () => {
    const both = [chosen(A, ['x'], true), chosen(B, ['y'])];
    const next = recordWritten(first, both, { changed: [], nowMs: 300 });
    assert.deepEqual(times(next), { a: [100, 100], b: [500, 100] });
    const again = recordWritten(next, [chosen(A, ['x']), chosen(B, ['y'])], {
      changed: [],
      nowMs: 400,
    });
    assert.deepEqual(times(again), { a: [500, 100], b: [500, 100] });
  });

  test('of a write without a file that was there: it is gone', () => {
    const next = recordWritten(first, [chosen(B, ['y'])], { changed: ['a'], nowMs: 300 });
    assert.deepEqual(times(next), { b: [500, 100] });
  });

  test('of a failure: no file is newer than its last delivery; the set before it is as it was', () => {
    assert.deepEqual(times(recordFailed(first)), { a: [100, 100], b: [100, 100] });
    assert.deepEqual(times(first), { a: [500, 100], b: [500, 100] });
    assert.equal(recordFailed(new Map()).size, 0);
  });

  test('values that are confirmed no more count from now, or from the delivery of a stale file', () => {
    const known = (set: DeliveredSet): readonly number[] =>
      deliveredFiles(set, () => undefined, 900).map(({ knownGoodAtMs }) => knownGoodAtMs);
    assert.deepEqual(known(first), [900, 900]);
    assert.deepEqual(known(recordFailed(first)), [100, 100]);
  });
});

suite('which leases may be released', () => {
  const lease = (key: string): Superseded => ({ key, lease: { id: key, session: 1, fullMs: 1 } });
  const superseded = [lease('x'), lease('y'), lease('gone')];

  for (const [name, set, replaced] of [
    ['all of them after a whole write', [chosen(A, ['x']), chosen(B, ['y'])], ['x', 'y', 'gone']],
    [
      'not those of a file that is held back',
      [chosen(A, ['x'], true), chosen(B, ['y'])],
      ['y', 'gone'],
    ],
    [
      'none where each file uses its own',
      [chosen(A, ['x', 'gone'], true), chosen(B, ['y'], true)],
      [],
    ],
    [
      'also where a file shares the key with one that is held back',
      [chosen(A, ['x'], true), chosen(B, ['x'])],
      ['y', 'gone'],
    ],
  ] as const) {
    test(name, () => {
      assert.deepEqual(
        replacedLeases(set, superseded).map(({ key }) => key),
        replaced,
      );
    });
  }

  test('the keys in use are those of all files, held back or not', () => {
    const keys = usedKeys([chosen(A, ['x', 'z'], true), chosen(B, ['y', 'z'])]);
    assert.deepEqual([...keys].sort(), ['x', 'y', 'z']);
  });
});

suite('how the application is notified', () => {
  const containers = (news: readonly string[], state: Parameters<typeof actionsFor>[2]) =>
    actionsFor(CONFIG, news, state).map((action) =>
      'container' in action ? action.container : '?',
    );

  for (const [news, notified] of [
    [[], []],
    [[A?.path ?? ''], ['a', 'all']],
    [
      [B?.path ?? '', A?.path ?? ''],
      ['a', 'b', 'all'],
    ],
    [['elsewhere'], ['all']],
  ] as const) {
    test(`of ${news.length === 0 ? 'nothing' : news.join(', ')}: ${notified.join(', ') || 'not at all'}`, () => {
      assert.deepEqual(containers(news, 'confirmed'), notified);
      assert.deepEqual(containers(news, 'by-predecessor'), notified);
      assert.deepEqual(containers(news, 'none'), [], 'the application starts with the first set');
    });
  }
});
