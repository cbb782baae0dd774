/** Secrets that may be absent, over the life of an agent: files appear, disappear and come back with them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import { Harness, templateFile, type Running } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';
import { StateFile } from '../../../src/agent/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const MINUTE_MS = 60_000;
const HUP = { onChange: ['signal:HUP@app'] };
const OPT = { name: 'opt', secret: 'kv/opt', format: 'json', optional: true, ...HUP };
const KV = templateFile('kv', '{{secret "kv/app#a"}}', HUP);

function harness(t: TestContext): Harness {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.remove('kv/opt');
  return h;
}

async function start(h: Harness, ...files: Record<string, unknown>[]): Promise<Running> {
  const running = await h.start({ files, refresh: '1m' });
  await h.clock.advance(1000);
  return running;
}

/** The state and the error of a secret, as the status shows them. */
function stateOf({ agent }: Running, path: string): readonly unknown[] {
  const { phase, secrets } = agent.status();
  const found = secrets.find(({ secret }) => secret === path);
  return [phase, found?.state, found?.error?.code];
}

suite('a file whose secret is optional', () => {
  test('does not exist while the secret is absent, and nothing waits for it', async (t) => {
    const h = harness(t);
    const running = await start(h, OPT, KV);
    assert.ok(running.agent.isDelivered);
    assert.deepEqual([...h.writer.files], [['kv', '1']]);
    assert.deepEqual(stateOf(running, 'kv/opt'), ['ready', 'absent', undefined]);
    const files = running.agent.status().files.map(({ name, state }) => [name, state]);
    assert.deepEqual(files, [
      ['opt', 'absent'],
      ['kv', 'written'],
    ]);
    assert.deepEqual(running.agent.status().errors, []);
  });

  test('appears with the secret, disappears and comes back; each time the application is notified', async (t) => {
    const h = harness(t);
    const running = await start(h, OPT, KV);
    for (const [round, pw] of [
      [1, 'a'],
      [2, 'b'],
    ] as const) {
      h.vault.put('kv/opt', { pw });
      await h.clock.advance(MINUTE_MS);
      assert.deepEqual(JSON.parse(h.writer.get('opt') ?? 'null'), { pw });
      assert.deepEqual(stateOf(running, 'kv/opt'), ['ready', 'held', undefined]);
      assert.equal(h.notifier.notified.length, 2 * round - 1);
      h.vault.remove('kv/opt');
      await h.clock.advance(MINUTE_MS);
      assert.deepEqual([...h.writer.files.keys()], ['kv']);
      assert.deepEqual(stateOf(running, 'kv/opt'), ['ready', 'absent', undefined]);
      assert.equal(h.notifier.notified.length, 2 * round);
    }
    assert.equal(h.writer.get('kv'), '1');
  });

  test('is the only file: the set is empty, and complete', async (t) => {
    const h = harness(t);
    const { agent } = await start(h, OPT);
    assert.ok(agent.isDelivered);
    assert.equal(h.writer.files.size, 0);
    assert.equal(h.writer.writes > 0, true);
    h.vault.put('kv/opt', { pw: 'x' });
    await h.clock.advance(MINUTE_MS);
    assert.equal(h.writer.files.size, 1);
  });

  test('is read at its refresh interval, as other secrets are', async (t) => {
    const h = harness(t);
    await start(h, OPT);
    await h.clock.advance(10 * MINUTE_MS);
    const count = h.vault.count('fetch', 'kv/opt');
    assert.ok(count >= 10 && count <= 13, String(count));
  });

  test('stays as it is while Vault does not say what is there', async (t) => {
    const h = harness(t);
    h.vault.put('kv/opt', { pw: 'x' });
    const running = await start(h, OPT, KV);
    const before = h.writer.get('opt');
    for (const code of [
      'ERR_VAULT_DENIED',
      'ERR_VAULT_NOT_FOUND', // no handler for route
      'ERR_VAULT_SEALED',
      'ERR_VAULT_UNREACHABLE',
      'ERR_VAULT_MALFORMED',
    ] as const) {
      h.vault.intercept = ({ subject }) => (subject === 'kv/opt' ? failure(code) : undefined);
      await h.clock.advance(3 * MINUTE_MS);
      assert.equal(h.writer.get('opt'), before, code);
      assert.deepEqual(stateOf(running, 'kv/opt'), ['degraded', 'held', code]);
    }
    h.vault.intercept = () => undefined;
    h.vault.remove('kv/opt');
    await h.clock.advance(6 * MINUTE_MS);
    assert.equal(h.writer.get('opt'), undefined);
    for (const code of ['ERR_VAULT_DENIED', 'ERR_VAULT_NOT_FOUND'] as const) {
      h.vault.intercept = ({ subject }) => (subject === 'kv/opt' ? failure(code) : undefined);
      await h.clock.advance(3 * MINUTE_MS);
      assert.equal(h.writer.get('opt'), undefined);
      assert.deepEqual(stateOf(running, 'kv/opt'), ['degraded', 'absent', code]);
    }
  });

  test('holds a start back where Vault does not say that it is absent', async (t) => {
    for (const code of ['ERR_VAULT_DENIED', 'ERR_VAULT_NOT_FOUND'] as const) {
      const h = harness(t);
      h.vault.intercept = ({ subject }) => (subject === 'kv/opt' ? failure(code) : undefined);
      const running = await h.start({ files: [OPT, KV], initDeadline: '30s' });
      await h.clock.advance(31_000);
      await running.end();
      const error = running.outcome?.error;
      assert.ok(error instanceof VouchsafeError);
      assert.deepEqual([error.code, error.details['cause_code']], ['ERR_AGENT_DEADLINE', code]);
    }
  });

  test('does not exist without its key', async (t) => {
    const h = harness(t);
    h.vault.put('kv/opt', { other: '1' });
    await start(h, { ...OPT, secret: 'kv/opt#pw', format: 'raw' });
    assert.equal(h.writer.get('opt'), undefined);
    h.vault.put('kv/opt', { pw: '2' });
    await h.clock.advance(MINUTE_MS);
    assert.equal(h.writer.get('opt'), '2');
    h.vault.put('kv/opt', { other: '3' });
    await h.clock.advance(MINUTE_MS);
    assert.equal(h.writer.get('opt'), undefined);
  });

  test('with a template of its own needs nothing else while its secret is absent', async (t) => {
    const h = harness(t);
    h.vault.remove('kv/other');
    const own = { ...OPT, format: undefined, template: '{{pw}}{{secret "kv/other#x"}}' };
    const { agent } = await start(h, own, KV);
    assert.ok(agent.isDelivered);
    assert.equal(h.vault.count('fetch', 'kv/other'), 0);
    h.vault.put('kv/other', { x: '!' });
    h.vault.put('kv/opt', { pw: 'p' });
    await h.clock.advance(2 * MINUTE_MS);
    assert.equal(h.writer.get('opt'), 'p!');
  });

  test('that goes away while no agent runs is noticed by the next one, which notifies', async (t) => {
    const h = harness(t);
    const state = (): StateFile => new StateFile(join(tempDirectory(t), 'state'), h.clock);
    const first = state();
    h.vault.put('kv/opt', { pw: 'x' });
    const running = await h.start({ files: [OPT, KV], revokeOnExit: false }, first);
    await h.clock.advance(1000);
    running.kill();
    await running.end();
    h.vault.remove('kv/opt');
    const next = await h.start({ files: [OPT, KV] }, first);
    await h.clock.advance(1000);
    assert.ok(next.agent.isDelivered);
    assert.deepEqual([...h.writer.files.keys()], ['kv']);
    assert.equal(h.notifier.notified.length, 1);
  });
});

