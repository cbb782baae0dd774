import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jsonBoundsProblem } from '../../../src/core/index.ts';

/** Values and members, counted in what was parsed. */
function partsOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const inner = Object.values(value).map(partsOf);
  const own = Array.isArray(value) ? inner.length : 2 * inner.length;
  return Math.max(1, own) + inner.reduce((sum, parts) => sum + parts, 0);
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

test('the count is that of the value, whatever stands in its texts', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(undefined, 2), (text, space) => {
      const value: unknown = JSON.parse(text);
      const printed = JSON.stringify(value, undefined, space);
      const [parts, depth] = [partsOf(value), depthOf(value)];
      assert.equal(jsonBoundsProblem(printed, { parts, depth }), undefined);
      if (parts > 0)
        assert.match(jsonBoundsProblem(printed, { parts: parts - 1, depth }) ?? '', /parts/);
      if (depth > 0) {
        assert.match(jsonBoundsProblem(printed, { parts, depth: depth - 1 }) ?? '', /nested/);
      }
    }),
  );
});

test('brackets within texts are not counted, and an escaped quote does not end a text', () => {
  const bounds = { parts: 0, depth: 0 };
  for (const text of ['[{,:', '\\"[', '\\', '"]', '\\\\"{']) {
    assert.equal(jsonBoundsProblem(JSON.stringify(text), bounds), undefined);
  }
  assert.match(jsonBoundsProblem('"\\\\"[', bounds) ?? '', /nested/);
});

test('what is not JSON is bounded as well', () => {
  assert.match(jsonBoundsProblem('['.repeat(1000), { parts: 10_000, depth: 64 }) ?? '', /nested/);
  assert.match(jsonBoundsProblem(','.repeat(1000), { parts: 999, depth: 64 }) ?? '', /parts/);
  assert.equal(jsonBoundsProblem('"' + '['.repeat(1000), { parts: 0, depth: 0 }), undefined);
});
