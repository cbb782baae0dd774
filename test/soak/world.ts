/** The real servers of the soak, seeded, and one agent between them that is started as a kubelet would. */
import { once } from 'node:events';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { startFaultProxy, type FaultProxy } from '../helpers/fault-proxy.ts';
import { freePort } from '../helpers/free-port.ts';
import { Hunt } from '../helpers/hunt.ts';
import { Postgres } from '../helpers/postgres.ts';
import { startStoredVault, type StoredVault } from '../helpers/stored-vault.ts';
import { SoakIdentity } from './identity.ts';
import { inSeconds, SETTINGS } from './settings.ts';

/** Every planted value begins with it. Its length makes it the begin of the value's Base64 form, too. */
export const MARK = 'planted-soak';

/** Size of the volume of the delivered files. */
const VOLUME_SIZE = '1m';

const POLICY = [
  'path "secret/*" { capabilities = ["read"] }',
  'path "database/creds/app" { capabilities = ["read"] }',
  'path "pki/issue/web" { capabilities = ["update"] }',
  'path "sys/leases/revoke" { capabilities = ["update"] }',
].join('\n');

/** How the application treats a notification. */
export type ApplicationMood = 'well' | 'refuses' | 'hangs';

/** Everything that runs. */
export class SoakWorld implements AsyncDisposable {
  readonly hunt = new Hunt();
  readonly identity: SoakIdentity;
  readonly postgres: Postgres;
  readonly databaseProxy: FaultProxy;
  readonly vault: StoredVault;
  readonly vaultProxy: FaultProxy;
  readonly bench: AgentBench;
  /** Whether the delivered files lie in a volume of their own, which can be full. */
  readonly hasVolume: boolean;
  /** The agent of the moment; undefined while a kubelet waits before it starts the next one. */
  agent: RunningAgent | undefined;
  /** Told of each agent that is started. */
  onStart: (agent: RunningAgent) => void = () => undefined;
  mood: ApplicationMood = 'well';
  notifications = 0;
  readonly #servers: AsyncDisposableStack;
  readonly #command: readonly string[];
  readonly #application: Server;
  readonly #port: number;
  readonly #applicationPort: number;

