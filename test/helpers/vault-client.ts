/** The API of a real Vault as an operator uses it, and its audit log. */
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

/** JSON as Vault speaks it. */
export type Json = Readonly<Record<string, unknown>>;

/** One request in the audit log. */
export interface AuditedRequest {
  readonly operation: string;
  readonly path: string;
  readonly error: string | undefined;
}

/** What an operator does. */
export interface VaultClient {
  /** `vault write`; gives the whole answer. */
  write(path: string, body?: object): Promise<Json>;
  /** `vault read`; gives the data. */
  read(path: string): Promise<Json>;
  /** `vault list`; none where there is nothing. */
  list(path: string): Promise<readonly string[]>;
  /** `vault delete`. */
  remove(path: string): Promise<void>;
  /** Status of a request with a token of one's own. */
  statusAs(token: string, path: string): Promise<number>;
  /** Answered requests so far, oldest first. */
  audited(): Promise<readonly AuditedRequest[]>;
  /** How many answered requests begin with this path. */
  count(path: string, operation?: string): Promise<number>;
}

/** Which Vault, and as whom. */
export interface VaultAccess {
  readonly address: string;
  readonly token: string;
  /** Where its audit log will be. */
  readonly auditLog: string;
  /** File of its CA; undefined for one without TLS. */
  readonly caFile?: string | undefined;
}

/** An operator of a Vault. */
export function createVaultClient(access: VaultAccess): VaultClient {
  const as = async (who: string, method: string, path: string, body?: object): Promise<Answer> =>
    exchange({
      method,
      url: `${access.address}/v1/${path}`,
      token: who,
      body: body === undefined ? undefined : JSON.stringify(body),
      ca: access.caFile === undefined ? undefined : await readFile(access.caFile, 'utf8'),
    });
  const call = async (method: string, path: string, body?: object): Promise<Json> => {
    const { status, text } = await as(access.token, method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Json); // Vault answers with objects
  };

  return {
    write: (path, body = {}) => call('POST', path, body),
    async read(path) {
      const answer = await call('GET', path);
      return (answer['data'] ?? {}) as Json; // an object, or absent
    },
    async list(path) {
      const { status, text } = await as(access.token, 'LIST', path);
      if (status === 404) return [];
      if (status >= 300) throw new Error(`LIST ${path}: ${status} ${text}`);
      return (JSON.parse(text) as { data: { keys: readonly string[] } }).data.keys;
    },
    async remove(path) {
      await call('DELETE', path);
    },
    async statusAs(other, path) {
      return (await as(other, 'GET', path)).status;
    },
    audited: () => readAuditLog(access.auditLog),
    async count(path, operation) {
      const all = await readAuditLog(access.auditLog);
      return all.filter(
        (one) =>
          one.path.startsWith(path) && (operation === undefined || one.operation === operation),
      ).length;
    },
  };
}

async function readAuditLog(path: string): Promise<readonly AuditedRequest[]> {
  const answers = await auditedAnswers<AuditEntry>(path);
  return answers.map(({ request: { operation, path }, error }) => ({ operation, path, error }));
}

interface AuditEntry {
  readonly error?: string;
  readonly request: { readonly operation: string; readonly path: string };
}

/** Entries of Vault's audit log that are answers, in its own words. */
export async function auditedAnswers<T>(auditLog: string): Promise<readonly T[]> {
  const text = await readFile(auditLog, 'utf8');
  // The last line may be half written.
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return lines
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T & { readonly type: string }) // as Vault writes them
    .filter(({ type }) => type === 'response');
}

/** Asks for the health until it has this status; the server is ours and starts in a second or two. */
export async function untilHealth(
  { address, caFile }: Pick<VaultAccess, 'address' | 'caFile'>,
  status: number,
  isAlive: () => boolean,
): Promise<void> {
  const client = createVaultClient({ address, caFile, token: '', auditLog: '' });
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline && isAlive()) {
    try {
      if ((await client.statusAs('', 'sys/health')) === status) return;
    } catch {
      // Not listening yet, or its CA is not written yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the real Vault did not start');
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

/** One request. Not `fetch`, which cannot be given a CA. */
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
