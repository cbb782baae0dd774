import type { Validity } from '../../../src/contracts/index.ts';
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  lastRenewalMs,
  longestWaitMs,
  MIN_INTERVAL_MS,
  planJwtSvid,
  planLease,
  planValue,
  rotationPhase,
  spreadFirst,
  waitsOfRefresh,
  type PlanContext,
} from '../../../src/agent/schedule.ts';

const WALL_MS = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const seconds = (min: number, max: number): fc.Arbitrary<number> =>
  fc.integer({ min, max }).map((count) => count * 1000);
const contexts: fc.Arbitrary<PlanContext> = fc.record({
  monotonicMs: fc.integer({ min: 0, max: 10 ** 9 }),
  wallMs: fc.constant(WALL_MS),
  random: chance.map((value) => ({ next: () => value })),
  refreshMs: seconds(1, 86_400),
});

function context(more: Partial<PlanContext> = {}): PlanContext {
  return {
    monotonicMs: 0,
    wallMs: WALL_MS,
    random: { next: () => 0.5 },
    refreshMs: 300_000,
    ...more,
  };
}

test('nothing is planned earlier than the least interval, whatever the server responds', () => {
  const anyMs = fc.integer({ min: 0, max: 2 ** 40 });
  const validities: fc.Arbitrary<Validity> = fc.oneof(
    fc.constant<Validity>({ kind: 'static' }),
    fc.record({
      kind: fc.constant('lease' as const),
      leaseId: fc.constant('a/b'),
      durationMs: anyMs,
      renewable: fc.boolean(),
      endsAtMs: fc.integer({ min: WALL_MS - 2 ** 38, max: WALL_MS + 2 ** 38 }),
    }),
    fc.record({ kind: fc.constant('rotation' as const), ttlMs: anyMs }),
    fc.record({
      kind: fc.constant('expires' as const),
      notBeforeMs: fc.integer({ min: WALL_MS - 2 ** 38, max: WALL_MS + 2 ** 38 }),
      expiresAtMs: fc.integer({ min: WALL_MS - 2 ** 38, max: WALL_MS + 2 ** 38 }),
      isStored: fc.constant(true as const),
    }),
  );
  fc.assert(
    fc.property(validities, contexts, (validity, where) => {
      const plan = planValue(validity, where);
      assert.ok(plan.atMs >= where.monotonicMs + MIN_INTERVAL_MS);
      assert.ok(!Number.isNaN(plan.expiresAtMs));
    }),
  );
});

test('a lease is renewed at about two thirds of what it was granted for', () => {
  fc.assert(
    fc.property(seconds(2, 86_400), contexts, (durationMs, where) => {
      const plan = planLease({ durationMs, renewable: true }, durationMs, where);
      assert.equal(plan.action, 'renew');
      assert.equal(plan.expiresAtMs, where.monotonicMs + durationMs);
      const share = (plan.atMs - where.monotonicMs) / durationMs;
      assert.ok(share >= 0.59 && share <= 0.71);
    }),
  );
});

test('what cannot be renewed, or no further, is replaced before it ends', () => {
  fc.assert(
    fc.property(
      seconds(2, 86_400),
      fc.double({ min: 0.05, max: 0.94, noNaN: true }),
      contexts,
      (fullMs, share, where) => {
        const durationMs = Math.max(2000, fullMs * share);
        for (const renewable of [true, false]) {
          if (renewable && durationMs >= fullMs * 0.95) continue;
          const plan = planLease({ durationMs, renewable }, fullMs, where);
          assert.equal(plan.action, 'fetch');
          assert.ok(plan.atMs < plan.expiresAtMs, 'before its end');
          assert.ok(plan.atMs - where.monotonicMs >= durationMs / 2 - 1, 'not in haste');
        }
      },
    ),
  );
});

test('a short lease is replaced three seconds before its end: a delivery may wait for others', () => {
  const last = planLease({ durationMs: 9000, renewable: true }, 10_000, context());
  assert.equal(last.atMs, 6000);
  assert.equal(lastRenewalMs(10_000, 10_000), 7500);
  assert.equal(planLease({ durationMs: 4000, renewable: false }, 4000, context()).atMs, 2000);
});

test('a lease that grants nothing is replaced after the least interval', () => {
  const plan = planLease({ durationMs: 0, renewable: true }, HOUR_MS, context());
  assert.deepEqual(plan, { action: 'fetch', atMs: MIN_INTERVAL_MS, expiresAtMs: 0 });
});

test('trying to renew ends early enough for a replacement', () => {
  fc.assert(
    fc.property(seconds(2, 86_400), contexts, (durationMs, where) => {
      const plan = planLease({ durationMs, renewable: true }, durationMs, where);
      const lastMs = lastRenewalMs(plan.expiresAtMs, durationMs);
      assert.ok(lastMs < plan.expiresAtMs);
      if (durationMs > 4000) assert.ok(lastMs > plan.atMs, 'there is time for at least one retry');
    }),
  );
});

