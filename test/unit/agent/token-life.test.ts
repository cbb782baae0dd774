import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../../src/core/index.ts';
import type { Session } from '../../../src/agent/session-state.ts';
import { needsLogin, tokenLife } from '../../../src/agent/token-life.ts';

const NOW_MS = 1_000_000;

const SESSION: Session = {
  id: 3,
  token: new Secret('hvs.planted'),
  startedAtMs: NOW_MS,
  fullTtlMs: 20_000,
  isBatch: true,
  renewable: false,
  plan: { action: 'fetch', atMs: NOW_MS + 17_000, expiresAtMs: NOW_MS + 20_000 },
};

test('when a token is replaced is known once it cannot be renewed any further', () => {
  const { plan } = SESSION;
  const life = { session: 3, startedAtMs: NOW_MS, replacedAtMs: NOW_MS + 17_000 };
  assert.deepEqual(tokenLife(SESSION), life);
  const renewed = { ...SESSION, plan: { ...plan, action: 'renew' as const } };
  assert.equal(tokenLife(renewed).replacedAtMs, Infinity);
  const endless = { ...SESSION, fullTtlMs: 0, plan: { ...plan, atMs: Infinity } };
  assert.equal(tokenLife(endless).replacedAtMs, Infinity);
});

for (const [name, leftMs, lifeMs, leaseMs, expected] of [
  ['the rest of the token is a fraction of the lease', 4000, 20_000, 19_000, true],
  ['the rest is longer than the lease', 30_000, 60_000, 20_000, false],
  ['the lease would lose a little', 17_000, 60_000, 20_000, false],
  ['the lease would lose a third', 13_000, 60_000, 20_000, true],
  ['each token is shorter than the lease, and this one is new', 19_000, 20_000, 60_000, false],
  ['each token is shorter than the lease, and this one is old', 9000, 20_000, 60_000, true],
  ['the token never ends', Infinity, 20_000, 60_000, false],
  ['the lease has no duration', 4000, 20_000, 0, false],
  ['the login is overdue', -1, 20_000, 19_000, true],
] as const) {
  test(`${expected ? 'a login comes first' : 'no login comes first'}: ${name}`, () => {
    const replacedAtMs = NOW_MS + leftMs;
    const startedAtMs = NOW_MS - (lifeMs - Math.min(leftMs, lifeMs));
    assert.equal(needsLogin({ session: 1, startedAtMs, replacedAtMs }, leaseMs, NOW_MS), expected);
  });
}

test('no lease makes a token need a login in the first quarter of its life', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 10 ** 9 }),
      fc.nat(),
      fc.nat(24),
      (life, lease, age) => {
        const startedAtMs = NOW_MS - (life * age) / 100;
        const token = { session: 1, startedAtMs, replacedAtMs: startedAtMs + life };
        assert.equal(needsLogin(token, lease, NOW_MS), false);
      },
    ),
  );
});
