import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Ledger, Violation } from '../../soak/ledger.ts';
import { mostRequests, recoveryBoundMs } from '../../soak/settings.ts';

function violation(ledger: Ledger): string | undefined {
  const { failure } = ledger;
  return failure instanceof Violation ? failure.message : undefined;
}

suite('the ledger of the soak', () => {
  test('a check that fails while nothing is broken is a violation', () => {
    const ledger = new Ledger();
    ledger.check('login', true, '');
    assert.equal(violation(ledger), undefined);
    ledger.check('login', false, 'password authentication failed');
    assert.equal(violation(ledger), 'the credential logs in: password authentication failed');
    assert.deepEqual(ledger.count('the credential logs in'), { all: 2, bad: 1 });
  });

  test('a fault excuses checks until it is over, and records when they last failed', () => {
    const ledger = new Ledger();
    ledger.faultBegins(['counter']);
    ledger.check('counter', false, 'old');
    assert.equal(ledger.isGoodSince(0), false);
    assert.equal(ledger.notGoodSince(0), 'the counter is fresh (old)');
    ledger.check('counter', true, '');
    assert.equal(ledger.isGoodSince(0), true);
    assert.equal(ledger.isGoodSince(Infinity), false, 'not looked at since then');
    assert.equal(ledger.lastBad.what, 'not: the counter is fresh');
    ledger.faultIsOver();
    assert.equal(violation(ledger), undefined);
    ledger.check('counter', false, 'old again');
    assert.equal(violation(ledger), 'the counter is fresh: old again');
  });

  test('a fault excuses nothing that it cannot break', () => {
    const ledger = new Ledger();
    ledger.faultBegins(['login']);
    ledger.check('jwt', false, 'ended');
    assert.equal(violation(ledger), 'cloud.jwt is valid: ended');
  });

  test('nothing excuses what must always hold', () => {
    const ledger = new Ledger();
    ledger.faultBegins(['login']);
    ledger.stalled(60_000);
    ledger.require('whole sets', false, 'two versions');
    assert.equal(violation(ledger), 'whole sets: two versions');
  });

  test('a machine that stood still is excused for a while', () => {
    const ledger = new Ledger();
    ledger.stalled(10);
    assert.equal(ledger.stalls, 0);
    ledger.stalled(5000);
    ledger.check('counter', false, 'old');
    assert.equal(ledger.stalls, 1);
    assert.equal(ledger.failure, undefined);
  });

  test('the first violation stays; the end is not a violation', () => {
    const ledger = new Ledger();
    ledger.violate('first', 'one');
    ledger.violate('second', 'two');
    assert.equal(violation(ledger), 'first: one');
    const other = new Ledger();
    other.stop();
    other.check('jwt', false, 'after the end');
    assert.equal(other.failure, undefined);
    assert.equal(other.signal.aborted, true);
  });
});

suite('the bounds of the soak', () => {
  test('an hour without faults costs what is due', () => {
    assert.deepEqual(mostRequests(3_600_000, 70, []), {
      logins: 73,
      credentials: 1 + 139 + 70,
      certificates: 301,
      reads: 7202,
    });
  });

  test('a fault costs what it says', () => {
    const none = mostRequests(60_000, 0, []);
    const lost = { costs: { credentials: 'tries', logins: 'once' }, lastedMs: 7000 } as const;
    const one = mostRequests(60_000, 0, [lost]);
    assert.equal(one.logins - none.logins, 1);
    assert.equal(one.credentials - none.credentials, 9);
    assert.equal(one.certificates, none.certificates);
    assert.equal(one.reads - none.reads, 4);
  });

  test('a longer fault may take longer to recover from', () => {
    assert.equal(recoveryBoundMs(7000, 0) - recoveryBoundMs(2000, 0), 10_000);
  });
});
