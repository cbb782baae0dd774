import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { loginTable } from '../../../src/agent/logins.ts';
import { createObtainer } from '../../../src/agent/obtain.ts';
import { Sessions } from '../../../src/agent/sessions.ts';
import { Values } from '../../../src/agent/values.ts';
import { NO_METRICS, type Dependency, type VouchsafeError } from '../../../src/core/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { ModelIdentity } from '../../helpers/model-identity.ts';
import { failure, ModelVault } from '../../helpers/model-vault.ts';
import { seededRandom } from '../../helpers/random.ts';
import { recordingLogger } from '../../helpers/recorder.ts';

const MINUTE_MS = 60_000;
const REFRESH_MS = 5 * MINUTE_MS;

function read(path: string): Dependency {
  return { kind: 'read', path };
}

const AUTH = {
  method: 'jwt',
  mount: 'jwt',
  role: undefined,
  audience: 'vault',
  tokenFile: undefined,
} as const;

interface Bench {
  readonly values: Values;
  readonly sessions: Sessions;
  readonly vault: ModelVault;
  readonly identity: ModelIdentity;
  readonly clock: FakeClock;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly failures: VouchsafeError[];
  readonly signal: AbortSignal;
  /** Asks for paths and lets the first reads happen. */
  readonly want: (...paths: readonly string[]) => Promise<void>;
  readonly get: (path: string) => unknown;
}

function bench(t: TestContext): Bench {
  const clock = new FakeClock();
  const random = seededRandom(3);
  const vault = new ModelVault(clock, t);
  const identity = new ModelIdentity(clock);
  const logger = recordingLogger();
  const controller = new AbortController();
  const { signal } = controller;
  const onChange = (): void => undefined;
  const common = { clock, random, logger, metrics: NO_METRICS, onChange };
  const sessions = new Sessions({ ...common, vault, login: () => vault.login() });
  const obtainer = createObtainer({
    logins: loginTable([{ name: undefined, sessions, vault, auth: AUTH, grants: undefined }]),
    identity,
    clock,
    random,
    grants: undefined,
  });
  const failures: VouchsafeError[] = [];
  const onFailure = (error: VouchsafeError): number => failures.push(error);
  const values = new Values({ ...common, obtainer, onFailure });
  const move = async (): Promise<void> => {
    for await (const { id } of sessions.updates(signal)) values.moveLeasesTo(id);
  };
  const work = [sessions.run(signal), values.run(signal), move()];
  t.after(async () => {
    controller.abort();
    await Promise.allSettled(work);
    await settle();
    assert.equal(clock.sleeping, 0, 'no timer is left');
  });
  return {
    values,
    sessions,
    vault,
    identity,
    clock,
    logger,
    failures,
    signal,
    async want(...paths) {
      for (const path of paths) values.track(read(path), REFRESH_MS);
      await settle();
    },
    get: (path) => values.lookup(read(path))?.value,
  };
}

test('a value is read once, however often it is tracked', async (t) => {
  const { vault, get, want } = bench(t);
  vault.put('kv/app', { password: 'p' });
  await want('kv/app', 'kv/app');
  await want('kv/app');
  assert.deepEqual(get('kv/app'), { password: 'p' });
  assert.equal(vault.count('fetch'), 1);
  assert.equal(vault.count('login'), 1);
});

test('each value has its own schedule', async (t) => {
  const { vault, values, clock, want } = bench(t);
  vault.put('kv/slow', { a: 1 });
  vault.put('kv/fast', { a: 1 });
  await want('kv/slow');
  values.track(read('kv/fast'), 10_000);
  await clock.advance(4 * MINUTE_MS);
  assert.ok(vault.count('fetch', 'kv/slow') <= 2);
  assert.ok(vault.count('fetch', 'kv/fast') >= 24);
});

test('a value that stays the same causes no rendering; a changed one does', async (t) => {
  const { vault, values, clock, get, want, signal } = bench(t);
  vault.put('kv/app', { a: 1, deep: { b: [1] } });
  await want('kv/app');
  let wakes = 0;
  const count = async (): Promise<void> => {
    for await (const _ of values.changes.updates(signal)) wakes += 1;
  };
  const counting = count().catch(() => undefined);
  await settle();
  const before = wakes;
  await clock.advance(30 * MINUTE_MS);
  assert.ok(vault.count('fetch') >= 6);
  assert.equal(wakes, before);
  vault.put('kv/app', { a: 1, deep: { b: [2] } });
  await clock.advance(6 * MINUTE_MS);
  assert.equal(wakes, before + 1);
  assert.deepEqual(get('kv/app'), { a: 1, deep: { b: [2] } });
  t.after(() => counting);
});