  private constructor(parts: Parts, servers: AsyncDisposableStack) {
    this.#servers = servers;
    this.#command = parts.command;
    this.identity = parts.identity;
    this.postgres = parts.postgres;
    this.databaseProxy = parts.databaseProxy;
    this.vault = parts.vault;
    this.vaultProxy = parts.vaultProxy;
    this.bench = parts.bench;
    this.hasVolume = parts.hasVolume;
    this.#port = parts.port;
    this.#applicationPort = parts.applicationPort;
    this.#application = createServer((_, response) => {
      this.notifications += 1;
      if (this.mood === 'refuses') response.writeHead(503).end();
      else if (this.mood === 'well') response.end('reloaded');
    });
    this.hunt.plant(MARK);
  }

  /** Starts the servers; `command` is what runs an agent. */
  static async start(command: readonly string[]): Promise<SoakWorld> {
    await using servers = new AsyncDisposableStack();
    const identity = servers.use(await SoakIdentity.start());
    const postgres = servers.use(await Postgres.create());
    const databaseProxy = servers.use(await startFaultProxy(postgres.port));
    const vault = servers.use(await startStoredVault());
    const vaultProxy = servers.use(await startFaultProxy(Number(new URL(vault.address).port)));
    const bench = servers.use(await AgentBench.create());
    const volume = join(bench.directory, 'volume');
    await mkdir(volume);
    const hasVolume =
      spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${VOLUME_SIZE}`, 'tmpfs', volume]).status ===
      0;
    if (hasVolume) servers.defer(() => void spawnSync('umount', ['-l', volume]));
    const parts = { identity, postgres, databaseProxy, vault, vaultProxy, bench, hasVolume };
    const ports = { port: await freePort(), applicationPort: await freePort() };
    const world = new SoakWorld({ ...parts, ...ports, command }, servers.move());
    await world.#seed();
    return world;
  }

  /** Volume of the delivered files. */
  get volume(): string {
    return join(this.bench.directory, 'volume');
  }

  /** Directory of the delivered files. */
  get output(): string {
    return join(this.volume, 'secrets');
  }

  /** Starts the agent on what its predecessor has left. */
  async startAgent(): Promise<void> {
    const agent = await this.bench.start(this.#document(), [], { command: this.#command });
    this.agent = agent;
    this.onStart(agent);
  }

  /** Ends the agent; gives its exit code. */
  async stopAgent(signal: NodeJS.Signals): Promise<number | null> {
    const { agent } = this;
    this.agent = undefined; // its end is expected from now on
    await agent?.kill(signal);
    return (await agent?.exit()) ?? null;
  }

  /** What the agent's port answers; undefined where it does not in two seconds. */
  async ask(path: string): Promise<string | undefined> {
    try {
      const url = `http://127.0.0.1:${this.#port}${path}`;
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
      return await response.text();
    } catch {
      return undefined;
    }
  }

  /** The agent's token, from its state. */
  async token(): Promise<string | undefined> {
    const state = await readFile(join(this.bench.stateDirectory, 'state.json'), 'utf8').catch(
      () => '',
    );
    return /"token":"([^"]+)"/.exec(state)?.[1];
  }

  async allow(isAllowed: boolean): Promise<void> {
    const policy = isAllowed ? POLICY : 'path "none" { capabilities = ["read"] }';
    await this.vault.write('sys/policies/acl/soak', { policy });
  }

  /** Writes a new value of the counter. */
  async count(n: number): Promise<void> {
    await this.vault.write('secret/data/counter', { data: { n: `${n}`, pass: `${MARK}-${n}` } });
  }

  /** Writes a new version of the secret that two files are made of. */
  async changePair(n: number): Promise<void> {
    await this.vault.write('secret/data/pair', { data: { name: `${n}`, pass: `${MARK}-${n}` } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent = undefined;
    const closed = once(this.#application, 'close');
    this.#application.close();
    this.#application.closeAllConnections();
    await closed;
    await this.#servers.disposeAsync();
  }

  async #seed(): Promise<void> {
    this.#application.listen(this.#applicationPort, '127.0.0.1');
    await once(this.#application, 'listening');
    const { vault, identity } = this;
    await this.count(1);
    await this.changePair(1);
    await vault.write('sys/mounts/pki', { type: 'pki' });
    await vault.write('pki/root/generate/internal', { common_name: 'soak', ttl: '24h' });
    await vault.write('pki/roles/web', {
      allow_any_name: true,
      max_ttl: '1h',
      no_store: true,
      not_before_duration: '1s',
      key_type: 'ec',
      key_bits: 256,
    });
    await vault.write('sys/mounts/database', { type: 'database' });
    await vault.write('database/config/soak', {
      ...this.postgres.vaultConfig,
      connection_url: `postgresql://{{username}}:{{password}}@${this.databaseProxy.address}/postgres?sslmode=disable&connect_timeout=2`,
    });
    await vault.write('database/roles/app', {
      db_name: 'soak',
      creation_statements: `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`,
      default_ttl: inSeconds(SETTINGS.leaseTtlMs),
      max_ttl: inSeconds(SETTINGS.leaseMaxTtlMs),
    });
    await this.allow(true);
    await vault.write('sys/auth/jwt', { type: 'jwt' });
    await vault.write('auth/jwt/config', { jwks_url: `${identity.oidc.url}/keys` });
    await vault.write('auth/jwt/role/soak', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: 'vault',
      bound_subject: identity.spiffeId,
      token_policies: 'soak',
      token_ttl: inSeconds(SETTINGS.tokenTtlMs),
      token_max_ttl: inSeconds(SETTINGS.tokenMaxTtlMs),
    });
    await eventually(
      () => vault.read('database/creds/app').catch(() => undefined),
      'Vault cannot make credentials',
    );
    await vault.write('sys/leases/revoke-prefix/database/creds/app');
  }

  #document(): object {
    const refresh = inSeconds(SETTINGS.refreshMs);
    const certificate = (name: string, key: string): object => ({
      name,
      template: `{{#with (pki "pki/issue/web" common_name="web.example.org" ttl="${inSeconds(SETTINGS.certificateTtlMs)}")}}{{${key}}}{{/with}}\n`,
    });
    return {
      spiffe: { socket: this.identity.address },
      vault: {
        address: `http://${this.vaultProxy.address}`,
        timeout: inSeconds(SETTINGS.vaultTimeoutMs),
      },
      auth: { role: 'soak' },
      output: { directory: this.output },
      stateDirectory: this.bench.stateDirectory,
      listen: `127.0.0.1:${this.#port}`,
      revokeGrace: inSeconds(SETTINGS.revokeGraceMs),
      onChange: [`http:POST http://127.0.0.1:${this.#applicationPort}/-/reload`],
      files: [
        { name: 'pair-name', template: '{{secret "secret/pair#name"}}:end', refresh },
        { name: 'pair-pass', template: '{{secret "secret/pair#pass"}}:end', refresh },
        {
          name: 'counter',
          refresh,
          template: '{{#with (secret "secret/counter")}}{{n}} {{pass}}:end{{/with}}',
        },
        {
          name: 'login',
          template: '{{#with (secret "database/creds/app")}}{{username}}:{{password}}{{/with}}',
        },
        { name: 'user', template: '{{secret "database/creds/app#username"}}' },
        certificate('tls.crt', 'certificate'),
        certificate('tls.key', 'private_key'),
        { name: 'cloud.jwt', jwtSvid: ['cloud'] },
      ],
      x509Svid: true,
    };
  }
}

interface Parts {
  readonly identity: SoakIdentity;
  readonly postgres: Postgres;
  readonly databaseProxy: FaultProxy;
  readonly vault: StoredVault;
  readonly vaultProxy: FaultProxy;
  readonly bench: AgentBench;
  readonly command: readonly string[];
  readonly hasVolume: boolean;
  readonly port: number;
  readonly applicationPort: number;
}
