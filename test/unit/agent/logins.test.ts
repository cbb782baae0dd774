/** Several logins in one agent: each has its own session, and none waits for another. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { templateFile } from '../../helpers/agent-harness.ts';
import { failure, type ModelVault } from '../../helpers/model-vault.ts';
import { MINUTE_MS, StatefulPod } from '../../helpers/stateful-pod.ts';
import { until } from '../../helpers/until.ts';

const USER = '{{#with (secret "database/creds/app")}}{{username}}{{/with}}';
const REPORTS = {
  name: 'other/reports',
  vault: { address: 'https://other.test:8200' },
  auth: { role: 'reports' },
};
const DOCUMENT = {
  logins: [REPORTS],
  files: [
    templateFile('own', USER),
    templateFile('other', USER, { login: REPORTS.name }),
    templateFile('both', '{{secret "kv/app#a"}}', { login: REPORTS.name, refresh: '1m' }),
  ],
};

/** A pod with two Vaults, which have different secrets at the same paths. */
class TwoVaults extends StatefulPod {
  readonly other: ModelVault = this.addVault(REPORTS.name);

  define(): this {
    this.other.put('kv/app', { a: 'of the other' });
    this.other.define('database/creds/app', { kind: 'dynamic', ttlMs: 10 * MINUTE_MS });
    this.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 10 * MINUTE_MS });
    return this;
  }

  get vaultsOfFiles(): readonly (readonly [string, ModelVault])[] {
    return [
      ['own', this.vault],
      ['other', this.other],
    ];
  }

  assertGood(): void {
    for (const [file, vault] of this.vaultsOfFiles) {
      assert.ok(vault.isGood(this.writer.get(file) ?? ''), file);
    }
  }

  async endsWith(tokens: number): Promise<void> {
    for (const [, vault] of this.vaultsOfFiles) {
      await until(() => vault.liveTokens === tokens);
      assert.equal(vault.good, tokens);
    }
  }
}

suite('several logins', () => {
  test('each file has the value of its own login, from one session for each', async (t) => {
    const pod = new TwoVaults(t).define();
    const { agent } = await pod.sidecar(DOCUMENT);
    pod.assertGood();
    assert.equal(pod.writer.get('both'), 'of the other');
    assert.deepEqual([pod.vault.count('login'), pod.other.count('login')], [1, 1]);
    assert.equal(pod.vault.count('fetch', 'kv/app'), 0, 'no value is asked of another Vault');
    const { logins, sessions, secrets } = agent.status();
    assert.equal(logins, 2);
    assert.deepEqual(
      sessions.map(({ number, login, logins: count, error }) => [number, login, count, error]),
      [
        [1, null, 1, null],
        [2, REPORTS.name, 1, null],
      ],
    );
    assert.deepEqual(secrets.map(({ secret }) => secret).sort(), [
      'database/creds/app',
      `database/creds/app by login ${REPORTS.name}`,
      `kv/app by login ${REPORTS.name}`,
    ]);
  });

  test('a Vault that is down does not stop the other', async (t) => {
    const pod = new TwoVaults(t).define();
    const running = await pod.sidecar(DOCUMENT);
    const before = pod.vault.count('renewLease');
    // It neither answers nor ends the connection: requests hang.
    const hanging = Promise.withResolvers<undefined>();
    pod.other.intercept = () => hanging.promise;
    for (let minute = 0; minute < 30; minute += 1) {
      await pod.clock.advance(MINUTE_MS);
      assert.ok(pod.vault.isGood(pod.writer.get('own') ?? ''), `minute ${minute}`);
    }
    assert.ok(pod.vault.count('renewLease') > before + 2, 'its lease is renewed all along');
    hanging.reject(failure('ERR_VAULT_UNREACHABLE'));
    pod.other.intercept = () => undefined;
    for (let minute = 0; minute < 5; minute += 1) await pod.clock.advance(MINUTE_MS);
    pod.assertGood();
    await running.stop();
    await pod.endsWith(0);
  });

  test('a start names the login that fails', async (t) => {
    const pod = new TwoVaults(t).define();
    pod.other.intercept = () => failure('ERR_VAULT_UNREACHABLE');
    const running = await pod.start({ ...DOCUMENT, initDeadline: '10s' }, pod.stateFile());
    await pod.clock.advance(5000);
    const failing = running.agent.status().sessions.filter(({ error }) => error !== null);
    assert.deepEqual(
      failing.map(({ login, error }) => [login, error?.code]),
      [[REPORTS.name, 'ERR_VAULT_UNREACHABLE']],
    );
    await running.end();
    assert.match(String(running.outcome?.error), /ERR_VAULT_UNREACHABLE/);
    assert.equal(pod.vault.liveTokens, 0, 'what the other login had is revoked');
  });

  test('a lost token is replaced by its own login, and only its leases follow', async (t) => {
    const pod = new TwoVaults(t).define();
    await pod.sidecar(DOCUMENT);
    const own = pod.writer.get('own');
    pod.other.revokeTokens();
    for (let minute = 0; minute < 10; minute += 1) await pod.clock.advance(MINUTE_MS);
    pod.assertGood();
    assert.deepEqual([pod.vault.count('login'), pod.other.count('login')], [1, 2]);
    assert.equal(pod.writer.get('own'), own);
  });

  test('a rotated certificate logs in again by each login that uses it', async (t) => {
    const pod = new TwoVaults(t).define();
    const [reports] = DOCUMENT.logins;
    pod.identity.rotate('first');
    await pod.sidecar({
      ...DOCUMENT,
      logins: [{ ...reports, auth: { method: 'cert', role: 'reports' } }],
    });
    pod.identity.rotate('second');
    await until(() => pod.other.count('login') === 2);
    assert.equal(pod.vault.count('login'), 1);
  });

  test('all tokens are revoked at the end', async (t) => {
    const pod = new TwoVaults(t).define();
    const running = await pod.sidecar(DOCUMENT);
    await running.stop();
    await pod.endsWith(0);
    assert.deepEqual(
      pod.vaultsOfFiles.map(([, vault]) => vault.count('revokeToken')),
      [1, 1],
    );
  });

  test('a Vault that is down at the end delays no revocation at the other, and its token is left to the successor', async (t) => {
    const pod = new TwoVaults(t).define();
    const running = await pod.sidecar(DOCUMENT);
    pod.other.intercept = () => failure('ERR_VAULT_UNREACHABLE');
    await running.stop();
    assert.equal(pod.vault.liveTokens, 0);
    const state = JSON.parse(pod.stateText) as {
      state: { others: Record<string, { session: null; retired: readonly unknown[] }> };
    };
    const left = state.state.others[REPORTS.name];
    assert.equal(left?.session, null);
    assert.equal(left.retired.length, 1);
    pod.other.intercept = () => undefined;
    await pod.sidecar(DOCUMENT);
    await pod.clock.advance(MINUTE_MS);
    await until(() => pod.other.count('revokeToken') >= 2);
    assert.equal(pod.other.liveTokens, 1, 'that of the successor');
  });
});

