/** The API server as somebody with a kubeconfig of this suite calls it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';

/** What the API server says where it rejects. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

/** Calls with paths as the API server has them. Answers are believed to have the type that is asked for. */
export interface Api extends Disposable {
  get<T>(path: string): Promise<T>;
  text(path: string): Promise<string>;
  create<T>(path: string, object: object): Promise<Created<T>>;
  /** A merge patch. */
  patch(path: string, change: object): Promise<void>;
  remove(path: string, options?: object): Promise<void>;
  /** What changes in a collection, until the API server ends it or `signal` aborts, which throws. */
  watch<T>(path: string, signal: AbortSignal): AsyncIterable<Change<T>>;
}

/** An event of a watch; the object of an ERROR is a Status. */
export interface Change<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'ERROR';
  readonly object: T;
}

/** An object that was made. */
export interface Created<T> {
  readonly object: T;
  readonly warnings: readonly string[];
}

interface Kubeconfig {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly 'certificate-authority': string } },
  ];
  readonly users: readonly [{ readonly user: { readonly token: string } }];
}

interface Answer {
  readonly text: string;
  readonly warnings: readonly string[];
}

/** An API server by a kubeconfig that this suite wrote. */
export function createApi(kubeconfig: string): Api {
  const config = JSON.parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig; // our own file
  const { server, 'certificate-authority': authority } = config.clusters[0].cluster;
  const { token } = config.users[0].user;
  const agent = new Agent({ keepAlive: true, ca: readFileSync(authority) });

  async function call(method: string, path: string, body?: object): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const sending = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      Authorization: `Bearer ${token}`,
      'Content-Type': type,
      // Node would leave it out of a DELETE.
      'Content-Length': Buffer.byteLength(sending),
    };
    const sent = httpsRequest(`${server}${path}`, { method, headers, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status = 0 } = response;
        if (status >= 300) reject(new ApiError(status, messageOf(text)));
        else resolve({ text, warnings: warningsOf(response.headersDistinct['warning'] ?? []) });
      });
    });
    sent.on('error', reject);
    sent.end(sending);
    return promise;
  }

  async function* watch<T>(path: string, signal: AbortSignal): AsyncGenerator<Change<T>> {
    const headers = { Authorization: `Bearer ${token}` };
    const request = httpsRequest(`${server}${path}`, { headers, agent, signal }).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new ApiError(response.statusCode ?? 0, path);
    let rest = '';
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as Change<T>;
    }
  }

  return {
    get: async <T>(path: string) => JSON.parse((await call('GET', path)).text) as T,
    text: async (path) => (await call('GET', path)).text,
    async create<T>(path: string, object: object): Promise<Created<T>> {
      const { text, warnings } = await call('POST', path, object);
      return { object: JSON.parse(text) as T, warnings };
    },
    async patch(path, change) {
      await call('PATCH', path, change);
    },
    async remove(path, options = {}) {
      await call('DELETE', path, options);
    },
    watch,
    [Symbol.dispose]: () => agent.destroy(),
  };
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text;
  }
}

/** `299 - "text"`, with quotes escaped inside. */
function warningsOf(headers: readonly string[]): readonly string[] {
  return headers.map((header) =>
    header.replace(/^299 \S+ "(.*)"$/s, '$1').replaceAll(/\\(.)/g, '$1'),
  );
}
