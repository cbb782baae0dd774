/** The plainest client of Vault's API, so that tests see answers as they are. */
import { startDevVault, type DevVault } from '../../../../src/dev/vault/index.ts';
import { FakeClock } from '../../../helpers/fake-clock.ts';

/** JSON that may be looked into without asking first; the assertions check what they read. */
export interface Nested {
  readonly [name: string]: Nested | undefined;
}

/** A response. */
export interface Response {
  readonly status: number;
  readonly body: Nested;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A started server with a clock that stands still. */
export interface Bench extends AsyncDisposable {
  readonly vault: DevVault;
  readonly clock: FakeClock;
  /** A request with a token, or with none for an empty text. */
  call(token: string, method: string, path: string, more?: CallOptions): Promise<Response>;
  /** With root authority. */
  root(method: string, path: string, body?: unknown): Promise<Response>;
}

export async function startBench(): Promise<Bench> {
  const clock = new FakeClock();
  const vault = await startDevVault({ clock });
  const call: Bench['call'] = async (token, method, path, { body, headers = {} } = {}) => {
    const response = await fetch(`${vault.address}/v1/${path}`, {
      method,
      headers: { ...headers, ...(token === '' ? {} : { 'x-vault-token': token }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Nested) };
  };
  return {
    vault,
    clock,
    call,
    root: (method, path, body) => call(vault.rootToken.reveal(), method, path, { body }),
    [Symbol.asyncDispose]: () => vault.close(),
  };
}

/** Status and errors of a response that is one. */
export function failure({ status, body }: Response): [number, unknown] {
  return [status, body['errors']];
}

/** A text of a response. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