test('a renewal that fails among nineteen that succeed changes nothing for those', async (t) => {
  const { vault, clock, get, want } = bench(t);
  const paths = Array.from({ length: 20 }, (_, index) => `database/creds/role-${index}`);
  for (const path of paths) vault.define(path, { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  await want(...paths);
  await clock.advance(1000);
  const names = paths.map((path) => JSON.stringify(get(path)));
  const bad = `lease-${usernameOf(get('database/creds/role-7'))}`;
  vault.intercept = (call) =>
    call.operation === 'renewLease' && call.subject === bad
      ? failure('ERR_VAULT_SERVER')
      : undefined;
  await clock.advance(3 * 60 * MINUTE_MS);
  const changed = paths.filter((path, index) => JSON.stringify(get(path)) !== names[index]);
  assert.deepEqual(changed, ['database/creds/role-7']);
  assert.equal(vault.count('fetch', 'database/creds/role-7'), 2, 'one new credential');
  assert.equal(vault.count('fetch'), 21);
  assert.equal(vault.count('login'), 1);
});

test('a renewal that fails once issues no new credential', async (t) => {
  const { vault, clock, want } = bench(t);
  vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  await want('database/creds/app');
  vault.intercept = (call) =>
    call.operation === 'renewLease' && vault.count('renewLease') === 1
      ? failure('ERR_VAULT_TIMEOUT')
      : undefined;
  await clock.advance(70 * MINUTE_MS);
  assert.equal(vault.count('fetch'), 1);
  assert.ok(vault.count('renewLease') >= 2);
});

test('renewals that always fail issue at most one new credential per lease, before its end', async (t) => {
  const { vault, clock, get, want } = bench(t);
  vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  await want('database/creds/app');
  vault.intercept = (call) =>
    call.operation === 'renewLease' ? failure('ERR_VAULT_BAD_REQUEST') : undefined;
  for (let minute = 0; minute < 600; minute += 1) {
    await clock.advance(MINUTE_MS);
    assert.ok(vault.isGood(usernameOf(get('database/creds/app'))), `minute ${minute}`);
  }
  assert.ok(vault.count('fetch') <= 13, `${vault.count('fetch')} credentials in ten leases`);
});

test('a lease that reaches its max TTL is replaced before, and remembered as superseded', async (t) => {
  const { vault, values, clock, get, want } = bench(t);
  vault.define('database/creds/app', {
    kind: 'dynamic',
    ttlMs: 10 * MINUTE_MS,
    maxTtlMs: 25 * MINUTE_MS,
  });
  await want('database/creds/app');
  const first = usernameOf(get('database/creds/app'));
  while (usernameOf(get('database/creds/app')) === first) {
    assert.ok(vault.isGood(first));
    await clock.advance(10_000);
  }
  assert.ok(vault.isGood(first), 'make before break');
  assert.deepEqual(
    values.superseded.map(({ key, lease }) => [key, lease.id]),
    [['read:database/creds/app', `lease-${first}`]],
  );
  const taken = values.superseded;
  values.forget(taken);
  assert.deepEqual(values.superseded, []);
});

test('a lease that Vault no longer knows is replaced at once', async (t) => {
  const { vault, clock, get, want } = bench(t);
  vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 10 * MINUTE_MS });
  await want('database/creds/app');
  vault.revokeLeases();
  await clock.advance(7 * MINUTE_MS + 1000);
  assert.ok(vault.isGood(usernameOf(get('database/creds/app'))));
  assert.ok(vault.count('renewLease') >= 1);
  assert.equal(vault.count('fetch'), 2);
});

test('a new login replaces every lease, also one that was under way meanwhile', async (t) => {
  const { vault, sessions, values, clock, get, want } = bench(t);
  const gate = Promise.withResolvers<undefined>();
  for (const name of ['a', 'b', 'slow']) {
    vault.define(`database/creds/${name}`, { kind: 'dynamic', ttlMs: 24 * 60 * MINUTE_MS });
  }
  await want('database/creds/a', 'database/creds/b');
  vault.intercept = (call) => (call.subject === 'database/creds/slow' ? gate.promise : undefined);
  await want('database/creds/slow');
  sessions.replace();
  await clock.advance(1000);
  assert.equal(vault.count('login'), 2);
  gate.resolve(undefined);
  await clock.advance(1000);
  const { current } = sessions;
  for (const { held } of values.entries) assert.equal(held?.lease?.session, current?.id);
  assert.equal(vault.count('fetch', 'database/creds/slow'), 2);
  assert.equal(values.superseded.length, 3);
  assert.ok(vault.isGood(usernameOf(get('database/creds/slow'))));
});

