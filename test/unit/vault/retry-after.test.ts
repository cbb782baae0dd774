import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_RETRY_AFTER_MS, parseRetryAfter } from '../../../src/vault/retry-after.ts';

const NOW = Date.UTC(2026, 0, 1, 12, 0, 0);

const TABLE: readonly [string | undefined, number | undefined][] = [
  ['0', 0],
  ['7', 7000],
  [' 7 ', 7000],
  ['300', 300_000],
  ['86400', MAX_RETRY_AFTER_MS],
  ['Thu, 01 Jan 2026 12:00:30 GMT', 30_000],
  ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  ['Fri, 02 Jan 2026 12:00:00 GMT', MAX_RETRY_AFTER_MS],
  ['Thu, 99 Jan 2026 12:00:00 GMT', undefined],
  [undefined, undefined],
  ['', undefined],
  ['-5', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['2026', MAX_RETRY_AFTER_MS],
  ['99999999999', undefined],
];

for (const [header, waitMs] of TABLE) {
  test(`Retry-After "${header ?? '(none)'}" waits ${waitMs ?? 'as it pleases'}`, () => {
    assert.equal(parseRetryAfter(header, NOW), waitMs);
  });
}
