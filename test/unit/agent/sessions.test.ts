import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Sessions, type Session } from '../../../src/agent/sessions.ts';
import { NO_METRICS, type VouchsafeError } from '../../../src/core/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { failure, ModelVault } from '../../helpers/model-vault.ts';
import { constantRandom, seededRandom } from '../../helpers/random.ts';
import { recordingLogger } from '../../helpers/recorder.ts';

const MINUTE_MS = 60_000;

interface Bench {
  readonly sessions: Sessions;
  readonly vault: ModelVault;
  readonly clock: FakeClock;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly signal: AbortSignal;
  /** Aborts what runs; the clock must then be still. */
  readonly stop: () => Promise<void>;
}

function bench(t: TestContext, random = constantRandom()): Bench {
  const clock = new FakeClock();
  const vault = new ModelVault(clock, t);
  const logger = recordingLogger();
  const controller = new AbortController();
  const sessions = new Sessions({
    vault,
    clock,
    random,
    logger,
    login: () => vault.login(),
    metrics: NO_METRICS,
    onChange: () => undefined,
  });
  const running = sessions.run(controller.signal).catch(() => undefined);
  const stop = async (): Promise<void> => {
    controller.abort(new DOMException('stopped', 'AbortError'));
    await running;
    await settle();
    assert.equal(clock.sleeping, 0, 'no timer is left');
  };
  t.after(stop);
  return { sessions, vault, clock, logger, signal: controller.signal, stop };
}

test('parallel callers share one login', async (t) => {
  const { sessions, vault, signal } = bench(t);
  const all = await Promise.all(Array.from({ length: 20 }, () => sessions.ensure(signal)));
  assert.equal(vault.count('login'), 1);
  assert.equal(new Set(all).size, 1);
  assert.equal(sessions.count, 1);
});

test('nothing logs in before a token is needed', async (t) => {
  const { vault, clock } = bench(t);
  await clock.advance(60 * MINUTE_MS);
  assert.equal(vault.count('login'), 0);
});

test('a token is renewed first at a random part of two thirds of its life, then at each two thirds, with one login', async (t) => {
  const { sessions, vault, clock, signal } = bench(t, seededRandom(1));
  await sessions.ensure(signal);
  while (vault.count('renewToken') === 0) await clock.advance(MINUTE_MS);
  assert.ok(clock.monotonicMs() <= 43 * MINUTE_MS);
  await clock.advance(34 * MINUTE_MS);
  assert.equal(vault.count('renewToken'), 1);
  await clock.advance(9 * MINUTE_MS);
  assert.equal(vault.count('renewToken'), 2);
  await clock.advance(7 * 24 * 60 * MINUTE_MS);
  assert.equal(vault.count('login'), 1);
  assert.equal(vault.liveTokens, 1);
});

test('a token that reaches its max TTL is replaced before its end, and the old one retired until then', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  vault.tokenMaxTtlMs = 100 * MINUTE_MS;
  const first = await sessions.ensure(signal);
  while (vault.count('login') < 2) {
    await clock.advance(MINUTE_MS);
    assert.ok(vault.liveTokens >= 1, 'there is always a valid token');
    assert.ok(clock.monotonicMs() < 100 * MINUTE_MS, 'replaced in time');
  }
  assert.deepEqual(sessions.retired, [first]);
  assert.notEqual(sessions.current, first);
  await clock.advance(20 * MINUTE_MS);
  assert.deepEqual(sessions.retired, [], 'an ended token needs no revocation');
});

test('a token that cannot be renewed is replaced before its end', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  vault.tokenRenewable = false;
  await sessions.ensure(signal);
  await clock.advance(50 * MINUTE_MS);
  assert.equal(vault.count('login'), 1);
  await clock.advance(5 * MINUTE_MS);
  assert.equal(vault.count('login'), 2);
  assert.equal(vault.count('renewToken'), 0);
});

test('a token without end is neither renewed nor replaced', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  vault.tokenTtlMs = 0;
  const session = await sessions.ensure(signal);
  assert.equal(session.plan.expiresAtMs, Infinity);
  await clock.advance(365 * 24 * 60 * MINUTE_MS);
  assert.deepEqual([vault.count('login'), vault.count('renewToken')], [1, 0]);
});

test('a renewal that grants nothing is the end of a token, not life without end', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  await sessions.ensure(signal);
  vault.renewToken = () => Promise.resolve({ ttlMs: 0, renewable: true });
  await clock.advance(25 * MINUTE_MS);
  assert.equal(vault.count('login'), 2);
});

test('one renewal that fails is tried again and costs no login', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  await sessions.ensure(signal);
  vault.intercept = (call) =>
    call.operation === 'renewToken' && vault.count('renewToken') === 1
      ? failure('ERR_VAULT_UNREACHABLE')
      : undefined;
  await clock.advance(50 * MINUTE_MS);
  assert.equal(vault.count('renewToken'), 2);
  assert.equal(vault.count('login'), 1);
});

