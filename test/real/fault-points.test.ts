/**
 * The agent is killed by SIGKILL at each step between login and swap, and at each one after it, at points that
 * are built in (test/helpers/wired-agent.ts): no sleeps, no luck. A successor goes on. What both asked of the
 * real Vault is counted in its audit log.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { startApplication, type TestApplication } from '../helpers/application.ts';
import { Hunt } from '../helpers/hunt.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import { openJwtLogin, startWorkload } from '../helpers/real-world.ts';
import type { Spire } from '../helpers/spire.ts';
import { watchSet, type SetWatch } from '../helpers/watch-set.ts';

const PROGRAM = fileURLToPath(new URL('../helpers/wired-agent.ts', import.meta.url));
const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';
const POLICY = [
  'path "secret/*" { capabilities = ["read"] }',
  'path "sys/leases/revoke" { capabilities = ["update"] }',
].join('\n');
const ENTRY = /^(?:\.\.data|\.\.\d.*|user|pass)$/;

/** What a kill may cost beyond what is due without one. */
interface Cost {
  readonly logins?: number;
  readonly credentials?: number;
  /** Notifications of the same change. */
  readonly notified?: number;
}

/** On the way to the first set. */
const START: Readonly<Record<string, Cost>> = {
  'before fetching the identity': {},
  'after fetching the identity': {},
  'before the login': {},
  'after the login': { logins: 1 },
  'before saving the token': { logins: 1 },
  'after saving the token': {},
  'before reading secret/one': {},
  'after reading secret/one': { credentials: 1 },
  'before saving the credential': { credentials: 1 },
  'after saving the credential': {},
  'before writing the set': {},
  'before creating user': {},
  'after creating user': {},
  'after creating pass': {},
  'before renaming ..data': {},
  'after renaming ..data': {},
  'after renaming user': {},
  'after renaming pass': {},
  'after writing the set': {},
  'before notifying of 0 actions': {},
};

/** On the way from the first set to the next one, of another credential. */
const CHANGE: Readonly<Record<string, Cost>> = {
  'before reading secret/two': {},
  'after reading secret/two': { credentials: 1 },
  'before saving the delivered secret/two': { credentials: 1 },
  'after saving the delivered secret/two': {},
  'after creating user again': {},
  'before renaming ..data again': {},
  'after renaming ..data again': {},
  'after writing the set again': {},
  'before notifying of 1 actions': {},
  'after notifying of 1 actions': { notified: 1 },
  'before revoking the lease': {},
  'after revoking the lease': {},
};

const servers = new AsyncDisposableStack();
const hunt = new Hunt();
let vault: RealVault;
let spire: Spire;

before(async () => {
  spire = servers.use(await startWorkload({ spiffeId: SPIFFE_ID }));
  // KV with leases: each read is a credential, renewable and revocable, as those of a database are.
  vault = servers.use(await startRealVault(['-dev-leased-kv']));
});

after(() => servers.disposeAsync());

/** One pod with a login mount and secrets of its own, so that pods side by side are counted apart. */
class Pod implements AsyncDisposable {
  readonly name: string;
  readonly bench: AgentBench;
  readonly application: TestApplication;
  readonly watch: SetWatch;
  readonly #calls: { count: number };

  private constructor(
    name: string,
    bench: AgentBench,
    { application, calls }: { application: TestApplication; calls: { count: number } },
  ) {
    this.name = name;
    this.#calls = calls;
    this.bench = bench;
    this.application = application;
    this.watch = watchSet(bench.output, ['user', 'pass'], ({ user, pass }) => {
      const which = /^user of (\w+):end$/.exec(user ?? '')?.[1] ?? 'none';
      if (pass === `planted "pässword" of ${which}:end`) return;
      throw new Error('files of two sets, or one that is not whole');
    });
  }

  static async create(name: string): Promise<Pod> {
    const calls = { count: 0 };
    const application = await startApplication((_request, response) => {
      calls.count += 1;
      response.end();
    });
    const bench = await AgentBench.create();
    const pod = new Pod(name, bench, { application, calls });
    const more = { bound_subject: SPIFFE_ID, token_ttl: '1h' };
    await openJwtLogin(vault, spire, { mount: name, role: 'web', policy: POLICY, more });
    for (const which of ['one', 'two']) {
      const password = hunt.plant(`planted "pässword" of ${which}`);
      await vault.write(`secret/${which}/${name}`, {
        user: `user of ${which}`,
        password,
        ttl: '1h',
      });
    }
    await pod.useSecret('one');
    return pod;
  }

  /** How often the application was notified. */
  get notified(): number {
    return this.#calls.count;
  }

  /** Mounts templates that use this secret, all at once as the kubelet does. */
  async useSecret(which: 'one' | 'two'): Promise<void> {
    const templates = join(this.bench.directory, 'templates');
    await mkdir(join(templates, which), { recursive: true });
    for (const [file, key] of [
      ['user', 'user'],
      ['pass', 'password'],
    ] as const) {
      const text = `{{secret "secret/${which}/${this.name}#${key}"}}:end`;
      await writeFile(join(templates, which, file), text);
      if (which === 'one') await symlink(join('..data', file), join(templates, file));
    }
    await symlink(which, join(templates, '..data.new'));
    await rename(join(templates, '..data.new'), join(templates, '..data'));
  }