suite('an optional secret in a template', () => {
  const LIST =
    '{{#each (secrets "kv/teams")}}{{#with (optionalSecret (concat "kv/teams/" this))}}{{../this}}={{pw}};{{/with}}{{/each}}';

  test('of a list: a deleted team stops nothing', async (t) => {
    const h = harness(t);
    h.vault.put('kv/teams', { keys: ['a', 'b'] });
    h.vault.put('kv/teams/a', { pw: '1' });
    h.vault.remove('kv/teams/b');
    const { agent } = await start(h, templateFile('teams', LIST));
    assert.ok(agent.isDelivered);
    assert.equal(h.writer.get('teams'), 'a=1;');
    h.vault.put('kv/teams/b', { pw: '2' });
    h.vault.put('kv/teams/a', { pw: '3' });
    await h.clock.advance(2 * MINUTE_MS);
    assert.equal(h.writer.get('teams'), 'a=3;b=2;');
  });

  test('may be used again within the condition, as a required one', async (t) => {
    const h = harness(t);
    const source = '{{#if (optionalSecret "kv/opt")}}{{secret "kv/opt#pw"}}{{else}}none{{/if}}';
    const running = await start(h, templateFile('if', source));
    assert.equal(h.writer.get('if'), 'none');
    h.vault.put('kv/opt', { pw: 'x' });
    await h.clock.advance(2 * MINUTE_MS);
    assert.equal(h.writer.get('if'), 'x');
    h.vault.remove('kv/opt');
    await h.clock.advance(2 * MINUTE_MS);
    assert.equal(h.writer.get('if'), 'none');
    assert.deepEqual(stateOf(running, 'kv/opt'), ['ready', 'absent', undefined]);
  });

  test('that another file requires is required', async (t) => {
    const h = harness(t);
    const needed = templateFile('needed', '{{secret "kv/opt#pw"}}');
    const running = await h.start({ files: [OPT, needed], initDeadline: '60s', refresh: '5m' });
    await h.clock.advance(20_000);
    assert.deepEqual(stateOf(running, 'kv/opt'), ['starting', 'pending', 'ERR_VAULT_NOT_FOUND']);
    h.vault.put('kv/opt', { pw: 'x' });
    await h.clock.advance(30_000);
    assert.ok(running.agent.isDelivered, 'it is read as often as at any start');
    assert.equal(h.writer.get('needed'), 'x');
    h.vault.remove('kv/opt');
    await h.clock.advance(20 * MINUTE_MS);
    assert.equal(h.writer.get('needed'), 'x', 'the last good files stay');
    assert.deepEqual(
      JSON.parse(h.writer.get('opt') ?? 'null'),
      { pw: 'x' },
      'both, as they belong together',
    );
    assert.equal(running.agent.status().phase, 'degraded');
    assert.ok(h.vault.count('fetch', 'kv/opt') < 65, 'its waits are those of a start');
    h.vault.put('kv/opt', { pw: 'y' });
    await h.clock.advance(5 * MINUTE_MS);
    assert.equal(h.writer.get('needed'), 'y');
    assert.equal(running.agent.status().phase, 'ready');
  });

  test('with a lease: the credential is revoked once no file holds it', async (t) => {
    const h = harness(t);
    h.vault.define('database/creds/opt', {
      kind: 'dynamic',
      ttlMs: 10 * MINUTE_MS,
      renewable: false,
    });
    const source =
      '{{#with (optionalSecret "database/creds/opt")}}{{username}}{{else}}none{{/with}}';
    await start(h, templateFile('db', source));
    assert.ok(h.vault.isGood(h.writer.get('db') ?? ''));
    h.vault.remove('database/creds/opt');
    await h.clock.advance(11 * MINUTE_MS);
    assert.equal(h.writer.get('db'), 'none');
    assert.equal(h.vault.good, 0);
  });
});
