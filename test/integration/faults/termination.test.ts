/**
 * An agent that is stopped, as a process: in a pod that ends nothing of it stays in Vault; in a pod that lives the
 * next one notifies the application of what has changed.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { eventually, type RunningAgent } from '../../helpers/agent-process.ts';
import { startApplication, type TestApplication } from '../../helpers/application.ts';
import { FaultWorld, FILES } from '../../helpers/fault-world.ts';

const DATABASE = {
  name: 'db',
  template: '{{#with (secret "database/creds/app")}}{{username}}:{{password}}{{/with}}',
};

/** A pod that lives: its volumes, and an application that counts its notifications. */
class Pod implements AsyncDisposable {
  readonly world: FaultWorld;
  notified = 0;
  /** What the application answers. */
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    void response.end();
  #application: TestApplication | undefined;

  private constructor(world: FaultWorld) {
    this.world = world;
  }

  static async start(): Promise<Pod> {
    const pod = new Pod(await FaultWorld.start());
    const { vault } = pod.world;
    await vault.write('sys/mounts/database', { type: 'database' });
    await vault.write('database/config/main', {
      plugin_name: 'postgresql-database-plugin',
      connection_url: 'postgresql://{{username}}:{{password}}@127.0.0.1/main',
      allowed_roles: '*',
      username: 'vault',
      password: 'vault',
    });
    await vault.write('database/roles/app', {
      db_name: 'main',
      creation_statements: [`CREATE ROLE "{{name}}" PASSWORD '{{password}}';`],
      default_ttl: '1h',
      max_ttl: '24h',
    });
    pod.#application = await startApplication((request, response) => {
      pod.notified += 1;
      pod.answer(request, response);
    });
    return pod;
  }

  /** Starts the agent's container, for the first time or again. */
  agent(more: object = {}, flags: readonly string[] = []): Promise<RunningAgent> {
    return this.world.agent(
      {
        stateDirectory: this.world.bench.stateDirectory,
        files: [...FILES, DATABASE],
        onChange: [`http:POST ${this.#application?.url ?? ''}`],
        revokeGrace: '1s',
        ...more,
      },
      flags,
    );
  }

  /** Starts the agent's container, and waits until its files are there and right. */
  async ready(more: object = {}): Promise<RunningAgent> {
    const agent = await this.agent(more);
    await eventually(
      async () => ((await agent.get('/readyz')).status === 200 ? true : undefined),
      'it is not ready',
    );
    return agent;
  }

  /** An agent that was stopped and revokes what it holds, for which Vault has no answer before `heal`. */
  async revoking(): Promise<{ readonly agent: RunningAgent; readonly heal: () => void }> {
    const path = 'auth/token/revoke-self';
    const heal = this.world.vault.faults.add({ match: { path }, respond: 'hang' });
    const agent = await this.ready();
    agent.send('SIGTERM');
    await this.asked(path, 1);
    return { agent, heal };
  }

  /** Whether the credential in the file opens the database. */
  async isOpen(): Promise<boolean> {
    const [username = '', password = ''] = (await this.world.bench.file('db')).split(':');
    return this.world.vault.users.isValidLogin(username, password);
  }

  /** What the pod holds in Vault: tokens beside the root token, leases, database users. */
  get held(): readonly number[] {
    const { vault } = this.world;
    return [vault.tokenAccessors.length - 1, vault.leaseIds.length, vault.users.names.length];
  }

  get statePath(): string {
    return join(this.world.bench.stateDirectory, 'state.json');
  }

  /** Waits until Vault has been asked for a path so often. */
  async asked(path: string, times: number): Promise<void> {
    await this.world.vault.waitFor({ path }, times, AbortSignal.timeout(20_000));
  }

  /** Waits until the pod holds so much in Vault. */
  async holds(...held: readonly number[]): Promise<void> {
    await eventually(
      () => Promise.resolve(this.held.join() === held.join() ? true : undefined),
      () => `held: ${this.held.join()}`,
    );
  }

  /** Waits until the application has been notified so often. */
  async notifiedTimes(times: number): Promise<void> {
    await eventually(
      () => Promise.resolve(this.notified >= times ? true : undefined),
      () => `the application was notified ${this.notified} times`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
    await this.#application?.[Symbol.asyncDispose]();
  }
}