test('a renewal under way when a new login comes does not keep the lease at the old token', async (t) => {
  const { vault, sessions, values, clock, want } = bench(t);
  vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 10 * MINUTE_MS });
  await want('database/creds/app');
  const gate = Promise.withResolvers<undefined>();
  vault.intercept = (call) => (call.operation === 'renewLease' ? gate.promise : undefined);
  await clock.advance(7 * MINUTE_MS);
  sessions.replace();
  await clock.advance(1000);
  gate.resolve(undefined);
  await clock.advance(1000);
  const [entry] = values.entries;
  assert.equal(entry?.held?.lease?.session, sessions.current?.id);
  assert.equal(vault.count('fetch'), 2);
});

test('a token that Vault does not know leads to one login and to new leases', async (t) => {
  const { vault, clock, get, want } = bench(t);
  vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 10 * 60 * MINUTE_MS });
  vault.put('kv/app', { a: 1 });
  await want('kv/app', 'database/creds/app');
  vault.revokeTokens();
  await clock.advance(6 * MINUTE_MS);
  assert.equal(vault.count('login'), 2);
  assert.ok(vault.isGood(usernameOf(get('database/creds/app'))), 'long before its renewal is due');
  assert.equal(vault.count('fetch', 'database/creds/app'), 2);
});

test('failed reads back off up to a cap, and are logged once', async (t) => {
  const { vault, clock, logger, failures, want } = bench(t);
  vault.define('kv/app', {
    kind: 'answer',
    answer: () => {
      throw failure('ERR_VAULT_NOT_FOUND');
    },
  });
  await want('kv/app');
  await clock.advance(10 * MINUTE_MS);
  const count = vault.count('fetch');
  assert.ok(count >= 20 && count <= 55, `${count} reads in ten minutes`);
  assert.equal(failures.length, count);
  const gaps = gapsOf(vault);
  assert.ok(Math.min(...gaps) >= 500, 'a floor');
  assert.ok(Math.max(...gaps) <= 30_000, 'a cap');
  assert.equal(logger.lines.filter(({ message }) => /not refreshed/.test(message)).length, 1);
});

test('Retry-After wins over the own wait', async (t) => {
  const { vault, clock, want } = bench(t);
  vault.define('kv/app', {
    kind: 'answer',
    answer: () => {
      throw failure('ERR_VAULT_THROTTLED', 120_000);
    },
  });
  await want('kv/app');
  await clock.advance(10 * MINUTE_MS);
  assert.ok(Math.min(...gapsOf(vault)) >= 120_000);
  assert.ok(Math.max(...gapsOf(vault)) <= 150_000);
});

test('a wrapped value is asked for slowly: within an hour a few times, the value stays, one line', async (t) => {
  const { vault, clock, get, want, failures, logger } = bench(t);
  vault.put('kv/app', { password: 'p' });
  await want('kv/app');
  vault.intercept = ({ operation }) =>
    operation === 'fetch' ? failure('ERR_VAULT_WRAPPED') : undefined;
  const before = vault.count('fetch');
  await clock.advance(65 * MINUTE_MS);
  const asked = vault.count('fetch') - before;
  assert.ok(asked >= 4 && asked <= 8, `${asked} requests`);
  assert.deepEqual(get('kv/app'), { password: 'p' });
  const lines = logger.lines.filter(({ message }) => /not refreshed/.test(message));
  assert.equal(lines.length, 1);
  assert.equal(failures.length, asked);
  vault.intercept = () => undefined;
  vault.put('kv/app', { password: 'q' });
  await clock.advance(31 * MINUTE_MS);
  assert.deepEqual(get('kv/app'), { password: 'q' });
});

test('a failed refresh keeps the value, and the error until one succeeds', async (t) => {
  const { vault, values, clock, logger, get, want } = bench(t);
  vault.put('kv/app', { a: 1 });
  await want('kv/app');
  vault.intercept = () => failure('ERR_VAULT_SEALED');
  await clock.advance(60 * MINUTE_MS);
  assert.deepEqual(get('kv/app'), { a: 1 });
  const [entry] = values.entries;
  assert.equal(entry?.error?.code, 'ERR_VAULT_SEALED');
  assert.ok((values.confirmedAtMs([entry.key]) ?? Infinity) < MINUTE_MS, 'its age shows');
  assert.ok(vault.count('fetch') < 30, 'as slow as the refresh');
  vault.intercept = () => undefined;
  await clock.advance(6 * MINUTE_MS);
  assert.equal(entry.error, undefined);
  assert.match(logger.text(), /refreshed again/);
});