test('a plain value is read again within its refresh, spread by a tenth, and never ends', () => {
  fc.assert(
    fc.property(contexts, (where) => {
      const plan = planValue({ kind: 'static' }, where);
      const waitMs = plan.atMs - where.monotonicMs;
      assert.ok(waitMs <= Math.max(MIN_INTERVAL_MS, where.refreshMs));
      assert.ok(waitMs >= where.refreshMs * 0.9 - 1);
      assert.equal(plan.expiresAtMs, Infinity);
    }),
  );
});

const ROTATES: Validity = { kind: 'rotation', ttlMs: 60_000 };
const SLOW = context({ refreshMs: HOUR_MS });
const EARLIER = planValue(ROTATES, SLOW);

test('a rotated value is read from just before its time, or by its refresh if that comes first', () => {
  const known = { ...SLOW, previous: EARLIER };
  const soon = planValue(ROTATES, known);
  assert.ok(soon.atMs >= 59_000 && soon.atMs <= 59_500);
  assert.equal(soon.rotatesAtMs, 60_000);
  const late = planValue({ kind: 'rotation', ttlMs: 24 * HOUR_MS }, known);
  assert.ok(late.atMs <= HOUR_MS);
});

test('the first read of a rotated value may have come between its time and the rotation: read again', () => {
  assert.equal(EARLIER.atMs, 6000);
});

test('a rotation that is late is awaited with growing intervals', () => {
  const again = (nowMs: number, ttlMs: number): number => {
    const where = { ...SLOW, monotonicMs: nowMs, previous: EARLIER, isUnchanged: true };
    const plan = planValue({ kind: 'rotation', ttlMs }, where);
    assert.equal(plan.rotatesAtMs, 60_000, 'still the same one');
    return plan.atMs - nowMs;
  };
  for (const ttlMs of [0, 1000, 59_000]) assert.equal(again(60_000, ttlMs), MIN_INTERVAL_MS);
  assert.equal(again(59_000, 1000), MIN_INTERVAL_MS, 'Vault rounds');
  assert.equal(again(140_000, 0), 10_000);
  assert.ok(again(60_000 + 24 * HOUR_MS, 0) <= HOUR_MS);
});

test('a rotation is awaited from when it is due until the password changes or the next one comes first', () => {
  const before = { name: 'beforeRotation' } as const;
  const awaiting = { name: 'awaitingRotation', dueAtMs: 60_000 } as const;
  for (const [monotonicMs, isUnchanged, ttlMs, phase] of [
    [58_499, true, 1000, before],
    [58_500, true, 1000, { ...awaiting, againMs: MIN_INTERVAL_MS }],
    [59_000, false, 60_000, before],
    [61_000, true, 0, { ...awaiting, againMs: MIN_INTERVAL_MS }],
    [61_000, true, 999, before],
    [76_000, true, 60_000, { ...awaiting, againMs: 2000 }],
    [76_000, true, 2000, { ...awaiting, againMs: 2000 }],
    [76_000, true, 1999, before],
    [76_000, false, 0, before],
  ] as const) {
    const found = rotationPhase(ttlMs, { monotonicMs, isUnchanged, previous: EARLIER });
    assert.deepEqual(found, phase, `${monotonicMs} ms, TTL ${ttlMs} ms, unchanged: ${isUnchanged}`);
  }
  assert.deepEqual(rotationPhase(0, { monotonicMs: 0 }), before, 'the first read');
});

test('a rotation that a schedule has let pass is not awaited beyond the next', () => {
  const where = { ...SLOW, monotonicMs: 118_000, previous: EARLIER, isUnchanged: true };
  const plan = planValue({ kind: 'rotation', ttlMs: 2000 }, where);
  assert.equal(plan.rotatesAtMs, 120_000);
});

test('a value that was rotated before its time, by hand, waits for its new time', () => {
  const plan = planValue(ROTATES, { ...SLOW, monotonicMs: 30_000, previous: EARLIER });
  assert.equal(plan.rotatesAtMs, 90_000);
});

test('a certificate is replaced between two thirds and three quarters of its life', () => {
  fc.assert(
    fc.property(seconds(600, 86_400), contexts, (lifeMs, where) => {
      const expiresAtMs = WALL_MS + lifeMs;
      const plan = planValue(
        { kind: 'expires', notBeforeMs: WALL_MS, expiresAtMs },
        { ...where, refreshMs: 1000 },
      );
      const share = (plan.atMs - where.monotonicMs) / lifeMs;
      assert.ok(share >= 0.64 && share <= 0.76);
      assert.equal(plan.expiresAtMs, where.monotonicMs + lifeMs);
    }),
  );
});