  /** Starts its agent, which dies at a fault point if one is named. */
  start(faultPoint = ''): Promise<RunningAgent> {
    const templates = join(this.bench.directory, 'templates');
    const document = {
      spiffe: { socket: spire.socket },
      vault: { address: vault.address },
      auth: { role: 'web', mount: this.name },
      listen: '127.0.0.1:0',
      files: ['user', 'pass'].map((name) => ({ name, templateFile: join(templates, name) })),
      onChange: [`http:POST ${this.application.url}`],
      revokeGrace: '50ms',
      stateDirectory: this.bench.stateDirectory,
    };
    // Points name the secret without the pod.
    const env = {
      VOUCHSAFE_TEST_FAULT_POINT: faultPoint.replace(/(?<=secret\/\w+)$/, `/${this.name}`),
    };
    return this.bench.start(document, [], { program: PROGRAM, env });
  }

  delivered(which: 'one' | 'two'): Promise<string> {
    return this.bench.until('user', (text) => text === `user of ${which}:end`);
  }

  /** What Vault has been asked for so far. */
  async asked(): Promise<{ readonly logins: number; readonly one: number; readonly two: number }> {
    return {
      logins: await vault.count(`auth/${this.name}/login`),
      one: await vault.count(`secret/one/${this.name}`, 'read'),
      two: await vault.count(`secret/two/${this.name}`, 'read'),
    };
  }

  /** Whether Vault has leases of a secret. */
  async hasLeases(which: 'one' | 'two'): Promise<boolean> {
    const path = `sys/leases/lookup/secret/${which}/${this.name}?list=true`;
    return (await vault.statusAs(vault.token, path)) === 200;
  }

  /** How many tokens of its logins live. */
  async tokens(): Promise<number> {
    const { keys } = (await vault.read('auth/token/accessors?list=true')) as { keys: string[] }; // a list
    const paths = await Promise.all(
      keys.map(async (accessor) => {
        const answer = await vault
          .write('auth/token/lookup-accessor', { accessor })
          .catch(() => ({}));
        return (answer as { data?: { path?: string } }).data?.path; // gone, where another pod has ended
      }),
    );
    return paths.filter((path) => path === `auth/${this.name}/login`).length;
  }

  /** Ends the agent as the kubelet does: nothing half is left, nothing is leaked, everything is revoked. */
  async end(agent: RunningAgent, lostTokens: number): Promise<void> {
    hunt.assertNone({
      '/status': (await agent.get('/status')).body,
      '/metrics': (await agent.get('/metrics')).body,
    });
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
    hunt.assertNone({ 'the output': agent.output });
    assert.ok((await this.watch.stop()) > 0);
    const entries = await readdir(this.bench.output);
    assert.deepEqual(
      entries.filter((entry) => !ENTRY.test(entry)),
      [],
    );
    assert.deepEqual(await readdir(this.bench.stateDirectory), ['state.json']);
    const tombstone = await readFile(join(this.bench.stateDirectory, 'state.json'), 'utf8');
    assert.doesNotMatch(tombstone, /"token":/, 'what is revoked is not kept');
    assert.equal(await this.tokens(), lostTokens, 'a token that nobody knows ends by its TTL');
    for (const which of ['one', 'two'] as const) assert.equal(await this.hasLeases(which), false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watch.stop().catch(() => undefined); // end() reports it
    await this.bench[Symbol.asyncDispose]();
    await this.application[Symbol.asyncDispose]();
  }
}

async function killed(agent: RunningAgent): Promise<void> {
  await agent.exit();
  assert.equal(agent.endedBy, 'SIGKILL', `it never came to that point:\n${agent.output}`);
  hunt.assertNone({ 'the output of the one that was killed': agent.output });
}

suite('agent killed with SIGKILL on the way to the first set', { concurrency: 3 }, () => {
  for (const [index, [point, { logins = 0, credentials = 0 }]] of Object.entries(START).entries()) {
    test(`SIGKILL ${point}: ${costOf({ logins, credentials })}`, async () => {
      await using pod = await Pod.create(`start-${index}-pod`);
      await killed(await pod.start(point));
      const successor = await pod.start();
      await ready(successor);
      await pod.delivered('one');
      assert.deepEqual(await pod.asked(), { logins: 1 + logins, one: 1 + credentials, two: 0 });
      await pod.end(successor, logins);
      assert.equal(pod.notified, 0, 'the first set causes no notification');
    });
  }
});

suite('agent killed with SIGKILL on the way to the next set', { concurrency: 3 }, () => {
  for (const [index, [point, { credentials = 0, notified = 0 }]] of Object.entries(
    CHANGE,
  ).entries()) {
    test(`SIGKILL ${point}, the next set: ${costOf({ credentials, notified })}`, async () => {
      await using pod = await Pod.create(`change-${index}-pod`);
      const first = await pod.start(point);
      await ready(first);
      await pod.useSecret('two');
      await killed(first);
      const successor = await pod.start();
      await pod.delivered('two');
      await eventually(
        () => Promise.resolve(pod.notified > notified ? true : undefined),
        () => `the application was notified ${pod.notified} times; ${successor.output}`,
      );
      assert.deepEqual(await pod.asked(), { logins: 1, one: 1, two: 1 + credentials });
      await pod.end(successor, 0);
      assert.equal(pod.notified, 1 + notified);
    });
  }
});

/** Waits until this process has confirmed every file. */
async function ready(agent: RunningAgent): Promise<void> {
  await eventually(
    async () => ((await agent.get('/readyz')).status === 200 ? true : undefined),
    () => `not ready:\n${agent.output}`,
  );
}

function costOf(cost: Cost): string {
  const parts = [
    cost.logins === 1 ? ['one more login'] : [],
    cost.credentials === 1 ? ['one more credential'] : [],
    cost.notified === 1 ? ['notified once more'] : [],
  ].flat();
  return parts.length === 0 ? 'it costs nothing' : parts.join(', ');
}
