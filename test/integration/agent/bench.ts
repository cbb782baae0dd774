/** A pod with the real agent in it, between the embedded Vault and the embedded Workload API, on one clock. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { AgentStatus, WriterPort } from '../../../src/agent/index.ts';
import { parseAgentConfig } from '../../../src/config/agent/index.ts';
import { startDevVault, type DevVault } from '../../../src/dev/vault/index.ts';
import { startWorkloadApi, type DevWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import { buildAgent, type BuiltAgent } from '../../../src/agent-runtime/index.ts';
import { runAll } from '../../../src/async/index.ts';
import { createFileWriter } from '../../../src/output/index.ts';
import { createMetrics } from '../../../src/platform/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { MemoryNotifier } from '../../helpers/agent-harness.ts';
import { seededRandom } from '../../helpers/random.ts';
import { recordingLogger } from '../../helpers/recorder.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { startScripted } from '../../helpers/scripted-http.ts';
import { until } from '../../helpers/until.ts';

/** The workload's identity. */
export const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';

/** Values that must never be seen outside the files. */
export const PLANTED = ['planted-kv1-value', 'planted-kv2-value'] as const;

const POLICY = `
path "kvv1/*" { capabilities = ["read", "list"] }
path "kvv2/*" { capabilities = ["read", "list"] }
path "database/creds/*" { capabilities = ["read"] }
path "pki/issue/*" { capabilities = ["create", "update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
`;

/** Life of a database credential and of a token. */
const LEASE = { default_ttl: '10m', max_ttl: '25m' };
const TOKEN = { token_ttl: '20m', token_max_ttl: '50m' };

/** What surrounds the agents of one pod. */
export class Pod {
  readonly clock: FakeClock;
  readonly logger = recordingLogger();
  readonly metrics = createMetrics();
  readonly notifier = new MemoryNotifier();
  readonly vault: DevVault;
  readonly api: DevWorkloadApi;
  readonly directory: string;
  readonly #t: TestContext;
  readonly #agents = new Set<BuiltAgent['agent']>();
  #writing = 0;

  private constructor(t: TestContext, clock: FakeClock, servers: [DevVault, DevWorkloadApi]) {
    this.#t = t;
    this.clock = clock;
    [this.vault, this.api] = servers;
    this.directory = tempDirectory(t);
  }

  /** Starts both servers and seeds Vault as an operator would. */
  static async start(t: TestContext): Promise<Pod> {
    // The real time of day: TLS and certificates look at it, and no FakeClock moves that.
    const clock = new FakeClock(Date.now());
    const api = await startWorkloadApi({ clock, identities: [{ spiffeId: SPIFFE_ID }] });
    t.after(() => api.close());
    const vault = await startDevVault({ clock });
    t.after(() => vault.close());
    const keys = await startScripted(t, () => ({ body: api.jwks() }));
    await seed(vault, `${keys.address}/keys`);
    return new Pod(t, clock, [vault, api]);
  }

  get filesDirectory(): string {
    return join(this.directory, 'files');
  }

  get stateDirectory(): string {
    return join(this.directory, 'state');
  }

  /** A config document; `more` wins. */
  document(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return {
      apiVersion: 'vouchsafe.dev/v1',
      kind: 'AgentConfig',
      spiffe: { socket: this.api.address },
      vault: { address: this.vault.address },
      auth: { role: 'web' },
      output: { directory: this.filesDirectory },
      stateDirectory: this.stateDirectory,
      files: FILES,
      revokeGrace: '5s',
      ...more,
    };
  }

  file(name: string): string {
    return readFileSync(join(this.filesDirectory, name), 'utf8');
  }

  bytes(name: string): Buffer {
    return readFileSync(join(this.filesDirectory, name));
  }

  get fileNames(): string[] {
    return readdirSync(this.filesDirectory).filter((name) => !name.startsWith('..'));
  }

  /** Whether the credential in the file opens the database. */
  get isDatabaseOpen(): boolean {
    const [username = '', password = ''] = this.file('db').split(':');
    return this.vault.users.isValidLogin(username, password);
  }

  /** How many logins Vault has seen. */
  get logins(): number {
    return this.vault.count({ path: 'auth/jwt/login' });
  }

  /** How many database credentials Vault has issued. */
  get credentials(): number {
    return this.vault.users.events.filter(({ kind }) => kind === 'created').length;
  }

  /** Starts an agent that keeps the files fresh. */
  async sidecar(more: Readonly<Record<string, unknown>> = {}): Promise<Process> {
    const launched = await this.#launch(more, (built, signal) => built.agent.run(signal));
    await until(() => launched.built.agent.isDelivered || launched.isEnded());
    await launched.check();
    return launched;
  }

  /** Runs an agent that writes the files once. */
  async init(more: Readonly<Record<string, unknown>> = {}): Promise<Process> {
    const launched = await this.#launch(more, (built, signal) => built.agent.runOnce(signal));
    await until(() => launched.isEnded());
    await launched.check();
    return launched;
  }