test('a short certificate that is dated back is not issued in a loop, and still replaced in time', () => {
  // Vault dates certificates back by 30 s: of ten seconds of life three quarters are gone at birth.
  const validity = {
    kind: 'expires',
    notBeforeMs: WALL_MS - 30_000,
    expiresAtMs: WALL_MS + 10_000,
  } as const;
  const plan = planValue(validity, context());
  assert.ok(plan.atMs >= 6500 && plan.atMs <= 7500);
});

test('a certificate of a minute is not replaced while half of its life is left', () => {
  const notBeforeMs = WALL_MS - 30_000;
  const plan = planValue(
    { kind: 'expires', notBeforeMs, expiresAtMs: WALL_MS + 60_000 },
    context(),
  );
  assert.ok(plan.atMs >= 39_000 && plan.atMs <= 45_000);
});

test('a certificate that has ended by this clock is read at the pace of its refresh', () => {
  const validity = {
    kind: 'expires',
    notBeforeMs: WALL_MS - HOUR_MS,
    expiresAtMs: WALL_MS - 1,
  } as const;
  assert.ok(planValue(validity, context()).atMs >= 270_000);
});

test('a clock that is behind does not count on more than the life of a certificate', () => {
  const validity = {
    kind: 'expires',
    notBeforeMs: WALL_MS,
    expiresAtMs: WALL_MS + HOUR_MS,
  } as const;
  const plan = planValue(validity, context({ wallMs: WALL_MS - 5 * HOUR_MS }));
  assert.ok(plan.atMs <= 0.75 * HOUR_MS);
  assert.equal(plan.expiresAtMs, HOUR_MS);
});

test('a JWT-SVID is replaced at half of its life', () => {
  fc.assert(
    fc.property(seconds(10, 86_400), contexts, (lifeMs, where) => {
      const svid = { issuedAtMs: WALL_MS, expiresAtMs: WALL_MS + lifeMs };
      const share = (planJwtSvid(svid, where).atMs - where.monotonicMs) / lifeMs;
      assert.ok(share >= 0.49 && share <= 0.56);
    }),
  );
});

test('an old JWT-SVID, served while the SPIRE server is unreachable, is fetched again soon but not in a loop', () => {
  const svid = { issuedAtMs: WALL_MS - 280_000, expiresAtMs: WALL_MS + 20_000 };
  assert.equal(planJwtSvid(svid, context()).atMs, 2000);
  const dying = { issuedAtMs: WALL_MS - 299_000, expiresAtMs: WALL_MS + 1000 };
  assert.equal(planJwtSvid(dying, context()).atMs, MIN_INTERVAL_MS);
});

test('a JWT-SVID without a time of issue is planned from now', () => {
  const plan = planJwtSvid({ issuedAtMs: undefined, expiresAtMs: WALL_MS + 100_000 }, context());
  assert.ok(plan.atMs >= 50_000 && plan.atMs <= 55_000);
});

test('the first step of a fleet is spread evenly, and nothing is issued before its time', () => {
  const plan = planValue({ kind: 'static' }, context());
  const firsts = Array.from({ length: 100 }, (_, index) => {
    const random = { next: (): number => index / 100 };
    return spreadFirst(plan, { monotonicMs: 0, random }).atMs;
  });
  for (const share of [0.25, 0.5, 0.75]) {
    const early = firsts.filter((atMs) => atMs < plan.atMs * share).length;
    assert.ok(Math.abs(early - share * 100) <= 1);
  }
  const ending = planLease({ durationMs: HOUR_MS, renewable: false }, HOUR_MS, context());
  assert.deepEqual(spreadFirst(ending, context()), ending);
  const never = { action: 'fetch', atMs: Infinity, expiresAtMs: Infinity } as const;
  assert.deepEqual(spreadFirst(never, context({ random: { next: () => 0 } })), never);
});

test('failures of what has an end wait by what is left of it, between a second and four minutes', () => {
  assert.ok(longestWaitMs(10_000, 3000) <= 2000, 'a short lease is tried each second or so');
  fc.assert(
    fc.property(
      seconds(1, 86_400),
      fc.double({ min: -1, max: 1, noNaN: true }),
      (fullMs, share) => {
        const leftMs = fullMs * share;
        const waitMs = longestWaitMs(fullMs, leftMs);
        assert.ok(waitMs >= MIN_INTERVAL_MS && waitMs <= 240_000);
        assert.ok(waitMs <= Math.max(MIN_INTERVAL_MS, fullMs / 5));
        if (leftMs > fullMs / 15) assert.ok(waitMs <= Math.max(MIN_INTERVAL_MS, leftMs / 2));
      },
    ),
  );
  assert.equal(longestWaitMs(Infinity, Infinity), 240_000);
});