// Most of their time is waiting.
suite('an agent that receives SIGTERM', { concurrency: 4 }, () => {
  test('SIGTERM, then started again in the same pod: the application is notified once', async () => {
    await using pod = await Pod.start();
    for (let restarts = 0; restarts < 3; restarts += 1) {
      const agent = await pod.ready();
      await pod.notifiedTimes(restarts);
      assert.ok(await pod.isOpen());
      assert.deepEqual(pod.held, [1, 1, 1]);
      await agent.kill('SIGTERM');
      assert.equal(await agent.exit(), 0);
      assert.equal(pod.notified, restarts, 'notified once after each restart');
      assert.deepEqual(pod.held, [0, 0, 0]);
      assert.doesNotMatch(await readFile(pod.statePath, 'utf8'), /"token":/);
    }
  });

  test('SIGKILL, then started again: no login, no credential, no notification', async () => {
    await using pod = await Pod.start();
    const killed = await pod.ready();
    const before = await pod.world.bench.file('db');
    await killed.kill('SIGKILL');
    const successor = await pod.ready();
    assert.equal(await pod.world.bench.file('db'), before);
    assert.deepEqual([pod.world.logins, pod.notified], [1, 0]);
    await successor.kill('SIGTERM');
    assert.deepEqual(pod.held, [0, 0, 0]);
  });

  test('SIGTERM before the first delivery: nothing is left, and nothing is notified', async () => {
    await using pod = await Pod.start();
    const heal = pod.world.vault.faults.add({ match: { path: 'kv/app' }, respond: 'hang' });
    const stopped = await pod.agent();
    await pod.asked('database/creds/app', 1);
    await stopped.kill('SIGTERM');
    assert.deepEqual(pod.held, [0, 0, 0]);
    assert.equal(existsSync(pod.statePath), false);
    heal();
    await (await pod.ready()).kill('SIGTERM');
    assert.equal(pod.notified, 0);
  });

  test('SIGTERM while a notification waits for its answer: the successor notifies', async () => {
    await using pod = await Pod.start();
    const files = { files: FILES };
    pod.answer = () => undefined;
    const stopped = await pod.ready(files);
    await pod.world.change(2);
    await pod.notifiedTimes(1);
    await stopped.kill('SIGTERM');
    pod.answer = (_, response) => void response.end();
    const successor = await pod.ready(files);
    await pod.notifiedTimes(2);
    await successor.kill('SIGTERM');
    await (await pod.ready(files)).kill('SIGTERM');
    assert.equal(pod.notified, 2, 'it is not notified again of the same');
  });

  test('SIGTERM while Vault does not revoke: the successor notifies once, and revokes the rest', async () => {
    await using pod = await Pod.start();
    const heal = pod.world.vault.faults.add({
      match: { path: 'auth/token/revoke-self' },
      respond: { status: 503, body: { errors: ['Vault is sealed'] } },
    });
    const stopped = await pod.ready();
    await stopped.kill('SIGTERM');
    assert.ok(await pod.isOpen(), 'Vault has revoked nothing');
    assert.match(await readFile(pod.statePath, 'utf8'), /"token":/);
    heal();
    const successor = await pod.ready();
    await pod.notifiedTimes(1);
    assert.ok(await pod.isOpen());
    await pod.holds(1, 1, 1);
    await successor.kill('SIGTERM');
    assert.deepEqual([pod.held, pod.notified], [[0, 0, 0], 1]);
  });

  test('SIGKILL in the middle of the revocation: the successor resumes no credential, and notifies', async () => {
    await using pod = await Pod.start();
    const { agent: stopped, heal } = await pod.revoking();
    await stopped.kill('SIGKILL');
    heal();
    const successor = await pod.ready();
    await pod.notifiedTimes(1);
    assert.ok(await pod.isOpen());
    await successor.kill('SIGTERM');
    assert.deepEqual([pod.held, pod.notified, pod.world.logins], [[0, 0, 0], 1, 2]);
  });

  test('SIGTERM twice: the second ends it at once, and the successor revokes', async () => {
    await using pod = await Pod.start();
    const { agent: stopped, heal } = await pod.revoking();
    await stopped.kill('SIGTERM');
    assert.equal(await stopped.exit(), 130);
    heal();
    const successor = await pod.ready();
    await pod.notifiedTimes(1);
    await successor.kill('SIGTERM');
    assert.deepEqual([pod.held, pod.notified], [[0, 0, 0], 1]);
  });

  test('the sidecar of a pair: the application keeps its credential while it ends, then nothing is left', async () => {
    await using pod = await Pod.start();
    const sidecar = await pod.ready({ revokeDelay: '4s' });
    sidecar.send('SIGTERM');
    await sidecar.logged(/credentials stay valid while the application shuts down/);
    await pod.asked('auth/token/renew-self', 2);
    assert.ok(await pod.isOpen());
    assert.equal((await sidecar.get('/readyz')).status, 200);
    assert.equal(await sidecar.exit(), 0);
    assert.deepEqual(pod.held, [0, 0, 0]);
  });

  test('the sidecar of a pair, killed before its time: what it held ends by itself in seconds', async () => {
    await using pod = await Pod.start();
    const sidecar = await pod.ready({ revokeDelay: '1h' });
    sidecar.send('SIGTERM');
    await pod.asked('auth/token/renew-self', 1);
    await eventually(
      () => Promise.resolve(/"operation":"token-renew"/.test(sidecar.output) ? true : undefined),
      'the token was not renewed',
    );
    await sidecar.kill('SIGKILL');
    await pod.holds(0, 0, 0);
  });

  test('the sidecar of a pair whose files have no lease ends at once', async () => {
    await using pod = await Pod.start();
    const sidecar = await pod.ready({ revokeDelay: '1h', files: FILES });
    await sidecar.kill('SIGTERM');
    assert.equal(await sidecar.exit(), 0);
    assert.deepEqual(pod.held, [0, 0, 0]);
  });

  test('only an init container: without leases it leaves no token, with one a token that expires at its TTL', async () => {
    await using pod = await Pod.start();
    const alone = { stateDirectory: undefined, revokeOnExit: false };
    assert.equal(await (await pod.agent({ ...alone, files: FILES }, ['--once'])).exit(), 0);
    assert.deepEqual(pod.held, [0, 0, 0]);
    assert.equal(await (await pod.agent(alone, ['--once'])).exit(), 0);
    assert.deepEqual(pod.held, [1, 1, 1]);
    assert.ok(await pod.isOpen(), 'the application uses it');
  });

  test('an init container that fails leaves no token for a pod that may not try again', async () => {
    await using pod = await Pod.start();
    pod.world.vault.faults.add({ match: { path: 'kv/app' }, respond: { status: 500, body: {} } });
    const failed = await pod.agent({ initDeadline: '3s' }, ['--once']);
    assert.notEqual(await failed.exit(), 0);
    assert.deepEqual(pod.held, [0, 0, 0]);
    assert.equal(existsSync(pod.statePath), false);
  });

  test('an init container hands over to a sidecar; at its end nothing is left', async () => {
    await using pod = await Pod.start();
    const init = await pod.agent({}, ['--once']);
    assert.equal(await init.exit(), 0);
    const sidecar = await pod.ready();
    assert.deepEqual([pod.world.logins, pod.notified], [1, 0]);
    await sidecar.kill('SIGTERM');
    assert.deepEqual(pod.held, [0, 0, 0]);
    await pod.ready();
    await pod.notifiedTimes(1);
  });
});
