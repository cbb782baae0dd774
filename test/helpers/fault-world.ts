/**
 * One workload between the embedded servers, its agent a process, its secrets planted: what a test of a fault
 * starts from. Whatever the agent lets out is searched for the secrets when the test ends.
 */
import { readFile } from 'node:fs/promises';
import { startDevVault, type DevVault, type DevVaultOptions } from '../../src/dev/vault/index.ts';
import {
  startOidcProvider,
  startWorkloadApi,
  type DevWorkloadApi,
  type OidcProvider,
} from '../../src/dev/workload-api/index.ts';
import { AgentBench, type Launch, type RunningAgent } from './agent-process.ts';
import { Hunt } from './hunt.ts';
import { watchSet, type SetWatch } from './watch-set.ts';

/** The workload's identity. */
export const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';

/** What the workload may do. */
export const POLICY = [
  'path "kv/*" { capabilities = ["read", "list"] }',
  'path "database/creds/*" { capabilities = ["read"] }',
  'path "sys/leases/revoke" { capabilities = ["update"] }',
].join('\n');

/** Two files of one secret: they must always be of the same version, and whole. */
export function pairOf(path: string): readonly object[] {
  return [
    { name: 'user', template: `{{secret "${path}#user"}}:end`, refresh: '1s' },
    { name: 'pass', template: `{{secret "${path}#password"}}:{{secret "${path}#user"}}:end` },
  ];
}

/** Reads the files of {@link pairOf} all the time; a password ends with a space and its version. */
export function watchPair(directory: string): SetWatch {
  return watchSet(directory, ['user', 'pass'], ({ user, pass }) => {
    const version = /^user-(\d+):end$/.exec(user ?? '')?.[1] ?? 'no version';
    if (pass?.endsWith(` ${version}:user-${version}:end`) === true) return;
    throw new Error('files of two versions, or one that is not whole');
  });
}

/** The files of a {@link FaultWorld}. */
export const FILES = pairOf('kv/app');

/** Servers, seeded as an operator would. */
export class FaultWorld implements AsyncDisposable {
  vault: DevVault;
  readonly api: DevWorkloadApi;
  readonly oidc: OidcProvider;
  readonly bench: AgentBench;
  readonly hunt = new Hunt();
  readonly #agents: RunningAgent[] = [];
  readonly #watches: SetWatch[] = [];

  private constructor(vault: DevVault, api: DevWorkloadApi, oidc: OidcProvider, bench: AgentBench) {
    this.vault = vault;
    this.api = api;
    this.oidc = oidc;
    this.bench = bench;
  }

  static async start(options: DevVaultOptions = {}): Promise<FaultWorld> {
    const api = await startWorkloadApi({ identities: [{ spiffeId: SPIFFE_ID }] });
    const oidc = await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) });
    const vault = await startDevVault(options);
    const world = new FaultWorld(vault, api, oidc, await AgentBench.create());
    await world.#seed();
    return world;
  }

  /** Ends Vault; it forgets everything. */
  async stopVault(): Promise<void> {
    await this.vault.close();
  }

  /** Starts another Vault where the stopped one was, seeded alike. */
  async restartVault(options: DevVaultOptions = {}): Promise<void> {
    const { port } = new URL(this.vault.address);
    this.vault = await startDevVault({ ...options, port: Number(port) });
    await this.#seed();
  }

  async #seed(): Promise<void> {
    const { vault } = this;
    await vault.write('sys/mounts/kv', { type: 'kv', options: { version: '1' } });
    await this.change(1);
    await vault.write('sys/policies/acl/web', { policy: POLICY });
    await vault.write('sys/auth/jwt', { type: 'jwt' });
    await vault.write('auth/jwt/config', { jwks_url: `${this.oidc.url}/keys` });
    await this.role({});
  }

  /** Writes the role; `more` wins. */
  async role(more: Record<string, unknown>): Promise<void> {
    await this.vault.write('auth/jwt/role/web', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      bound_subject: SPIFFE_ID,
      token_policies: ['web'],
      token_ttl: '1h',
      ...more,
    });
  }

  /** Writes a new version of the secret. */
  async change(version: number): Promise<void> {
    await this.vault.write('kv/app', {
      user: `user-${version}`,
      password: this.hunt.plant(`planted "pässword" ${version}`),
    });
  }

  /** Starts an agent with the world's servers; `more` wins. */
  async agent(
    more: object = {},
    flags: readonly string[] = [],
    launch: Launch = {},
  ): Promise<RunningAgent> {
    const document = {
      spiffe: { socket: this.api.address },
      vault: { address: this.vault.address },
      auth: { role: 'web' },
      listen: '127.0.0.1:0',
      files: FILES,
      ...more,
    };
    const agent = await this.bench.start(document, flags, launch);
    this.#agents.push(agent);
    return agent;
  }

  /** Reads {@link FILES} all the time from now on; ended with the world. */
  watch(): SetWatch {
    const watch = watchPair(this.bench.output);
    this.#watches.push(watch);
    return watch;
  }

  /** How many logins Vault has seen, rejected ones included. */
  get logins(): number {
    return this.vault.count({ path: 'auth/jwt/login' });
  }

  /** How many reads of the secret Vault has seen. */
  get reads(): number {
    return this.vault.count({ method: 'GET', path: 'kv/app' });
  }

  /** Waits until the files hold this version. */
  async delivered(version: number): Promise<void> {
    await this.bench.until('user', (text) => text === `user-${version}:end`);
  }

  /** Searches what an agent shows now. */
  async search(agent: RunningAgent): Promise<void> {
    this.hunt.assertNone({
      '/status': (await agent.get('/status')).body,
      '/metrics': (await agent.get('/metrics')).body,
      '/readyz': (await agent.get('/readyz')).body,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const message = `${this.bench.directory}/termination-log`;
    const termination = await readFile(message, 'utf8').catch(() => '');
    try {
      for (const watch of this.#watches) await watch.stop();
    } finally {
      await this.bench[Symbol.asyncDispose]();
      await this.vault.close();
      await this.oidc.close();
      await this.api.close();
    }
    const output = this.#agents.map((agent) => agent.output).join('\n');
    this.hunt.assertNone({ 'the termination message': termination, 'the output': output });
  }
}
