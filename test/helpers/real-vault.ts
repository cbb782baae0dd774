/** The real Vault or OpenBao as a process: its dev server on loopback, with an audit log to count what was asked of it. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { createVaultClient, untilHealth, type VaultClient } from './vault-client.ts';

export type { AuditedRequest, Json } from './vault-client.ts';

/** A running Vault. */
export interface RealVault extends VaultClient, AsyncDisposable {
  readonly address: string;
  readonly token: string;
  /** File of its CA, where it was started with `-dev-tls`. */
  readonly caFile: string;
  /** `vault operator seal`. */
  seal(): Promise<void>;
  /** `vault operator unseal`. */
  unseal(): Promise<void>;
}

/** Starts Vault's dev server, with further flags. */
export async function startRealVault(moreFlags: readonly string[] = []): Promise<RealVault> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-vault-'));
  const listen = `127.0.0.1:${await freePort()}`;
  const token = randomUUID();
  const isTls = moreFlags.includes('-dev-tls');
  const flags = [`-dev-root-token-id=${token}`, `-dev-listen-address=${listen}`, ...moreFlags];
  if (isTls) flags.push(`-dev-tls-cert-dir=${directory}`);
  flags.push(...(await auditFlags(directory)));
  const child = spawnVault(['server', '-dev', '-dev-no-store-token', ...flags], directory);
  const ended = once(child, 'exit');
  let printed = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    if (printed.length < 64_000) printed += text; // the unseal key is at its begin
  });
  const address = `${isTls ? 'https' : 'http'}://${listen}`;
  const caFile = join(directory, 'vault-ca.pem');
  const auditLog = join(directory, 'audit.log');
  const access = { address, token, auditLog, caFile: isTls ? caFile : undefined };
  const client = createVaultClient(access);
  await untilHealth(access, 200, () => child.exitCode === null);
  await client.write('sys/audit/file', { type: 'file', options: { file_path: auditLog } });
  return {
    ...client,
    address,
    token,
    caFile,
    async seal() {
      await client.write('sys/seal');
    },
    async unseal() {
      await client.write('sys/unseal', { key: /Unseal Key: (\S+)/.exec(printed)?.[1] });
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** OpenBao lets its API make an audit device only if its configuration says so. */
async function auditFlags(directory: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)(vaultProgram(), ['version']);
  if (!stdout.startsWith('OpenBao')) return [];
  const config = join(directory, 'audit.json');
  await writeFile(config, JSON.stringify({ unsafe_allow_api_audit_creation: true }));
  return [`-config=${config}`];
}

/** The program of the server, which comes from `npm run test:real`. */
function vaultProgram(): string {
  const binary = process.env['VOUCHSAFE_TEST_VAULT'];
  if (binary === undefined) throw new Error('run this suite with: npm run test:real');
  return binary;
}

/** Runs the program of the server. */
export function spawnVault(args: readonly string[], home: string): ChildProcess {
  return spawn(vaultProgram(), args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '', HOME: home },
  });
}
