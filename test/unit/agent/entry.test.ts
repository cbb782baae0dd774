import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffOf } from '../../../src/agent/entry.ts';
import type { ObtainedValue } from '../../../src/agent/obtain.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { constantRandom } from '../../helpers/random.ts';

const MINUTE_MS = 60_000;
const lease = { id: 'database/creds/app/1', session: 1, fullMs: 60 * MINUTE_MS };

/** The waits after ten failures in a row of a value with so much left of its life. */
function waits(expiresInMs: number, more: Partial<ObtainedValue> = {}): readonly number[] {
  const clock = new FakeClock();
  const expiresAtMs = clock.monotonicMs() + expiresInMs;
  const held: ObtainedValue = {
    value: 'a',
    plan: { action: 'fetch', atMs: 0, expiresAtMs },
    ...more,
  };
  const refreshMs = 5 * MINUTE_MS;
  const backoff = backoffOf({ held, refreshMs }, { random: constantRandom(), clock });
  return Array.from({ length: 10 }, () => backoff.nextMs());
}

test('failures of what has an end wait by its life: a second try at once, the later ones thin', () => {
  const [first = 0, ...later] = waits(60 * MINUTE_MS);
  assert.ok(first <= 1000, `${first} ms`);
  assert.ok(Math.max(...later) <= 4 * MINUTE_MS);
  assert.ok(Math.max(...later) > 2 * MINUTE_MS);
});

test('a lease that has ended is tried by its life', () => {
  assert.ok((waits(-1000, { lease })[0] ?? 0) <= 1000);
});

test('a value that had expired on arrival, by a clock that is ahead, is not retried faster', () => {
  for (const waitMs of waits(-60 * MINUTE_MS)) assert.ok(waitMs >= MINUTE_MS, `${waitMs} ms`);
});
