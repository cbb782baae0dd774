import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQuantity, quantityOf } from '../../../src/core/index.ts';

test('quantities stand for numbers', () => {
  const known = { '0': 0, '16Mi': 16_777_216, '1.5k': 1500, '100m': 0.1, '2Gi': 2_147_483_648 };
  for (const [text, value] of Object.entries(known)) assert.equal(parseQuantity(text), value);
});

test('an invalid quantity is undefined', () => {
  for (const text of ['', 'Mi', '-1', '1e3', '1Ti', '1 Mi', '1.', '.5', '1MiB', '1constructor']) {
    assert.equal(parseQuantity(text), undefined, text);
  }
});

test('quantities of manifests have every form that the API server accepts', () => {
  const known: readonly (readonly [unknown, number])[] = [
    [2, 2],
    [0.5, 0.5],
    ['500m', 0.5],
    ['.5', 0.5],
    ['1.', 1],
    ['1e3', 1000],
    ['1E-3', 0.001],
    ['1E', 1e18],
    ['250000u', 0.25],
    ['1Ti', 2 ** 40],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['0', 0],
  ];
  for (const [given, value] of known) assert.equal(quantityOf(given), value, String(given));
  for (const given of ['', 'Gi', '-1', -1, Infinity, null, {}, '1 Gi', '1GiB', '1e', '1e999']) {
    assert.equal(quantityOf(given), undefined, JSON.stringify(given));
  }
});