test('failures of what stays good wait by its refresh', () => {
  assert.deepEqual(waitsOfRefresh(300_000), { minMs: 60_000, maxMs: 300_000 });
  assert.deepEqual(waitsOfRefresh(HOUR_MS), { minMs: 60_000, maxMs: 300_000 });
  assert.deepEqual(waitsOfRefresh(5000), { minMs: 1000, maxMs: 5000 });
  assert.deepEqual(waitsOfRefresh(0), { minMs: 60_000, maxMs: 300_000 });
});

test('a lease whose value ends before it is replaced before that, whatever a renewal grants', () => {
  const grant = { durationMs: HOUR_MS, renewable: true };
  const plan = planLease({ ...grant, endsInMs: 60_000 }, HOUR_MS, context());
  assert.deepEqual(plan, { action: 'fetch', atMs: 51_000, expiresAtMs: 60_000 });
  assert.equal(planLease({ ...grant, endsInMs: 2 * HOUR_MS }, HOUR_MS, context()).action, 'renew');
  const validity = { kind: 'lease', leaseId: 'a/b', ...grant } as const;
  const planned = planValue({ ...validity, endsAtMs: WALL_MS + 60_000 }, context());
  assert.deepEqual(planned, plan);
});

test('a lease without a duration is asked for at the refresh, then less and less often', () => {
  for (const renewable of [true, false]) {
    const validity = { kind: 'lease', leaseId: 'a/b', durationMs: 0, renewable } as const;
    let plan = planValue(validity, context());
    assert.deepEqual([plan.action, plan.expiresAtMs], ['fetch', Infinity]);
    const waits = [plan.atMs];
    for (let index = 0; index < 5; index += 1) {
      const next = planValue(validity, context({ monotonicMs: plan.atMs, previous: plan }));
      waits.push(next.atMs - plan.atMs);
      plan = next;
    }
    assert.deepEqual(waits, [285_000, 570_000, 1_140_000, 2_280_000, HOUR_MS, HOUR_MS]);
    assert.equal(spreadFirst(plan, context()), plan);
    const slow = context({ refreshMs: 5 * HOUR_MS, previous: plan });
    assert.equal(planValue(validity, slow).atMs, 2 * HOUR_MS, 'up to the refresh');
  }
});

test('the answer to a write is not asked for again without a reason', () => {
  const at = (origin: 'read' | 'repeated' | 'made'): number =>
    planValue({ kind: 'static' }, context({ origin })).atMs;
  assert.deepEqual([at('read'), at('repeated'), at('made')], [285_000, 285_000, Infinity]);
  const made = { kind: 'expires', expiresAtMs: WALL_MS + HOUR_MS } as const;
  assert.equal(planValue(made, context({ origin: 'made' })).atMs, 0.7 * HOUR_MS);
});

suite('a value that Vault holds', () => {
  const ends = (inMs: number): Validity => ({
    kind: 'expires',
    expiresAtMs: WALL_MS + inMs,
    isStored: true,
  });

  test('is read at each refresh as well: it may be replaced before its end', () => {
    assert.equal(planValue(ends(HOUR_MS), context()).atMs, 285_000);
    assert.equal(planValue(ends(60_000), context()).atMs, 42_000);
    const made = planValue(ends(HOUR_MS), context({ origin: 'made' }));
    assert.equal(made.atMs, 0.7 * HOUR_MS, 'a write has made it');
  });

  test('is asked for in short, growing intervals from its end until it has changed', () => {
    let nowMs = 0;
    let previous = planValue(ends(10_000), context());
    const reads: number[] = [];
    while (nowMs < 10 * HOUR_MS && reads.length < 1000) {
      nowMs = previous.atMs;
      reads.push(nowMs);
      const wallMs = WALL_MS + nowMs;
      previous = planValue(ends(10_000), context({ monotonicMs: nowMs, wallMs, previous }));
    }
    const inTime = reads.filter((atMs) => atMs > 10_000 && atMs < 20_000);
    assert.ok(inTime.length >= 8, `${inTime.length} reads within ten seconds`);
    const late = reads.filter((atMs) => atMs > HOUR_MS);
    assert.ok(late.length <= 9 * 13, `${late.length} reads in nine hours`);
  });

  test('that is always new and has always ended is read at the refresh: the clock is ahead', () => {
    const first = planValue(ends(-5000), context());
    const monotonicMs = first.atMs;
    const wallMs = WALL_MS + monotonicMs;
    const where = context({ monotonicMs, wallMs, previous: first });
    const second = planValue(ends(monotonicMs - 5000), where);
    assert.equal(second.atMs - monotonicMs, 285_000);
  });
});
