/** The real Vault as a process: its dev server on loopback, with an audit log to count what was asked of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';

/** JSON as Vault speaks it. */
export type Json = Readonly<Record<string, unknown>>;

/** One request in the audit log. */
export interface AuditedRequest {
  readonly operation: string;
  readonly path: string;
  readonly error: string | undefined;
}

/** A running Vault. */
export interface RealVault extends AsyncDisposable {
  readonly address: string;
  readonly token: string;
  /** `vault write`; gives the whole answer. */
  write(path: string, body?: object): Promise<Json>;
  /** `vault read`; gives the data. */
  read(path: string): Promise<Json>;
  /** Status of a request with a token of one's own. */
  statusAs(token: string, path: string): Promise<number>;
  /** Answered requests so far, oldest first. */
  audited(): Promise<readonly AuditedRequest[]>;
  /** `vault delete`. */
  remove(path: string): Promise<void>;
  /** How many answered requests begin with this path. */
  count(path: string, operation?: string): Promise<number>;
}

/** Starts Vault's dev server, with further flags. The binary comes from `npm run test:real`. */
export async function startRealVault(moreFlags: readonly string[] = []): Promise<RealVault> {
  const binary = process.env['VOUCHSAFE_TEST_VAULT'];
  if (binary === undefined) throw new Error('run this suite with: npm run test:real');
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-vault-'));
  const address = `127.0.0.1:${await freePort()}`;
  const token = randomUUID();
  const flags = [`-dev-root-token-id=${token}`, `-dev-listen-address=${address}`, ...moreFlags];
  const child = spawn(binary, ['server', '-dev', '-dev-no-store-token', ...flags], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '', HOME: directory },
  });
  const ended = once(child, 'exit');
  const url = `http://${address}`;

  async function call(method: string, path: string, body?: object): Promise<Response> {
    return fetch(`${url}/v1/${path}`, {
      method,
      headers: { 'X-Vault-Token': token, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async function json(response: Response, what: string): Promise<Json> {
    const text = await response.text();
    if (!response.ok) throw new Error(`${what}: ${response.status} ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Json); // Vault answers with objects
  }

  const auditLog = join(directory, 'audit.log');
  const vault: RealVault = {
    address: url,
    token,
    write: async (path, body = {}) => json(await call('POST', path, body), `write ${path}`),
    async read(path) {
      const answer = await json(await call('GET', path), `read ${path}`);
      return (answer['data'] ?? {}) as Json; // an object, or absent
    },
    async remove(path) {
      await json(await call('DELETE', path), `delete ${path}`);
    },
    async statusAs(other, path) {
      const response = await fetch(`${url}/v1/${path}`, { headers: { 'X-Vault-Token': other } });
      await response.arrayBuffer();
      return response.status;
    },
    async audited() {
      const lines = (await readFile(auditLog, 'utf8')).trim().split('\n');
      return lines.flatMap((line) => {
        const entry = JSON.parse(line) as {
          type: string;
          error?: string;
          request: { operation: string; path: string };
        };
        if (entry.type !== 'response') return [];
        const { operation, path } = entry.request;
        return [{ operation, path, error: entry.error }];
      });
    },
    async count(path, operation) {
      const all = await vault.audited();
      return all.filter(
        (one) =>
          one.path.startsWith(path) && (operation === undefined || one.operation === operation),
      ).length;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
  await ready(url, child.exitCode);
  await vault.write('sys/audit/file', { type: 'file', options: { file_path: auditLog } });
  return vault;
}

/** Asks until the server answers; it is ours and starts in a second or two. */
async function ready(url: string, exitCode: number | null): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline && exitCode === null) {
    try {
      const response = await fetch(`${url}/v1/sys/health`);
      if (response.status === 200) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the real Vault did not start');
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  server.close();
  await once(server, 'close');
  return port;
}
