/** The real Vault as a process: its dev server on loopback, with an audit log to count what was asked of it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
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
  /** File of its CA, where it was started with `-dev-tls`. */
  readonly caFile: string;
  /** `vault operator seal`. */
  seal(): Promise<void>;
  /** `vault operator unseal`. */
  unseal(): Promise<void>;
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
  const isTls = moreFlags.includes('-dev-tls');
  const flags = [`-dev-root-token-id=${token}`, `-dev-listen-address=${address}`, ...moreFlags];
  if (isTls) flags.push(`-dev-tls-cert-dir=${directory}`);
  const child = spawn(binary, ['server', '-dev', '-dev-no-store-token', ...flags], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '', HOME: directory },
  });
  const ended = once(child, 'exit');
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (printed.length < 64_000) printed += text; // the unseal key is at its begin
  });
  const url = `${isTls ? 'https' : 'http'}://${address}`;
  const caFile = join(directory, 'vault-ca.pem');

  const as = async (who: string, method: string, path: string, body?: object): Promise<Answer> =>
    exchange({
      ...{ method, url: `${url}/v1/${path}`, token: who },
      body: body === undefined ? undefined : JSON.stringify(body),
      ca: isTls ? await readFile(caFile, 'utf8') : undefined,
    });
  const call = (method: string, path: string, body?: object): Promise<Answer> =>
    as(token, method, path, body);

  function json({ status, text }: Answer, what: string): Json {
    if (status >= 300) throw new Error(`${what}: ${status} ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Json); // Vault answers with objects
  }

  const auditLog = join(directory, 'audit.log');
  const vault: RealVault = {
    address: url,
    token,
    caFile,
    async seal() {
      await vault.write('sys/seal');
    },
    async unseal() {
      const key = /Unseal Key: (\S+)/.exec(printed)?.[1];
      await vault.write('sys/unseal', { key });
    },
    write: async (path, body = {}) => json(await call('POST', path, body), `write ${path}`),
    async read(path) {
      const answer = json(await call('GET', path), `read ${path}`);
      return (answer['data'] ?? {}) as Json; // an object, or absent
    },
    async remove(path) {
      json(await call('DELETE', path), `delete ${path}`);
    },
    async statusAs(other, path) {
      return (await as(other, 'GET', path)).status;
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
  await ready(() => call('GET', 'sys/health'), child);
  await vault.write('sys/audit/file', { type: 'file', options: { file_path: auditLog } });
  return vault;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Exchange {
  readonly method: string;
  readonly url: string;
  readonly token: string;
  readonly body: string | undefined;
  readonly ca: string | undefined;
}

/** One request. Not `fetch`, which cannot be told a CA. */
async function exchange({ method, url, token, body, ca }: Exchange): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const options = {
    method,
    headers: { 'X-Vault-Token': token, 'Content-Type': 'application/json' },
    agent: false,
    ...(ca === undefined ? {} : { ca }),
  };
  const send = url.startsWith('https:') ? httpsRequest : httpRequest;
  const request = send(url, options, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    response.on('error', reject);
  });
  request.on('error', reject);
  request.end(body);
  return promise;
}

/** Asks until the server answers; it is ours and starts in a second or two. */
async function ready(health: () => Promise<Answer>, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline && child.exitCode === null) {
    try {
      if ((await health()).status === 200) return;
    } catch {
      // Not listening yet, or its CA is not written yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the real Vault did not start');
}

/** A port of 127.0.0.1 that is free at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  server.close();
  await once(server, 'close');
  return port;
}
