/** The schedules of a token and of its leases: an agent on a test's clock. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { Harness, templateFile } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';

const ON_CHANGE = { onChange: ['signal:HUP@app'] };
const STEP_MS = 250;

/** An agent with some database users, and how long each of them was in the file. */
class World {
  readonly harness: Harness;
  readonly names: readonly string[];
  badMs = 0;
  readonly #shown = new Map<string, number>();

  constructor(
    t: TestContext,
    names: readonly string[],
    lease: { ttlMs: number; maxTtlMs?: number },
  ) {
    this.harness = new Harness(t);
    this.names = names;
    for (const name of names) {
      this.harness.vault.define(`database/creds/${name}`, { kind: 'dynamic', ...lease });
    }
  }

  get logins(): number {
    return this.harness.vault.count('login');
  }

  get credentials(): number {
    return this.harness.vault.count('fetch');
  }

  /** The shortest time that a credential was in a file, without the one that is there now. */
  get shortestMs(): number {
    return Math.min(...[...this.#shown.values()].slice(0, -this.names.length));
  }

  async run(ms: number): Promise<void> {
    const files = this.names.map((name) =>
      templateFile(name, `{{secret "database/creds/${name}#username"}}`),
    );
    await this.harness.start({ files, ...ON_CHANGE, revokeGrace: '1s' });
    await this.pass(ms);
  }

  async pass(ms: number): Promise<void> {
    const { clock, writer, vault } = this.harness;
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      await clock.advance(STEP_MS);
      for (const name of this.names) {
        const user = writer.get(name);
        if (user === undefined) continue;
        this.#shown.set(user, (this.#shown.get(user) ?? 0) + STEP_MS);
        if (!vault.isGood(user)) this.badMs += STEP_MS;
      }
    }
  }
}

suite('batch tokens of 20 s', () => {
  for (const [title, lease] of [
    ['leases of an hour', { ttlMs: 3_600_000 }],
    ['leases of 20 s', { ttlMs: 20_000 }],
    ['leases of a minute', { ttlMs: 60_000, maxTtlMs: 60_000 }],
  ] as const) {
    test(`${title}: 95 s have as many credentials as logins, and none is short`, async (t) => {
      const world = new World(t, ['web'], lease);
      Object.assign(world.harness.vault, {
        tokenTtlMs: 20_000,
        tokenType: 'batch',
        tokenRenewable: false,
      });
      await world.run(95_000);
      const { logins, credentials, harness } = world;
      assert.deepEqual([credentials, world.badMs], [logins, 0]);
      assert.ok(logins >= 6 && logins <= 8, `${logins} logins`);
      assert.equal(harness.notifier.notified.length, credentials - 1);
      assert.ok(world.shortestMs >= 10_000, `${world.shortestMs} ms in the file`);
    });
  }

  test('several leases: one login, one read of each, one swap and one notification a cycle', async (t) => {
    const world = new World(t, ['a', 'b', 'c', 'd'], { ttlMs: 3_600_000 });
    Object.assign(world.harness.vault, {
      tokenTtlMs: 20_000,
      tokenType: 'batch',
      tokenRenewable: false,
    });
    await world.run(95_000);
    const { logins, credentials, harness, badMs } = world;
    assert.deepEqual([credentials, badMs], [4 * logins, 0]);
    assert.equal(harness.notifier.notified.length, logins - 1);
    assert.equal(harness.writer.swaps, logins);
  });

  test('short leases: a login only where the token would cut the next one', async (t) => {
    const world = new World(t, ['web'], { ttlMs: 10_000, maxTtlMs: 10_000 });
    Object.assign(world.harness.vault, {
      tokenTtlMs: 60_000,
      tokenType: 'batch',
      tokenRenewable: false,
    });
    await world.run(300_000);
    const { logins, credentials, badMs } = world;
    assert.equal(badMs, 0);
    assert.ok(logins >= 5 && logins <= 7, `${logins} logins`);
    assert.ok(credentials >= 30 && credentials <= 52, `${credentials} credentials`);
    assert.ok(world.shortestMs >= 4000, `${world.shortestMs} ms in the file`);
  });
});

test('a service token that is cut by its max TTL: the login precedes the lease that it would cut', async (t) => {
  const world = new World(t, ['web'], { ttlMs: 30_000, maxTtlMs: 30_000 });
  Object.assign(world.harness.vault, { tokenTtlMs: 60_000, tokenMaxTtlMs: 100_000 });
  await world.run(600_000);
  const { logins, credentials, badMs } = world;
  assert.equal(badMs, 0);
  assert.ok(logins >= 6 && logins <= 9, `${logins} logins`);
  assert.ok(credentials <= 31, `${credentials} credentials`);
  assert.ok(world.shortestMs >= 15_000, `${world.shortestMs} ms in the file`);
});

test('leases that Vault loses again and again do not lead to a login each', async (t) => {
  const world = new World(t, ['web'], { ttlMs: 3_600_000 });
  const { vault, clock } = world.harness;
  Object.assign(vault, { tokenTtlMs: 60_000, tokenType: 'batch', tokenRenewable: false });
  await world.run(1000);
  for (let second = 0; second < 120; second += 1) {
    vault.revokeLeases();
    await clock.advance(1000);
  }
  assert.ok(world.logins <= 4, `${world.logins} logins in two minutes`);
});

test('a login that fails does not keep the lease from being replaced', async (t) => {
  const world = new World(t, ['web'], { ttlMs: 3_600_000 });
  const { vault } = world.harness;
  Object.assign(vault, { tokenTtlMs: 60_000, tokenType: 'batch', tokenRenewable: false });
  await world.run(1000);
  vault.intercept = ({ operation }) =>
    operation === 'login' ? failure('ERR_VAULT_UNREACHABLE') : undefined;
  await world.pass(56_000);
  assert.equal(world.badMs, 0);
  assert.ok(world.logins <= 12, `${world.logins} tries`);
  vault.intercept = () => undefined;
  await world.pass(30_000);
  assert.equal(world.harness.vault.isGood(world.harness.writer.get('web') ?? ''), true);
});

test('a token that the token of the agent has made is replaced when that is: it ends with it', async (t) => {
  for (const isBatch of [false, true]) {
    const harness = new Harness(t);
    const { vault, clock, writer } = harness;
    Object.assign(vault, { tokenTtlMs: 60_000, tokenMaxTtlMs: 60_000, tokenRenewable: false });
    vault.tokenType = isBatch ? 'batch' : 'service';
    let made = 0;
    const parents = new Map<string, number>();
    vault.define('auth/token/create', {
      kind: 'answer',
      answer: () => {
        const child = `child-${++made}`;
        parents.set(child, vault.count('login'));
        const expiresAtMs = clock.now() + 3_600_000;
        return { data: { child }, validity: { kind: 'expires', expiresAtMs, isChild: true } };
      },
    });
    const template = '{{secret "auth/token/create#child" ttl="1h"}}';
    const files = [templateFile('token', template)];
    const { agent } = await harness.start({ files, revokeGrace: '0s' });
    for (let passed = 0; passed < 300_000; passed += 1000) {
      await clock.advance(1000);
      // Vault's answer takes no time here, and the delivery at most two seconds.
      const parent = parents.get(writer.get('token') ?? '') ?? 0;
      assert.ok(parent === vault.count('login'), `of login ${parent}`);
    }
    assert.equal(made, vault.count('login'));
    assert.deepEqual([vault.count('revokeLease'), agent.status().secrets[0]?.lease], [0, false]);
  }
});
