import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import { Harness, templateFile, type Running } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';

const MINUTE_MS = 60_000;
const KV_FILE = templateFile('kv', '{{#with (secret "kv/app")}}{{a}}{{/with}}');
const DB_FILE = templateFile('db', '{{#with (secret "database/creds/app")}}{{username}}{{/with}}');

function harness(...[t]: ConstructorParameters<typeof Harness>): Harness {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  return h;
}

function startError(running: Running): VouchsafeError {
  const error = running.outcome?.error;
  assert.ok(error instanceof VouchsafeError, 'the start has failed');
  return error;
}

test('a start costs one login, one JWT-SVID and one read of each secret', async (t) => {
  const h = harness(t);
  const { agent } = await h.start({ files: [KV_FILE, DB_FILE] });
  await h.clock.advance(1000);
  assert.ok(agent.isDelivered);
  assert.deepEqual(h.identity.minted, ['vault']);
  assert.deepEqual([h.vault.count('login'), h.vault.count('fetch')], [1, 2]);
});

test('a day passes with one login and always a good credential', async (t) => {
  const h = harness(t);
  await h.start({ files: [KV_FILE, DB_FILE] });
  await h.clock.advance(1000);
  const first = h.writer.get('db');
  for (let passed = 0; passed < 24 * 60; passed += 10) {
    await h.clock.advance(10 * MINUTE_MS);
    assert.ok(h.vault.isGood(h.writer.get('db') ?? ''));
  }
  assert.equal(h.writer.get('db'), first);
  assert.deepEqual([h.vault.count('login'), h.vault.count('fetch', 'database/creds/app')], [1, 1]);
});

test('a deadline that passes ends the start and names the last cause', async (t) => {
  const h = harness(t);
  h.vault.intercept = () => failure('ERR_VAULT_LOGIN_REFUSED');
  const running = await h.start({ files: [KV_FILE], initDeadline: '30s' });
  await h.clock.advance(29_000);
  assert.equal(running.outcome, undefined);
  await h.clock.advance(2000);
  const error = startError(running);
  assert.equal(error.code, 'ERR_AGENT_DEADLINE');
  assert.match(error.message, /within 30s; last cause: ERR_VAULT_LOGIN_REFUSED/);
  assert.equal(error.details['cause_code'], 'ERR_VAULT_LOGIN_REFUSED');
});

test('the deadline names a secret that cannot be read', async (t) => {
  const h = harness(t);
  h.vault.intercept = ({ subject }) =>
    subject === 'kv/app' ? failure('ERR_VAULT_DENIED') : undefined;
  const running = await h.start({ files: [KV_FILE, DB_FILE], initDeadline: '30s' });
  await h.clock.advance(31_000);
  await running.end();
  assert.match(startError(running).message, /ERR_VAULT_DENIED/);
  assert.equal(h.vault.liveTokens, 0, 'nobody can use the token of a failed start');
});

test('with on-missing-vault wait the start goes on after the deadline', async (t) => {
  const h = harness(t);
  h.vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  const running = await h.start({
    files: [KV_FILE],
    initDeadline: '30s',
    onMissingVault: 'wait',
  });
  await h.clock.advance(60 * MINUTE_MS);
  assert.equal(running.outcome, undefined);
  assert.match(h.logger.text(), /still waiting/);
  h.vault.intercept = () => undefined;
  await h.clock.advance(2 * MINUTE_MS);
  assert.ok(running.agent.isDelivered);
});

test('an error that no waiting can mend ends the start at once, even with wait', async (t) => {
  const h = harness(t);
  h.vault.intercept = () => failure('ERR_VAULT_LOGIN_MFA');
  const running = await h.start({ files: [KV_FILE], onMissingVault: 'wait' });
  await h.clock.advance(1000);
  assert.equal(startError(running).code, 'ERR_VAULT_LOGIN_MFA');
  assert.equal(h.vault.count('login'), 1);
});

test('a mounted template with a syntax error ends the start at once', async (t) => {
  const h = harness(t);
  h.templates.set('/t', '{{#if');
  const running = await h.start({ files: [{ name: 'f', templateFile: '/t' }] });
  await h.clock.advance(1000);
  assert.equal(startError(running).code, 'ERR_TEMPLATE_SYNTAX');
});

