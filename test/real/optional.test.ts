/**
 * Secrets that may be absent, against the real Vault: never written, deleted, destroyed, undeleted; and what must not
 * be taken for absent: denials, mounts that are gone, a sealed Vault.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import type { AgentStatus } from '../../src/agent/index.ts';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import type { RealVault } from '../helpers/real-vault.ts';
import { startRealWorld, type RealWorld } from '../helpers/real-world.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/optional';

const POLICY = [
  'path "secret/*" { capabilities = ["read", "list"] }',
  'path "kv1/*" { capabilities = ["read", "list"] }',
  'path "moved/*" { capabilities = ["read", "list"] }',
].join('\n');

const LIST =
  '{{#each (secrets "secret/teams")}}{{#with (optionalSecret (concat "secret/teams/" this))}}{{../this}}={{pw}};{{/with}}{{/each}}';

suite('a secret that may be absent', () => {
  let world: RealWorld;
  let vault: RealVault;

  before(async () => {
    world = await startRealWorld({ spiffeId: SPIFFE_ID, role: 'optional', policy: POLICY });
    ({ vault } = world);
    await vault.write('sys/mounts/kv1', { type: 'kv', options: { version: '1' } });
  });

  after(() => world[Symbol.asyncDispose]());

  async function allow(policy: string): Promise<void> {
    await vault.write('sys/policies/acl/optional', { policy });
  }

  async function start(
    bench: AgentBench,
    files: readonly object[],
    more: object = {},
  ): Promise<RunningAgent> {
    return bench.start({
      ...world.servers,
      listen: '127.0.0.1:0',
      refresh: '1s',
      files,
      ...more,
    });
  }

  async function statusOf(agent: RunningAgent): Promise<AgentStatus> {
    return JSON.parse((await agent.get('/status')).body) as AgentStatus; // as the agent writes it
  }

  /** Waits for a state of a secret; gives the code of its error. */
  async function state(
    agent: RunningAgent,
    path: string,
    name: string,
  ): Promise<string | undefined> {
    return await eventually(async () => {
      const status = await statusOf(agent);
      const found = status.secrets.find(({ secret }) => secret === path);
      return found?.state === name ? [found.error?.code] : undefined;
    }, `${path} is never ${name}`).then(([code]) => code);
  }

  /** Waits for an error of a secret. */
  async function failing(agent: RunningAgent, path: string, code: string): Promise<void> {
    await eventually(async () => {
      const { secrets } = await statusOf(agent);
      return secrets.find(({ secret }) => secret === path)?.error?.code === code || undefined;
    }, `${path} never has ${code}`);
  }

  async function gone(bench: AgentBench, name: string): Promise<void> {
    const complaint = `${name} is never removed`;
    await eventually(async () => !(await visible(bench)).includes(name) || undefined, complaint);
  }

  async function visible(bench: AgentBench): Promise<readonly string[]> {
    return (await readdir(bench.output)).filter((name) => !name.startsWith('..'));
  }

  test('of KV v2: never written, written, deleted, undeleted, destroyed, without its metadata', async () => {
    await using bench = await AgentBench.create();
    await vault.write('secret/data/app', { data: { user: 'one' } });
    const word = '{{#with (optionalSecret "secret/opt")}}{{pw}}{{else}}none{{/with}}';
    const agent = await start(bench, [
      { name: 'opt', secret: 'secret/opt#pw', optional: true },
      { name: 'word', template: word },
      { name: 'app', secret: 'secret/app#user' },
    ]);
    await bench.until('word', (text) => text === 'none');
    assert.deepEqual((await visible(bench)).toSorted(), ['app', 'word']);
    assert.equal(await state(agent, 'secret/opt', 'absent'), undefined);
    const { phase, errors } = await statusOf(agent);
    assert.deepEqual([phase, errors], ['ready', []]);
    assert.match((await agent.get('/metrics')).body, /^vouchsafe_secret_absent\{secret="\d"\} 1$/m);

    const here = async (pw: string): Promise<void> => {
      await bench.until('word', (text) => text === pw);
      assert.equal(await bench.until('opt', () => true), pw);
    };
    const absent = async (): Promise<void> => {
      await bench.until('word', (text) => text === 'none');
      await gone(bench, 'opt');
      assert.equal(await bench.file('app'), 'one');
    };
    await vault.write('secret/data/opt', { data: { pw: 'planted-1' } });
    await here('planted-1');
    await vault.remove('secret/data/opt');
    await absent();
    await vault.write('secret/undelete/opt', { versions: [1] });
    await here('planted-1');
    await vault.write('secret/destroy/opt', { versions: [1] });
    await absent();
    await vault.write('secret/data/opt', { data: { pw: 'planted-2' } });
    await here('planted-2');
    await vault.remove('secret/metadata/opt');
    await absent();
    assert.equal(await state(agent, 'secret/opt', 'absent'), undefined);
    assert.doesNotMatch(agent.output, /planted|was not refreshed/);
  });

  test('of KV v1, a version, a key, and another engine', async () => {
    await using bench = await AgentBench.create();
    await vault.write('kv1/here', { pw: 'planted-v1' });
    await vault.write('secret/data/versions', { data: { pw: 'planted-old' } });
    await vault.write('secret/data/versions', { data: { pw: 'planted-new' } });
    await vault.write('secret/destroy/versions', { versions: [1] });
    const agent = await start(
      bench,
      [
        { name: 'kv1', secret: 'kv1/none', optional: true },
        { name: 'kv1-here', secret: 'kv1/here#pw', optional: true },
        { name: 'old', secret: 'secret/versions?version=1', optional: true },
        { name: 'new', secret: 'secret/versions?version=2#pw', optional: true },
        { name: 'key', secret: 'secret/versions#nothing', optional: true },
        { name: 'default', template: '{{default (optionalSecret "kv1/here#nothing") "none"}}' },
      ],
      { revokeOnExit: true },
    );
    await bench.until('default', (text) => text === 'none');
    assert.deepEqual((await visible(bench)).toSorted(), ['default', 'kv1-here', 'new']);
    assert.deepEqual(
      [await bench.file('kv1-here'), await bench.file('new')],
      ['planted-v1', 'planted-new'],
    );
    await vault.write('kv1/none', { a: 'b' });
    await bench.until('kv1', (text) => (JSON.parse(text) as { a?: string }).a === 'b');
    await vault.remove('kv1/none');
    await gone(bench, 'kv1');
    assert.equal((await statusOf(agent)).phase, 'ready');
  });

  test('in a list: a team that was deleted is left out, and stops no other', async () => {
    await using bench = await AgentBench.create();
    for (const name of ['a', 'b', 'c']) {
      await vault.write(`secret/data/teams/${name}`, { data: { pw: name.repeat(2) } });
    }
    await vault.remove('secret/data/teams/b');
    const agent = await start(bench, [{ name: 'teams', template: LIST }]);
    await bench.until('teams', (text) => text === 'a=aa;c=cc;');
    await vault.write('secret/undelete/teams/b', { versions: [1] });
    await vault.write('secret/data/teams/a', { data: { pw: 'a3' } });
    await bench.until('teams', (text) => text === 'a=a3;b=bb;c=cc;');
    await vault.remove('secret/metadata/teams/c');
    await bench.until('teams', (text) => text === 'a=a3;b=bb;');
    assert.equal((await statusOf(agent)).phase, 'ready');
  });

  test('is not absent where it is denied: the file stays, and a start fails', async () => {
    await using bench = await AgentBench.create();
    await vault.write('secret/data/denied', { data: { pw: 'planted-denied' } });
    const file = { name: 'denied', secret: 'secret/denied#pw', optional: true };
    const agent = await start(bench, [file]);
    await bench.until('denied', (text) => text === 'planted-denied');
    await allow(`${POLICY}\npath "secret/data/denied" { capabilities = ["deny"] }`);
    await failing(agent, 'secret/denied', 'ERR_VAULT_DENIED');
    assert.equal(await bench.file('denied'), 'planted-denied');
    await using other = await AgentBench.create();
    const late = await start(other, [file], { initDeadline: '3s' });
    assert.equal(await late.exit(), 17, late.output);
    assert.match(await late.terminationMessage(), /ERR_VAULT_DENIED/);
    await allow(POLICY);
    await vault.remove('secret/data/denied');
    await gone(bench, 'denied');
  });

  test('is not absent while its mount is gone or Vault is sealed, and is where the mount is another', async () => {
    await using bench = await AgentBench.create();
    const mount = (version: string): Promise<unknown> =>
      vault.write('sys/mounts/moved', { type: 'kv', options: { version } });
    const write = (path: string, body: object): Promise<unknown> =>
      // Vault upgrades a mount of version 2 for a moment after it was made.
      eventually(
        () =>
          vault.write(path, body).then(
            () => true,
            () => undefined,
          ),
        `no ${path}`,
      );
    await mount('2');
    await write('moved/data/app', { data: { pw: 'two' } });
    const agent = await start(bench, [{ name: 'app', secret: 'moved/app#pw', optional: true }]);
    await bench.until('app', (text) => text === 'two');
    await vault.remove('sys/mounts/moved');
    await eventually(async () => {
      const { secrets } = await statusOf(agent);
      return secrets[0]?.error ?? undefined;
    }, 'a mount that is gone is no error');
    assert.equal(await bench.file('app'), 'two');
    await mount('1');
    await write('moved/app', { pw: 'one' });
    await bench.until('app', (text) => text === 'one');
    await vault.seal();
    await failing(agent, 'moved/app', 'ERR_VAULT_SEALED');
    assert.equal(await bench.file('app'), 'one');
    await vault.unseal();
    await vault.remove('moved/app');
    await gone(bench, 'app');
  });

  test('costs a read, and a look at its mount, at each refresh', async () => {
    await using bench = await AgentBench.create();
    await vault.remove('secret/metadata/cost');
    const agent = await start(bench, [{ name: 'cost', secret: 'secret/cost', optional: true }]);
    await state(agent, 'secret/cost', 'absent');
    const reads = async (): Promise<number> => await vault.count('secret/data/cost');
    const lookups = async (): Promise<number> =>
      await vault.count('sys/internal/ui/mounts/secret/cost');
    await eventually(async () => (await reads()) >= 5 || undefined, 'it is not read again');
    await agent.kill('SIGTERM');
    assert.ok((await lookups()) <= (await reads()) + 1);
  });
});