test('renewals that always fail lead to a login before the end, with waits between the tries', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  const first = await sessions.ensure(signal);
  vault.intercept = (call) =>
    call.operation === 'renewToken' ? failure('ERR_VAULT_DENIED') : undefined;
  await clock.advance(52 * MINUTE_MS);
  assert.equal(vault.count('login'), 2);
  assert.ok(vault.count('renewToken') < 30, 'no loop');
  assert.deepEqual(sessions.retired, [first]);
});

test('Retry-After of a failed renewal wins over the haste of an ending token', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  vault.tokenTtlMs = 100_000;
  await sessions.ensure(signal);
  vault.intercept = (call) =>
    call.operation === 'renewToken' ? failure('ERR_VAULT_THROTTLED', 30_000) : undefined;
  await clock.advance(94_000);
  assert.deepEqual([vault.count('renewToken'), vault.count('login')], [2, 1]);
  await clock.advance(3000);
  assert.equal(vault.count('login'), 2);
});

test('an invalid token is followed by one login at once, without anybody asking', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  const first = await sessions.ensure(signal);
  await clock.advance(10 * MINUTE_MS);
  sessions.invalidate(first);
  sessions.invalidate(first);
  assert.equal(sessions.current, undefined);
  await clock.advance(2000);
  assert.equal(vault.count('login'), 2);
  assert.deepEqual(sessions.retired, [], 'what Vault does not know needs no revocation');
});

test('a renewal that finds the token invalid leads to a login at once', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  await sessions.ensure(signal);
  vault.revokeTokens();
  await clock.advance(25 * MINUTE_MS);
  assert.equal(vault.count('login'), 2);
  assert.equal(vault.count('renewToken'), 1);
});

test('tokens that become invalid soon cause no login storm', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  for (let waited = 0; waited < 600; waited += 1) {
    const { current } = sessions;
    if (current !== undefined) sessions.invalidate(current);
    void sessions.ensure(signal).catch(() => undefined); // waits for the login under way
    await clock.advance(1000);
  }
  assert.ok(vault.count('login') >= 5);
  assert.ok(vault.count('login') <= 10, `${vault.count('login')} logins in ten minutes`);
});

test('a token that lived long is replaced without the waits of earlier trouble', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  for (let times = 0; times < 3; times += 1) {
    sessions.invalidate(await later(sessions, clock, signal));
  }
  const session = await later(sessions, clock, signal);
  await clock.advance(10 * MINUTE_MS);
  const logins = vault.count('login');
  sessions.invalidate(session);
  await clock.advance(1000);
  assert.equal(vault.count('login'), logins + 1);
});

test('a word about an older token does not touch the current one', async (t) => {
  const { sessions, clock, signal } = bench(t);
  const first = await sessions.ensure(signal);
  sessions.replace();
  await clock.advance(1000);
  const second = sessions.current;
  assert.notEqual(second, first);
  sessions.invalidate(first);
  assert.equal(sessions.current, second);
  assert.deepEqual(sessions.retired, []);
});

/** Holds the renewal that is due until it is let go with an answer. */
async function renewalUnderWay({ sessions, vault, clock, signal }: Bench): Promise<{
  readonly first: Session;
  readonly answer: (error?: VouchsafeError) => Promise<void>;
}> {
  const first = await sessions.ensure(signal);
  const gate = Promise.withResolvers<VouchsafeError | undefined>();
  let isHeld = true;
  vault.intercept = (call) => {
    if (call.operation !== 'renewToken' || !isHeld) return undefined;
    isHeld = false;
    return gate.promise;
  };
  while (vault.count('renewToken') === 0) await clock.advance(MINUTE_MS);
  return {
    first,
    async answer(error) {
      gate.resolve(error);
      await settle();
    },
  };
}

