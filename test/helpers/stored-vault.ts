/** The real Vault as it runs in production: sealed at its start, and with storage that outlives its process. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './agent-process.ts';
import { freePort } from './free-port.ts';
import { spawnVault, type RealVault } from './real-vault.ts';
import { createVaultClient, untilHealth } from './vault-client.ts';

/** Status of `sys/health`, by what Vault is. */
const HEALTH = { active: 200, uninitialised: 501, sealed: 503 } as const;

/** A Vault that can be restarted. */
export interface StoredVault extends RealVault {
  /** Kills it by SIGKILL. */
  stop(): Promise<void>;
  /** Starts it again on what it has stored, and unseals it. */
  start(): Promise<void>;
}

/** Starts Vault with storage in files, initialised, unsealed, with an audit log and KV version 2 at `secret`. */
export async function startStoredVault(): Promise<StoredVault> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-vault-'));
  const server = await VaultServer.create(directory);
  const { address } = server;
  const auditLog = join(directory, 'audit.log');
  try {
    await server.start(HEALTH.uninitialised);
    const anybody = createVaultClient({ address, token: '', auditLog });
    const shares = { secret_shares: 1, secret_threshold: 1 };
    const { root_token: token, keys } = await anybody.write('sys/init', shares);
    if (typeof token !== 'string' || !Array.isArray(keys)) throw new Error('no token, no keys');
    const client = createVaultClient({ address, token, auditLog });
    const unseal = async (): Promise<void> => {
      await client.write('sys/unseal', { key: String(keys[0]) });
      await server.until(HEALTH.active);
    };
    await unseal();
    await client.write('sys/audit/file', { type: 'file', options: { file_path: auditLog } });
    await client.write('sys/mounts/secret', { type: 'kv', options: { version: '2' } });
    // A new mount of that version is not ready at once.
    await eventually(
      () => client.write('secret/data/ready', { data: {} }).catch(() => undefined),
      'KV was not mounted',
    );
    return {
      ...client,
      address,
      token,
      caFile: '',
      unseal,
      async seal() {
        await client.write('sys/seal');
      },
      stop: () => server.stop(),
      async start() {
        await server.start(HEALTH.sealed);
        await unseal();
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** One process after the other on one port and one directory. */
class VaultServer implements AsyncDisposable {
  readonly address: string;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  private constructor(directory: string, listen: string) {
    this.#directory = directory;
    this.address = `http://${listen}`;
  }

  static async create(directory: string): Promise<VaultServer> {
    const listen = `127.0.0.1:${await freePort()}`;
    const config = {
      storage: { file: { path: join(directory, 'storage') } },
      listener: { tcp: { address: listen, tls_disable: true } },
      disable_mlock: true,
    };
    await writeFile(join(directory, 'vault.json'), JSON.stringify(config));
    return new VaultServer(directory, listen);
  }

  async start(health: number): Promise<void> {
    const config = join(this.#directory, 'vault.json');
    this.#child = spawnVault(['server', `-config=${config}`], this.#directory);
    this.#child.stdout?.resume();
    await this.until(health);
  }

  async until(health: number): Promise<void> {
    await untilHealth({ address: this.address }, health, () => this.#child?.exitCode === null);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
