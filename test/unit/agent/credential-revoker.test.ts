import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Harness, templateFile } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';
import type { ErrorCode } from '../../../src/core/index.ts';

const MINUTE_MS = 60_000;
const DOCUMENT = {
  files: [templateFile('db', '{{#with (secret "database/creds/app")}}{{username}}{{/with}}')],
  revokeGrace: '0s',
};

/** An agent whose lease is replaced every nine minutes or so, and whose revocations fail as they are set to. */
async function replacing(h: Harness, code: ErrorCode): Promise<void> {
  h.vault.define('database/creds/app', {
    kind: 'dynamic',
    ttlMs: 10 * MINUTE_MS,
    renewable: false,
  });
  h.vault.intercept = ({ operation }) => (operation === 'revokeLease' ? failure(code) : undefined);
  await h.start(DOCUMENT);
  await h.clock.advance(60 * MINUTE_MS);
}

function replaced(h: Harness): number {
  const count = h.vault.count('fetch') - 1;
  assert.ok(count >= 6);
  return count;
}

function warnings(h: Harness): number {
  return h.logger.lines.filter(
    ({ level, message }) => level === 'warn' && /not revoked/.test(message),
  ).length;
}

test('a failed revocation is tried three times, and logged once', async (t) => {
  const h = new Harness(t);
  await replacing(h, 'ERR_VAULT_SERVER');
  assert.equal(h.vault.count('revokeLease'), replaced(h) * 3);
  assert.equal(warnings(h), 1);
});

test('a revocation that a policy denies is not retried, and logged once', async (t) => {
  const h = new Harness(t);
  await replacing(h, 'ERR_VAULT_DENIED');
  assert.equal(h.vault.count('revokeLease'), replaced(h));
  assert.equal(warnings(h), 1);
});

test('a lease that is gone already needs no word', async (t) => {
  for (const code of ['ERR_VAULT_LEASE_GONE', 'ERR_VAULT_TOKEN_INVALID'] as const) {
    const h = new Harness(t);
    await replacing(h, code);
    assert.equal(h.vault.count('revokeLease'), replaced(h));
    assert.equal(warnings(h), 0);
  }
});

test('at the end a revocation that hangs does not delay the others', async (t) => {
  const h = new Harness(t);
  h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 24 * 60 * MINUTE_MS });
  h.vault.tokenRenewable = false;
  const running = await h.start({ ...DOCUMENT, revokeGrace: '5m' });
  await h.clock.advance(52 * MINUTE_MS);
  assert.equal(h.vault.liveTokens, 2);
  const hanging = Promise.withResolvers<undefined>();
  const names = h.vault.calls.length;
  h.vault.intercept = () => (h.vault.calls.length === names + 1 ? hanging.promise : undefined);
  await running.stop();
  assert.equal(h.vault.liveTokens, 1);
});

test('a batch token cannot be revoked: at the end its leases are revoked one by one', async (t) => {
  const h = new Harness(t);
  h.vault.tokenType = 'batch';
  h.vault.tokenRenewable = false;
  h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 24 * 60 * MINUTE_MS });
  const running = await h.start(DOCUMENT);
  await h.clock.advance(55 * MINUTE_MS);
  assert.equal(h.vault.count('login'), 2);
  assert.equal(h.vault.good, 2);
  await running.stop();
  assert.equal(h.vault.count('revokeToken'), 0);
  assert.deepEqual([h.vault.count('revokeLease'), h.vault.good], [1, 1]);
  assert.equal(warnings(h), 0);
});

test('leases of a batch token that are in their grace period at the end are revoked too', async (t) => {
  const h = new Harness(t);
  h.vault.tokenType = 'batch';
  h.vault.define('database/creds/app', {
    kind: 'dynamic',
    ttlMs: 10 * MINUTE_MS,
    renewable: false,
  });
  const running = await h.start({ ...DOCUMENT, revokeGrace: '5m' });
  while (h.vault.count('fetch') < 2) await h.clock.advance(1000);
  await running.stop();
  assert.deepEqual([h.vault.count('revokeLease'), h.vault.good], [2, 0]);
});

test('a token that expires in its grace period is not revoked: Vault would reject it', async (t) => {
  for (const [revokeGrace, revoked] of [
    ['1s', 1],
    ['30m', 0],
  ] as const) {
    const h = new Harness(t);
    h.vault.tokenRenewable = false;
    h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 10 * MINUTE_MS });
    await h.start({ ...DOCUMENT, revokeGrace });
    while (h.vault.count('login') < 2) await h.clock.advance(MINUTE_MS);
    await h.clock.advance(40 * MINUTE_MS);
    assert.deepEqual([h.vault.count('login'), h.vault.count('revokeToken')], [2, revoked]);
    assert.equal(h.vault.liveTokens, 1);
  }
});
