import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQuantity } from '../../../src/core/index.ts';

test('quantities stand for numbers', () => {
  const known = { '0': 0, '16Mi': 16_777_216, '1.5k': 1500, '100m': 0.1, '2Gi': 2_147_483_648 };
  for (const [text, value] of Object.entries(known)) assert.equal(parseQuantity(text), value);
});

test('what is no quantity is none', () => {
  for (const text of ['', 'Mi', '-1', '1e3', '1Ti', '1 Mi', '1.', '.5', '1MiB', '1constructor']) {
    assert.equal(parseQuantity(text), undefined, text);
  }
});
