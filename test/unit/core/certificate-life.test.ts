import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { certificateLife } from '../../../src/core/index.ts';
import { createAuthority } from '../../../src/dev/ca/index.ts';

const nowMs = Date.UTC(2026, 0, 5);
const authority = createAuthority({ uri: 'spiffe://example.org', nowMs, ttlMs: 86_400_000 });
/** A sequence of two UTCTimes of fifteen bytes each. */
const VALIDITY = '\x30\x1e\x17\x0d';

test('the times of a certificate are read to the second', () => {
  const { der } = authority.issue({ uris: ['spiffe://example.org/a'], nowMs, ttlMs: 3_600_000 });
  const life = certificateLife(new X509Certificate(der));
  assert.deepEqual(life, { fromMs: nowMs - 10_000, toMs: nowMs + 3_600_000 });
});

for (const [which, offset] of [
  ['begin', 2],
  ['end', 17],
] as const) {
  test(`a certificate whose ${which} cannot be read is valid at no time, whatever lies in memory`, () => {
    const { der } = authority.issue({ uris: ['spiffe://example.org/a'], nowMs, ttlMs: 3_600_000 });
    const broken = Buffer.from(der);
    broken.write('xx', broken.indexOf(VALIDITY) + offset + 4);
    for (let turn = 0; turn < 200; turn += 1) {
      const life = certificateLife(new X509Certificate(broken));
      assert.deepEqual(life, { fromMs: Infinity, toMs: -Infinity });
    }
  });
}
