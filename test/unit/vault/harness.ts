/** A client on a fake clock, and the usual answers of Vault. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import {
  Secret,
  VouchsafeError,
  type ErrorCode,
  type Labels,
  type Metrics,
} from '../../../src/core/index.ts';
import {
  createVaultClient,
  type VaultClient,
  type VaultClientOptions,
} from '../../../src/vault/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import type { Reply } from '../../helpers/scripted-http.ts';

/** Planted wherever a secret travels; no message may hold any of them. */
export const PLANTED = {
  token: 'hvs.CAESIPlantedTokenPlantedTokenPlantedToken',
  jwt: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.cGxhbnRlZHNpZ25hdHVyZQ',
  value: 'planted-password-value',
} as const;

export const TOKEN = new Secret<string>(PLANTED.token);
export const JWT = new Secret<string>(PLANTED.jwt);

/** Never aborted. */
export const NEVER = new AbortController().signal;

export interface TestClient {
  readonly client: VaultClient;
  readonly clock: FakeClock;
  /** `operation outcome` of every counted call. */
  readonly counted: string[];
}

/** Makes a client that is closed when the test ends. */
export function makeClient(
  t: TestContext,
  address: string,
  options: Partial<VaultClientOptions> = {},
): TestClient {
  const clock = new FakeClock();
  const counted: string[] = [];
  const client = createVaultClient({
    address,
    timeoutMs: 10_000,
    clock,
    random: { next: () => 0 },
    metrics: countInto(counted),
    ...options,
  });
  t.after(() => client.close());
  return { client, clock, counted };
}

/** An error answer of Vault. */
export function refused(status: number, ...errors: readonly string[]): Reply {
  return { status, body: { errors } };
}

/** A successful answer of Vault. */
export function answer(data: object | string | null, rest: object = {}): Reply {
  const body = { request_id: 'r', lease_id: '', renewable: false, lease_duration: 0, data };
  return { body: { ...body, wrap_info: null, warnings: null, auth: null, ...rest } };
}

/** What KV v2 answers. */
export function version(data: object | null, metadata: object = {}): object {
  const created_time = '2026-01-01T00:00:00Z';
  return {
    data,
    metadata: { created_time, deletion_time: '', destroyed: false, version: 1, ...metadata },
  };
}

/** The answer of `sys/internal/ui/mounts/…`. */
export function mount(path: string, type: string, options: object | null = null): Reply {
  return answer({ path, type, options, accessor: `${type}_1` });
}

export const DENIED = refused(403, '1 error occurred:\n\t* permission denied\n\n');
export const INVALID_TOKEN = refused(
  403,
  '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n',
);
export const PREFLIGHT = refused(
  403,
  'preflight capability check returned 403, please ensure client\'s policies grant access to path "x/"',
);

/** The error of ours with that code that a call rejects with, checked to hold nothing planted. */
export async function failure(call: Promise<unknown>, code: ErrorCode): Promise<VouchsafeError> {
  const error = await call.then(
    () => assert.fail(`expected ${code}, but it succeeded`),
    (caught: unknown) => caught,
  );
  assert.ok(error instanceof VouchsafeError, `expected ${code}, got ${String(error)}`);
  assert.equal(error.code, code, error.message);
  const shown = `${error.message} ${JSON.stringify(error)}`;
  for (const secret of Object.values(PLANTED)) assert.ok(!shown.includes(secret), shown);
  return error;
}

function countInto(counted: string[]): Metrics {
  const ignore = { set: () => undefined, remove: () => undefined, observe: () => undefined };
  return {
    counter: () => ({
      add: (labels: Labels = {}) =>
        void counted.push(`${labels['operation'] ?? ''} ${labels['outcome'] ?? ''}`),
      remove: () => undefined,
    }),
    gauge: () => ignore,
    histogram: () => ignore,
  };
}