test('a failure after the first delivery never ends the agent', async (t) => {
  const h = harness(t);
  h.identity.rotate('one');
  const running = await h.start({ files: [KV_FILE, DB_FILE], x509Svid: true });
  await h.clock.advance(1000);
  for (const code of ['ERR_VAULT_LOGIN_MFA', 'ERR_TEMPLATE_LIMIT', 'ERR_BUG'] as const) {
    h.vault.revokeTokens();
    h.vault.intercept = () => failure(code);
    await h.clock.advance(30 * MINUTE_MS);
  }
  h.vault.intercept = () => undefined;
  h.identity.breakOff(failure('ERR_SPIFFE_UNIMPLEMENTED'));
  await h.clock.advance(30 * MINUTE_MS);
  assert.equal(running.outcome, undefined);
  assert.ok(h.vault.isGood(h.writer.get('db') ?? ''), 'and recovers');
  const { phase, errors } = running.agent.status();
  assert.deepEqual(
    [phase, errors.map(({ code }) => code)],
    ['degraded', ['ERR_SPIFFE_UNIMPLEMENTED']],
  );
});

test('an X.509 stream that fails for good ends a start', async (t) => {
  const h = harness(t);
  h.identity.breakOff(failure('ERR_SPIFFE_UNIMPLEMENTED'));
  const running = await h.start({ vault: undefined, auth: undefined, x509Svid: true });
  await h.clock.advance(1000);
  assert.equal(startError(running).code, 'ERR_SPIFFE_UNIMPLEMENTED');
});

test('a rotated X.509-SVID causes a login only in cert mode, in the right order', async (t) => {
  const h = harness(t);
  h.identity.rotate('one');
  await h.start({ files: [KV_FILE], x509Svid: true });
  await h.clock.advance(1000);
  h.identity.rotate('two');
  await h.clock.advance(MINUTE_MS);
  assert.equal(h.vault.count('login'), 1);

  const cert = harness(t);
  cert.identity.rotate('one');
  await cert.start({ files: [DB_FILE], auth: { method: 'cert', role: 'web' }, revokeGrace: '1s' });
  await cert.clock.advance(1000);
  const first = cert.writer.get('db') ?? '';
  cert.writer.before = () => {
    assert.ok(cert.vault.isGood(first), 'the old credential is good until the new one is in place');
    return Promise.resolve();
  };
  cert.identity.rotate('two');
  await cert.clock.advance(MINUTE_MS);
  assert.equal(cert.vault.count('login'), 2);
  assert.ok(cert.vault.isGood(cert.writer.get('db') ?? ''));
  assert.deepEqual([cert.vault.good, cert.vault.liveTokens], [1, 1]);
});

test('before its token expires the agent logs in again and replaces the leases of the old one', async (t) => {
  const h = harness(t);
  h.vault.tokenMaxTtlMs = 100 * MINUTE_MS;
  await h.start({ files: [KV_FILE, DB_FILE] });
  await h.clock.advance(1000);
  for (let passed = 0; passed < 24 * 60; passed += 1) {
    await h.clock.advance(MINUTE_MS);
    assert.ok(h.vault.isGood(h.writer.get('db') ?? ''), `minute ${passed}`);
    assert.ok(h.vault.good <= 2 && h.vault.liveTokens <= 2);
  }
  const logins = h.vault.count('login');
  assert.ok(logins >= 14 && logins <= 18, `${logins} logins`);
  assert.equal(h.vault.count('fetch', 'database/creds/app'), logins, 'one credential a login');
});

test('a token that is revoked behind its back is replaced, and the credentials with it', async (t) => {
  const h = harness(t);
  await h.start({ files: [KV_FILE, DB_FILE], onChange: ['signal:HUP@app'] });
  await h.clock.advance(1000);
  const first = h.writer.get('db');
  h.vault.revokeTokens();
  await h.clock.advance(6 * MINUTE_MS);
  assert.notEqual(h.writer.get('db'), first);
  assert.ok(h.vault.isGood(h.writer.get('db') ?? ''));
  assert.equal(h.vault.count('login'), 2);
  assert.equal(h.notifier.notified.length, 1);
});

test('at the end every token is revoked, within bounds', async (t) => {
  const h = harness(t);
  const running = await h.start({ files: [DB_FILE] });
  await h.clock.advance(1000);
  await running.stop();
  assert.deepEqual(running.outcome, { error: undefined });
  assert.deepEqual([h.vault.good, h.vault.liveTokens], [0, 0]);

  const hanging = harness(t);
  const second = await hanging.start({ files: [DB_FILE] });
  await hanging.clock.advance(1000);
  hanging.vault.intercept = () => Promise.withResolvers<undefined>().promise;
  const before = hanging.clock.monotonicMs();
  await second.stop();
  assert.ok(hanging.clock.monotonicMs() - before <= 6000);
  assert.deepEqual(second.outcome, { error: undefined });
  assert.match(hanging.logger.text(), /not revoked/);
});

