import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorPage } from '../../../src/check/error-page.ts';

test('a known code leads to its anchor', () => {
  const message = 'ERR_SPIFFE_DENIED: the Workload API has no identity for this workload';
  assert.equal(errorPage(message), 'see docs/reference/errors.md#err_spiffe_denied');
});

test('other messages lead to the page', () => {
  for (const message of ['', 'OOMKilled', 'ERR_X', 'not ERR_BUG', 'toString']) {
    assert.equal(errorPage(message), 'see docs/reference/errors.md');
  }
});
