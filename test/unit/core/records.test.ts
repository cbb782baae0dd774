import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldsOf, isRecord } from '../../../src/core/index.ts';

const NOT_RECORDS: readonly unknown[] = [undefined, null, 'a', 1, true, [], [{ a: 1 }]];

test('an object that is not a list is a record', () => {
  for (const value of [{}, { a: 1 }, Object.create(null)]) assert.equal(isRecord(value), true);
  for (const value of NOT_RECORDS) assert.equal(isRecord(value), false);
});

test('what is not a record has no fields', () => {
  const value = { a: 1 };
  assert.equal(fieldsOf(value), value);
  for (const other of NOT_RECORDS) assert.deepEqual(fieldsOf(other), {});
});