  /** Lets time pass in small steps; after each, everything that it brought about has been done. */
  async pass(ms: number, check: () => void = () => undefined): Promise<void> {
    const stepMs = 30_000;
    for (let passed = 0; passed < ms; passed += stepMs) {
      await this.clock.advance(Math.min(stepMs, ms - passed));
      await this.#quiet();
      check();
    }
  }

  /**
   * Waits until nothing is due and no request or write is under way, for some turns on end. What is due may
   * itself be waiting for time to pass, so that has an end.
   */
  async #quiet(): Promise<void> {
    const isBusy = (): boolean =>
      this.#writing > 0 ||
      this.vault.requests.slice(-50).some(({ status }) => status === undefined);
    let patience = 300;
    for (let turns = 0; turns < 4; turns += 1) {
      // What was on its way through loopback before this round trip has arrived after it, however busy the machine.
      await (await fetch(`${this.vault.address}/v1/sys/health`)).arrayBuffer();
      await settle();
      await until(() => !isBusy());
      const isDueNow = [...this.#agents].some((agent) => isDue(agent.status()));
      if (isDueNow && patience-- > 0) turns = 0;
    }
  }

  async #launch(
    more: Readonly<Record<string, unknown>>,
    work: (built: BuiltAgent, signal: AbortSignal) => Promise<void>,
  ): Promise<Process> {
    const { clock, logger, metrics, notifier } = this;
    const config = parseAgentConfig(this.document(more));
    const random = seededRandom(5);
    const files = createFileWriter({ directory: config.outputDirectory, clock, random });
    const writer: WriterPort = {
      write: async (set, signal) => {
        this.#writing += 1;
        return files.write(set, signal).finally(() => (this.#writing -= 1));
      },
    };
    const built = await buildAgent(config, { clock, random, logger, metrics, notifier, writer });
    this.#agents.add(built.agent);
    const stop = new AbortController();
    let isEnded = false;
    const beside = new AbortController();
    const companions = runAll(beside.signal, built.backgroundTasks);
    const done = work(built, stop.signal).finally(async () => {
      beside.abort();
      await companions;
      built.close();
      this.#agents.delete(built.agent);
      isEnded = true;
    });
    done.catch(() => undefined); // check() reports it
    const launched: Process = {
      built,
      isEnded: () => isEnded,
      check: () => (isEnded ? done : Promise.resolve()),
      async stop() {
        stop.abort(new DOMException('stopped by the test', 'AbortError'));
        await until(() => isEnded);
      },
    };
    this.#t.after(() => launched.stop());
    return launched;
  }
}

function isDue({ secrets }: AgentStatus): boolean {
  return secrets.some(({ next_in_seconds: next }) => next !== null && next <= 0);
}

/** An agent at work. */
export interface Process {
  readonly built: BuiltAgent;
  isEnded(): boolean;
  /** Rejects where it has ended with an error. */
  check(): Promise<void>;
  /** Stops it as SIGTERM does. */
  stop(): Promise<void>;
}

/** Files of every kind. */
export const FILES = [
  { name: 'one', secret: 'kvv1/app#password', format: 'raw' },
  { name: 'two', template: '{{#with (secret "kvv2/app")}}{{password}}{{/with}}' },
  {
    name: 'db',
    template: '{{#with (secret "database/creds/app")}}{{username}}:{{password}}{{/with}}',
  },
  {
    name: 'cert',
    template:
      '{{#with (pki "pki/issue/web" common_name="web.example.org")}}{{certificate}}\n{{private_key}}{{/with}}',
  },
  { name: 'token', jwtSvid: ['cloud'] },
] as const;

async function seed(vault: DevVault, jwksUrl: string): Promise<void> {
  await vault.write('sys/mounts/kvv1', { type: 'kv', options: { version: '1' } });
  await vault.write('kvv1/app', { password: PLANTED[0] });
  await vault.write('sys/mounts/kvv2', { type: 'kv', options: { version: '2' } });
  await vault.write('kvv2/data/app', { data: { password: PLANTED[1] } });
  await vault.write('sys/mounts/database', { type: 'database' });
  await vault.write('database/config/main', {
    plugin_name: 'postgresql-database-plugin',
    connection_url: 'postgresql://{{username}}:{{password}}@127.0.0.1/main',
    allowed_roles: '*',
    username: 'vault',
    password: 'vault',
  });
  const creation_statements = [`CREATE ROLE "{{name}}" PASSWORD '{{password}}';`];
  await vault.write('database/roles/app', { db_name: 'main', creation_statements, ...LEASE });
  await vault.write('sys/mounts/pki', { type: 'pki' });
  await vault.write('pki/root/generate/internal', { common_name: 'root', ttl: '24h' });
  await vault.write('pki/roles/web', { allow_any_name: true, max_ttl: '24h', ttl: '1h' });
  await vault.write('sys/policies/acl/web', { policy: POLICY });
  await vault.write('sys/auth/jwt', { type: 'jwt' });
  await vault.write('auth/jwt/config', { jwks_url: jwksUrl });
  await vault.write('auth/jwt/role/web', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    bound_subject: SPIFFE_ID,
    token_policies: ['web'],
    ...TOKEN,
  });
  assert.deepEqual(vault.leaseIds, []);
}