for (const [name, outcome] of [
  ['succeeds', undefined],
  ['fails', failure('ERR_VAULT_UNREACHABLE')],
  ['is denied', failure('ERR_VAULT_DENIED')],
  ['finds the token gone', failure('ERR_VAULT_TOKEN_INVALID')],
] as const) {
  test(`a new identity logs in at once while a renewal is under way, which then ${name}`, async (t) => {
    const running = bench(t);
    const { sessions, vault, clock } = running;
    const { first, answer } = await renewalUnderWay(running);
    sessions.replace();
    await settle();
    assert.equal(vault.count('login'), 2, 'the login does not wait for the renewal');
    const second = sessions.current;
    assert.notEqual(second, first);
    const { plan } = second ?? first;
    await answer(outcome);
    assert.equal(sessions.current, second);
    assert.equal(second?.plan, plan, 'the answer is not for the new session');
    const gone = outcome?.code === 'ERR_VAULT_TOKEN_INVALID';
    assert.deepEqual(sessions.retired, gone ? [] : [first]);
    await clock.advance(MINUTE_MS);
    assert.equal(vault.count('login'), 2);
  });

  test(`a token that is lost while its renewal is under way stays lost when that ${name}`, async (t) => {
    const running = bench(t);
    const { sessions, vault, clock, logger } = running;
    const { first, answer } = await renewalUnderWay(running);
    sessions.invalidate(first);
    await clock.advance(1000);
    assert.equal(vault.count('login'), 2, 'the login does not wait for the renewal');
    const second = sessions.current;
    assert.notEqual(second, undefined);
    await answer(outcome);
    await clock.advance(1000);
    assert.equal(sessions.current, second);
    assert.deepEqual([sessions.retired, vault.count('login')], [[], 2]);
    const lines = logger.lines.map(({ message }) => message);
    assert.equal(lines.filter((line) => line === 'vault token is no longer valid').length, 1);
    assert.ok(!lines.includes('vault token was not renewed'));
  });
}

test('a renewal that succeeds after its session was replaced sets the expiry of the old token', async (t) => {
  const running = bench(t);
  const { sessions, clock } = running;
  const { first, answer } = await renewalUnderWay(running);
  sessions.replace();
  await settle();
  await answer();
  await clock.advance(50 * MINUTE_MS);
  assert.deepEqual(sessions.retired, [first], 'it has to be revoked still');
});

test('a login under way with an older identity is followed by one with the new one', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  await sessions.ensure(signal);
  const gate = Promise.withResolvers<undefined>();
  vault.intercept = (call) =>
    call.operation === 'login' && vault.count('login') === 2 ? gate.promise : undefined;
  sessions.replace();
  await settle();
  sessions.replace();
  await settle();
  assert.equal(vault.count('login'), 2, 'never two at a time');
  gate.resolve(undefined);
  await clock.advance(1000);
  assert.equal(vault.count('login'), 3);
  assert.equal(sessions.retired.length, 2);
  await clock.advance(10 * MINUTE_MS);
  assert.equal(vault.count('login'), 3);
});

test('a try that fails because of the older identity is not counted as one of the new one', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  await sessions.ensure(signal);
  let isDown = true;
  vault.intercept = (call) =>
    call.operation === 'login' && isDown ? failure('ERR_VAULT_UNREACHABLE') : undefined;
  sessions.replace();
  await clock.advance(1000);
  sessions.replace();
  isDown = false;
  await clock.advance(5 * MINUTE_MS);
  const logins = vault.count('login');
  await clock.advance(10 * MINUTE_MS);
  assert.equal(
    vault.count('login'),
    logins,
    'the try after it had the new identity: one is enough',
  );
  assert.equal(sessions.count, 2);
});

test('the end waits for a renewal under way', async (t) => {
  const running = bench(t);
  const { answer } = await renewalUnderWay(running);
  let hasEnded = false;
  const stopping = running.stop().then(() => (hasEnded = true));
  await settle();
  assert.equal(hasEnded, false);
  await answer();
  await stopping;
});

test('a token that dies while its successor logs in is not kept as retired', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  const first = await sessions.ensure(signal);
  const gate = Promise.withResolvers<undefined>();
  vault.intercept = (call) => (call.operation === 'login' ? gate.promise : undefined);
  sessions.replace();
  await clock.advance(1000);
  sessions.invalidate(first);
  gate.resolve(undefined);
  await clock.advance(1000);
  assert.equal(vault.count('login'), 2, 'the login under way serves');
  assert.deepEqual(sessions.retired, []);
  assert.notEqual(sessions.current, undefined);
});

test('failed logins are retried with growing, capped waits and by Retry-After, and logged once', async (t) => {
  const { sessions, vault, clock, logger, signal } = bench(t, seededRandom(7));
  vault.intercept = () => failure('ERR_VAULT_LOGIN_REFUSED');
  const waiting = sessions.ensure(signal);
  await clock.advance(10 * MINUTE_MS);
  const count = vault.count('login');
  assert.ok(count >= 25 && count <= 45, `${count} logins in ten minutes`);
  assert.equal(sessions.lastError?.code, 'ERR_VAULT_LOGIN_REFUSED');
  assert.equal(logger.lines.filter(({ level }) => level === 'warn').length, 1);
  vault.intercept = () => failure('ERR_VAULT_THROTTLED', 5 * MINUTE_MS);
  await clock.advance(MINUTE_MS);
  const throttled = vault.count('login');
  await clock.advance(4 * MINUTE_MS - 1000);
  assert.equal(vault.count('login'), throttled);
  vault.intercept = () => undefined;
  await clock.advance(3 * MINUTE_MS);
  await waiting;
  assert.equal(sessions.lastError, undefined);
});

