/** The plainest client of Vault's API, so that tests see answers as they are. */
import {
  startDevVault,
  type DevVault,
  type DevVaultOptions,
} from '../../../../src/dev/vault/index.ts';
import { FakeClock } from '../../../helpers/fake-clock.ts';

/** An answer with its status; fields of any depth are read with a cast by the tests. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Nested;
}

/** JSON that may be looked into without asking first; the assertions check what they read. */
export interface Nested {
  readonly [name: string]: Nested | undefined;
}

/** A started server with a clock that stands still. */
export interface Bench extends AsyncDisposable {
  readonly vault: DevVault;
  readonly clock: FakeClock;
  call(method: string, path: string, more?: CallOptions): Promise<Answer>;
  /** With root authority over HTTP. */
  root(method: string, path: string, body?: unknown): Promise<Answer>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function startBench(options: DevVaultOptions = {}): Promise<Bench> {
  const clock = new FakeClock();
  const vault = await startDevVault({ clock, ...options });
  async function call(
    method: string,
    path: string,
    { body, token, headers = {} }: CallOptions = {},
  ): Promise<Answer> {
    const response = await fetch(`${vault.address}/v1/${path}`, {
      method,
      redirect: 'manual',
      headers: { ...headers, ...(token === undefined ? {} : { 'x-vault-token': token }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const parsed = text.startsWith('{') ? (JSON.parse(text) as Nested) : {};
    return { status: response.status, headers: response.headers, text, body: parsed };
  }
  return {
    vault,
    clock,
    call,
    root: (method, path, body) => call(method, path, { body, token: vault.rootToken.reveal() }),
    [Symbol.asyncDispose]: () => vault.close(),
  };
}

/** The token of a fresh token or login. */
export function tokenOf(answer: Answer): string {
  return text(answer.body['auth']?.['client_token']);
}

/** A text of an answer; of a list its items with commas. */
export function text(value: unknown): string {
  return Array.isArray(value) ? value.join() : typeof value === 'string' ? value : '';
}