suite('several logins: hand-over', () => {
  test('a successor continues with every session and every lease', async (t) => {
    const pod = new TwoVaults(t).define();
    await pod.init(DOCUMENT);
    const files = ['own', 'other'].map((name) => pod.writer.get(name));
    await pod.clock.advance(MINUTE_MS);
    const { agent } = await pod.sidecar(DOCUMENT);
    assert.deepEqual([pod.vault.count('login'), pod.other.count('login')], [1, 1]);
    assert.deepEqual(
      ['own', 'other'].map((name) => pod.writer.get(name)),
      files,
    );
    assert.equal(agent.status().logins, 2);
    for (let minute = 0; minute < 60; minute += 5) await pod.clock.advance(5 * MINUTE_MS);
    pod.assertGood();
    assert.deepEqual([pod.vault.count('login'), pod.other.count('login')], [1, 1]);
  });

  test('a login whose role changed starts afresh, its old token is revoked, and the others continue', async (t) => {
    const pod = new TwoVaults(t).define();
    await pod.init(DOCUMENT);
    await pod.sidecar({ ...DOCUMENT, logins: [{ ...REPORTS, auth: { role: 'another' } }] });
    await pod.clock.advance(MINUTE_MS);
    assert.deepEqual([pod.vault.count('login'), pod.other.count('login')], [1, 2]);
    await until(() => pod.other.count('revokeToken') === 1);
    pod.assertGood();
    assert.equal(pod.other.liveTokens, 1);
  });

  test('a token is never sent to the Vault of another login', async (t) => {
    const pod = new TwoVaults(t).define();
    await pod.init(DOCUMENT);
    const elsewhere = { ...REPORTS, vault: { address: 'https://third.test:8200' } };
    await pod.sidecar({ ...DOCUMENT, logins: [elsewhere] });
    await pod.clock.advance(MINUTE_MS);
    assert.equal(pod.other.count('revokeToken'), 0);
    assert.equal(pod.vault.count('revokeToken'), 0);
  });

  test('a saved login in an unknown format is revoked, not continued', async (t) => {
    const pod = new TwoVaults(t).define();
    await pod.init(DOCUMENT);
    writeFileSync(
      join(pod.directory, 'state.json'),
      pod.stateText.replace(/("others":.*?"session":\{"token":"[^"]+",)"fullTtlMs":\d+/, '$1"x":1'),
    );
    await pod.sidecar(DOCUMENT);
    await pod.clock.advance(MINUTE_MS);
    assert.deepEqual([pod.vault.count('login'), pod.other.count('login')], [1, 2]);
    await until(() => pod.other.count('revokeToken') === 1);
  });
});