test('what no file needs any more is forgotten and its lease handed out', async (t) => {
  const { vault, values, clock, get, want } = bench(t);
  vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 10 * MINUTE_MS });
  vault.put('kv/app', { a: 1 });
  await want('database/creds/app', 'kv/app');
  const lease = `lease-${usernameOf(get('database/creds/app'))}`;
  const dropped = values.dropAllExcept(new Set(['read:kv/app']));
  assert.deepEqual(
    dropped.map((item) => item.lease.id),
    [lease],
  );
  assert.equal(get('database/creds/app'), undefined);
  assert.deepEqual(get('kv/app'), { a: 1 });
  await clock.advance(60 * MINUTE_MS);
  assert.equal(vault.count('renewLease'), 0);
});

test('an unreachable Vault does not delay values of the Workload API', async (t) => {
  const { vault, values, identity, clock, want } = bench(t);
  vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  await want(...Array.from({ length: 20 }, (_, index) => `kv/app-${index}`));
  const dependency: Dependency = { kind: 'jwt-svid', audiences: ['cloud'] };
  values.track(dependency, REFRESH_MS);
  await clock.advance(1000);
  assert.equal(values.lookup(dependency)?.value, 'jwt-1');
  await clock.advance(20 * MINUTE_MS);
  assert.ok(identity.minted.length >= 7, 'and keeps fresh');
});

test('a JWT-SVID is replaced at half of its life, the SPIFFE ID read by the refresh', async (t) => {
  const { values, identity, clock } = bench(t);
  values.track({ kind: 'jwt-svid', audiences: ['b', 'a'] }, REFRESH_MS);
  values.track({ kind: 'spiffe-id' }, REFRESH_MS);
  await clock.advance(MINUTE_MS);
  assert.equal(values.lookup({ kind: 'spiffe-id' })?.value, identity.spiffeId);
  assert.deepEqual([...identity.minted].sort(), ['b,a', 'vault']);
  await clock.advance(2 * MINUTE_MS);
  assert.equal(identity.minted.filter((audiences) => audiences === 'b,a').length, 2);
});

test('an X.509-SVID of a stream is neither fetched nor expires', async (t) => {
  const { values, clock } = bench(t);
  values.setFromStream({ kind: 'x509-svid' }, { svid: 'one' });
  values.track({ kind: 'x509-svid' }, REFRESH_MS);
  await clock.advance(24 * 60 * MINUTE_MS);
  assert.deepEqual(values.lookup({ kind: 'x509-svid' })?.value, { svid: 'one' });
});

test('two thousand values are read with at most eight requests at a time, and kept', async (t) => {
  const { vault, values, clock, want } = bench(t);
  let open = 0;
  let most = 0;
  vault.intercept = async () => {
    most = Math.max(most, ++open);
    await Promise.resolve();
    open -= 1;
    return undefined;
  };
  const paths = Array.from({ length: 2000 }, (_, index) => `kv/app-${index}`);
  for (const path of paths) vault.put(path, { path });
  await want(...paths);
  await settle();
  assert.equal(vault.count('fetch'), 2000);
  assert.ok(most <= 8, `${most} at once`);
  for (const { held } of values.entries) assert.notEqual(held, undefined);
  await clock.advance(REFRESH_MS);
  // Spread evenly over the period: the first of them are due again.
  assert.ok(vault.count('fetch') >= 4000 && vault.count('fetch') <= 4500);
  assert.equal(vault.count('login'), 1);
});

test('more values than the limit are rejected', (t) => {
  const { values, vault } = bench(t);
  vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  for (let index = 0; index < 10_000; index += 1) values.track(read(`kv/${index}`), REFRESH_MS);
  assert.throws(() => values.track(read('kv/more'), REFRESH_MS), { code: 'ERR_TEMPLATE_LIMIT' });
});

test('an hour of wall clock either way changes nothing for leases', async (t) => {
  const { vault, clock, want } = bench(t);
  vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  await want('database/creds/app');
  clock.jump(60 * MINUTE_MS);
  await clock.advance(10 * MINUTE_MS);
  clock.jump(-120 * MINUTE_MS);
  await clock.advance(35 * MINUTE_MS);
  assert.equal(vault.count('fetch'), 1);
  assert.ok([1, 2].includes(vault.count('renewLease')));
});

function usernameOf(value: unknown): string {
  assert.ok(typeof value === 'object' && value !== null && 'username' in value);
  return String(value.username);
}

function gapsOf(vault: ModelVault): number[] {
  const times = vault.calls.filter(({ operation }) => operation === 'fetch').map((c) => c.atMs);
  return times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
}