test('a final error ends the first login, but never a later one', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  vault.intercept = () => failure('ERR_VAULT_LOGIN_WRAPPED');
  await assert.rejects(sessions.ensure(signal), { code: 'ERR_VAULT_LOGIN_WRAPPED' });
  vault.intercept = () => undefined;
  sessions.invalidate(await sessions.ensure(signal));
  vault.intercept = () => failure('ERR_VAULT_LOGIN_WRAPPED');
  await clock.advance(5 * MINUTE_MS);
  vault.intercept = () => undefined;
  await clock.advance(4 * MINUTE_MS);
  assert.notEqual(sessions.current, undefined);
});

test('a caller after the end gets the abort reason and starts no login', async (t) => {
  const { sessions, vault, signal, stop } = bench(t);
  await stop();
  await assert.rejects(sessions.ensure(signal), { name: 'AbortError' });
  assert.equal(vault.count('login'), 0);
});

test('an abort in the middle of a login ends the wait with its reason', async (t) => {
  const { sessions, vault, signal, stop } = bench(t);
  vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  const waiting = assert.rejects(sessions.ensure(signal), { name: 'AbortError' });
  await settle();
  await stop();
  await waiting;
});

test('a login whose first caller stops is started again for the next one', async (t) => {
  const { sessions, vault, signal } = bench(t);
  vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  const own = new AbortController();
  const waiting = assert.rejects(sessions.ensure(own.signal), { name: 'AbortError' });
  await settle();
  own.abort(new DOMException('stopped', 'AbortError'));
  await waiting;
  vault.intercept = () => undefined;
  assert.equal((await sessions.ensure(signal)).id, 1);
});

test('a login after a final error is another one', async (t) => {
  const { sessions, vault, signal } = bench(t);
  vault.intercept = () => failure('ERR_VAULT_LOGIN_WRAPPED');
  const tries = [1, 2].map(async (count) => {
    await assert.rejects(sessions.ensure(signal), { code: 'ERR_VAULT_LOGIN_WRAPPED' });
    return count;
  });
  await Promise.all(tries);
  assert.equal(vault.count('login'), 1, 'shared');
  await assert.rejects(sessions.ensure(signal), { code: 'ERR_VAULT_LOGIN_WRAPPED' });
  assert.equal(vault.count('login'), 2);
});

test('a token that is lost in the moment of its login is followed by a login, without anybody asking', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  let lost = 0;
  const invalidate = async (): Promise<void> => {
    for await (const session of sessions.updates(signal)) {
      if (lost < 3) sessions.invalidate(session);
      lost += 1;
    }
  };
  const invalidating = invalidate().catch(() => undefined);
  await sessions.ensure(signal);
  await clock.advance(5 * MINUTE_MS);
  assert.equal(vault.count('login'), 4);
  assert.equal(sessions.current?.id, 4);
  t.after(() => invalidating);
});

test('a role that limits the uses of a token is warned about', async (t) => {
  const { sessions, vault, logger, signal } = bench(t);
  vault.tokenNumUses = 5;
  await sessions.ensure(signal);
  assert.match(logger.text(), /limited number of uses/);
});

test('an hour of wall clock either way changes nothing', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  await sessions.ensure(signal);
  clock.jump(60 * MINUTE_MS);
  await clock.advance(10 * MINUTE_MS);
  clock.jump(-120 * MINUTE_MS);
  await clock.advance(25 * MINUTE_MS);
  assert.deepEqual([vault.count('login'), vault.count('renewToken')], [1, 1]);
  await clock.advance(25 * MINUTE_MS);
  assert.deepEqual([vault.count('login'), vault.count('renewToken')], [1, 2]);
});

test('the session of a predecessor goes on without a login', async (t) => {
  const { sessions, vault, clock, signal } = bench(t);
  const { token } = await vault.login();
  const plan = { action: 'renew', atMs: 5 * MINUTE_MS, expiresAtMs: 20 * MINUTE_MS } as const;
  const life = { startedAtMs: 0, fullTtlMs: 60 * MINUTE_MS, isBatch: false, renewable: true, plan };
  const state = { token, ...life };
  const resumed = sessions.resume(state, 3);
  assert.equal(await sessions.ensure(signal), resumed);
  assert.deepEqual([resumed.id, sessions.count], [3, 3]);
  await clock.advance(6 * MINUTE_MS);
  assert.deepEqual([vault.count('login'), vault.count('renewToken')], [1, 1]);
});

async function later(
  sessions: Sessions,
  clock: FakeClock,
  signal: AbortSignal,
): ReturnType<Sessions['ensure']> {
  const session = sessions.ensure(signal);
  await clock.advance(30_000);
  return session;
}