test('nothing is revoked at the end where revoke-on-exit is off', async (t) => {
  const h = harness(t);
  const running = await h.start({ files: [DB_FILE], revokeOnExit: false });
  await h.clock.advance(1000);
  await running.stop();
  assert.deepEqual([h.vault.good, h.vault.liveTokens], [1, 1]);
});

test('a stop in the middle of a start ends it without an error and leaves no token', async (t) => {
  const h = harness(t);
  h.vault.intercept = ({ operation }) =>
    operation === 'fetch' ? failure('ERR_VAULT_SEALED') : undefined;
  const running = await h.start({ files: [KV_FILE] });
  await h.clock.advance(1000);
  await running.stop();
  assert.deepEqual(running.outcome, { error: undefined });
  assert.equal(h.vault.liveTokens, 0);
  assert.equal(h.clock.sleeping, 0);
});

test('a single run writes the files, ends, and revokes its token if no lease belongs to it', async (t) => {
  const h = harness(t);
  const running = await h.run(
    (agent, signal) => agent.runOnce(signal),
    h.agent({ files: [KV_FILE] }),
  );
  await running.end();
  assert.deepEqual(running.outcome, { error: undefined });
  assert.equal(h.writer.get('kv'), '1');
  assert.equal(h.vault.liveTokens, 0);
});

test('a single run keeps the token that delivered leases belong to', async (t) => {
  const h = harness(t);
  const running = await h.run(
    (agent, signal) => agent.runOnce(signal),
    h.agent({ files: [DB_FILE] }),
  );
  await running.end();
  assert.ok(h.vault.isGood(h.writer.get('db') ?? ''));
});

test('a single run that is stopped early reports that and leaves no token', async (t) => {
  const h = harness(t);
  h.vault.intercept = ({ operation }) =>
    operation === 'fetch' ? failure('ERR_VAULT_SEALED') : undefined;
  const running = await h.run(
    (agent, signal) => agent.runOnce(signal),
    h.agent({ files: [KV_FILE] }),
  );
  await h.clock.advance(1000);
  await running.stop();
  assert.ok(running.outcome?.error instanceof DOMException, 'the reason of the stop, unchanged');
  assert.equal(h.vault.liveTokens, 0);
});

test('a single run has a deadline', async (t) => {
  const h = harness(t);
  h.vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  const agent = h.agent({ files: [KV_FILE], initDeadline: '10s' });
  const running = await h.run((a, signal) => a.runOnce(signal), agent);
  await running.end();
  assert.equal(startError(running).code, 'ERR_AGENT_DEADLINE');
});

test('an agent without Vault delivers only SVIDs', async (t) => {
  const h = harness(t);
  const running = await h.start({
    vault: undefined,
    auth: undefined,
    files: [{ name: 'token', jwtSvid: ['cloud'] }],
  });
  await h.clock.advance(1000);
  assert.equal(h.writer.get('token'), 'jwt-1');
  await h.clock.advance(3 * MINUTE_MS);
  assert.equal(h.writer.get('token'), 'jwt-2');
  await running.stop();
  assert.deepEqual(h.vault.calls, []);
});

test('an hour of wall clock either way changes nothing for leases', async (t) => {
  const h = harness(t);
  const { agent } = await h.start({ files: [KV_FILE, DB_FILE] });
  await h.clock.advance(1000);
  for (const jumpMs of [60, -120, 60]) {
    h.clock.jump(jumpMs * MINUTE_MS);
    await h.clock.advance(10 * MINUTE_MS);
  }
  assert.deepEqual([h.vault.count('login'), h.vault.count('fetch', 'database/creds/app')], [1, 1]);
  assert.equal(h.vault.count('renewLease'), 1);
  assert.ok((agent.status().files[0]?.age_seconds ?? Infinity) < 400);
});

test('the status shows values, failures and next steps, and no secret', async (t) => {
  const h = harness(t);
  h.vault.put('kv/app', { a: 'planted-value' });
  const { agent } = await h.start({ files: [KV_FILE, DB_FILE] });
  assert.equal(h.agent({ files: [KV_FILE] }).status().phase, 'starting');
  await h.clock.advance(1000);
  const status = agent.status();
  assert.deepEqual([status.phase, status.logins, status.errors], ['ready', 1, []]);
  assert.deepEqual(
    status.secrets.map(({ number, secret, state, lease, next }) => [
      ...[number, secret, state, lease, next],
    ]),
    [
      [1, 'kv/app', 'held', false, 'fetch'],
      [2, 'database/creds/app', 'held', true, 'renew'],
    ],
  );
  const printed = JSON.stringify(status) + h.logger.text();
  for (const secret of ['planted-value', h.writer.get('db') ?? '', 'token-1', 'jwt-1']) {
    assert.ok(!printed.includes(secret), secret);
  }
});
