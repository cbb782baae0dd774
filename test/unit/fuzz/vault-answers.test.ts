/** Answers of Vault, or of what poses as it: a typed answer or an error of ours, and only times that can be planned. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { planLease, planValue, type PlanContext } from '../../../src/agent/schedule.ts';
import type { Validity } from '../../../src/contracts/index.ts';
import { VouchsafeError, type Clock, type VaultDependency } from '../../../src/core/index.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { parseTemplate, renderTemplate } from '../../../src/template/index.ts';
import { classifyValidity } from '../../../src/vault/validity.ts';
import { createVaultClient, type VaultClient } from '../../../src/vault/index.ts';
import {
  holds,
  holdsAsync,
  hostileNumber,
  hostileText,
  hostileValue,
  mutated,
  mutatedBytes,
} from '../../helpers/arbitraries.ts';
import { cpuMsOf } from '../../helpers/cpu-time.ts';
import { startScripted, type Reply, type ScriptedServer } from '../../helpers/scripted-http.ts';
import { JWT, NEVER, PLANTED, TOKEN, version } from '../vault/harness.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
/** Nobody waits for a node to catch up (HTTP 412); the deadline is that of the system. */
const CLOCK: Clock = {
  now: () => NOW_MS,
  monotonicMs: () => 0,
  sleep: (ms, signal) => (ms > 1000 ? systemClock.sleep(ms, signal) : Promise.resolve()),
};

function body(data: object | null, rest: object = {}): object {
  const head = { request_id: 'r', lease_id: '', renewable: false, lease_duration: 0, data };
  return { ...head, wrap_info: null, warnings: ['a remark'], auth: null, ...rest };
}

const AUTH = {
  client_token: PLANTED.token,
  accessor: 'accessor',
  policies: ['default'],
  lease_duration: 3600,
  renewable: true,
  token_type: 'service',
  num_uses: 0,
};

const BODIES: readonly object[] = [
  body(null, { auth: AUTH }),
  body({ path: 'kv/', type: 'kv', options: { version: '2' } }),
  body({ path: 'kv/', type: 'kv', options: null }),
  body({ path: 'database/', type: 'database', options: null }),
  body(version({ password: PLANTED.value, port: 5432, nested: { list: [1, 'x', null] } })),
  body({ password: PLANTED.value }, { lease_duration: 2_764_800 }),
  body(
    { username: 'u', password: PLANTED.value },
    { lease_id: 'database/creds/app/abc', lease_duration: 60, renewable: true },
  ),
  body({ ttl: 30, rotation_period: 60, last_vault_rotation: 'x', password: PLANTED.value }),
  body({ certificate: '-----BEGIN CERTIFICATE-----\nAA==\n', expiration: 1_800_000_000 }),
  body({ secret_id: 's', secret_id_ttl: 60 }),
  body({ keys: ['a', 'b/'] }),
  body(null, { lease_id: 'database/creds/app/abc', lease_duration: 60, renewable: true }),
  body({ id: 'database/creds/app/abc', ttl: 30 }),
  { errors: ['1 error occurred:\n\t* permission denied\n\n'] },
  { errors: ['preflight capability check returned 403'], data: { error: 'lease not found' } },
];

const bytes = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .constantFrom(...BODIES)
      .chain(mutated)
      .map(toBytes),
  },
  { weight: 2, arbitrary: fc.constantFrom(...BODIES).map(toBytes) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...BODIES.map(toBytes)).chain((one) => mutatedBytes(one)),
  },
  { weight: 1, arbitrary: hostileValue.map(toBytes) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('', '{}', '[]', '{"data":1e999}').map((text) => Buffer.from(text)),
  },
);

const statuses = fc.oneof(
  { weight: 5, arbitrary: fc.constant(200) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(201, 202, 204, 400, 403, 404, 405, 412, 429, 473, 500, 502, 503),
  },
);

const headers = fc.oneof(
  { weight: 5, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom('retry-after', 'location', 'content-type', 'content-encoding'),
        fc.oneof(
          hostileText,
          fc.constantFrom('120', '1e9', 'Thu, 01 Jan 1970 00:00:00 GMT', 'gzip'),
        ),
      )
      .map(([name, value]) => ({ [name]: value.replace(/[^\x20-\x7e]/g, '') })),
  },
);

const reply: fc.Arbitrary<Reply> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ status: statuses, headers, body: bytes }),
  },
  { weight: 1, arbitrary: fc.constantFrom<Reply>('reset', 'cut', 'garbage') },
);

function toBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

const DEPENDENCIES: readonly VaultDependency[] = [
  { kind: 'read', path: 'kv/app' },
  { kind: 'read', path: 'kv/app?version=2' },
  { kind: 'list', path: 'kv/app' },
  { kind: 'write', path: 'transit/sign/key', params: { input: 'x' } },
  { kind: 'pki', path: 'pki/issue/web', params: { common_name: 'web' } },
];

type Operation = (client: VaultClient) => Promise<unknown>;

const OPERATIONS: readonly Operation[] = [
  async (client) => {
    const request = { method: 'jwt', mount: 'jwt', role: 'demo', jwt: JWT } as const;
    const { token, ttlMs, numUses } = await client.login(request, NEVER);
    assert.equal(typeof token.reveal(), 'string');
    assertSensible(ttlMs);
    assert.ok(Number.isFinite(numUses));
  },
  ...DEPENDENCIES.map((dependency): Operation => async (client) => {
    const { data, validity, warnings } = await client.fetch(TOKEN, dependency, NEVER);
    assert.ok(warnings.every((warning) => warning.length <= 300));
    assertPlannable(validity);
    assertRenders(Object.fromEntries(Object.entries(data)));
  }),
  async (client) => {
    assertSensible((await client.renewToken(TOKEN, NEVER)).ttlMs);
  },
  async (client) => {
    const lease = await client.renewLease(TOKEN, 'database/creds/app/abc', 60_000, NEVER);
    assertSensible(lease.durationMs);
    assertPlan(planLease(lease, 60_000, context(0.5)));
  },
  (client) => client.tokenIsValid(TOKEN, NEVER),
  (client) => client.revokeToken(TOKEN, NEVER),
  (client) => client.revokeLease(TOKEN, 'database/creds/app/abc', NEVER),
];

/** A server that answers what it is set to, and a client of it. */
async function connected(t: TestContext): Promise<{ server: ScriptedServer; client: VaultClient }> {
  const server = await startScripted(t, () => ({}));
  const client = createVaultClient({
    address: server.address,
    timeoutMs: 20_000,
    clock: CLOCK,
    random: { next: () => 0.5 },
  });
  t.after(() => client.close());
  return { server, client };
}

test('whatever is answered, a call gives its answer or an error of ours', async (t) => {
  const { server, client } = await connected(t);
  let answered = 0;
  const calls = fc.tuple(
    fc.constantFrom(...OPERATIONS),
    fc.array(reply, { minLength: 1, maxLength: 4 }),
  );
  await holdsAsync(calls, 500, async ([operation, replies]) => {
    let next = 0;
    server.script = () => replies[next++ % replies.length] ?? {};
    try {
      await operation(client);
      answered += 1;
    } catch (error) {
      assertOurs(error);
    }
    assert.ok(next <= 40, `${next} requests for one call`);
  });
  assert.ok(answered > 50, `${answered} answered`);
});

test('an answer over the limit is not kept, also where it says that it is short', async (t) => {
  const { server, client } = await connected(t);
  const zeros = gzipSync(Buffer.alloc(64 * 2 ** 20)); // 64 KiB that are 64 MiB
  const huge = `{"data":{"a":"${'x'.repeat(9 * 2 ** 20)}"}}`;
  const digits = JSON.stringify({ errors: ['1'.repeat(2 ** 20)] });
  const slashes = JSON.stringify({ errors: [`${' '.repeat(2 ** 20)}- eyJ${'.'.repeat(2 ** 20)}`] });
  const deep = `{"data":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
  for (const reply of [
    { body: zeros, headers: { 'content-encoding': 'gzip' } },
    { body: huge },
    { status: 400, body: digits },
    { status: 403, body: slashes },
    { body: deep },
  ]) {
    server.script = () => reply;
    const ms = await cpuMsOf(async () => {
      for (const operation of OPERATIONS.slice(0, 2)) await operation(client).catch(assertOurs);
    });
    assert.ok(ms < 4000, `${ms} ms`); // 150 where nothing else runs
  }
});

test('whatever Vault says about a life, it is asked again at a sensible time', () => {
  const odd = fc.oneof(hostileNumber, hostileNumber.map(String), hostileText, hostileValue);
  const data = fc.record(
    {
      ttl: odd,
      rotation_period: odd,
      certificate: fc.constantFrom<unknown>('-----BEGIN CERTIFICATE-----', 1, ''),
      expiration: odd,
      secret_id: fc.constantFrom<unknown>('s', '', 1),
      secret_id_ttl: odd,
    },
    { requiredKeys: [] },
  );
  const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  holds(fc.tuple(data, chances), 1000, ([facts, chance]) => {
    const lease = { leaseId: '', leaseDurationMs: 0, renewable: false };
    assertPlannable(classifyValidity({ ...lease, data: facts }, NOW_MS), chance);
  });
});

function context(chance: number): PlanContext {
  const random = { next: () => chance };
  return { monotonicMs: 1000, wallMs: NOW_MS, random, refreshMs: 300_000 };
}

function assertPlannable(validity: Validity, chance = 0.5): void {
  assertPlan(planValue(validity, context(chance)));
}

function assertPlan({ atMs, expiresAtMs }: ReturnType<typeof planValue>): void {
  assert.ok(atMs >= 2000, `planned at ${atMs}`);
  assertSensible(atMs);
  assert.ok(!Number.isNaN(expiresAtMs));
}

/** A number of milliseconds that a date can be made of: three hundred years are enough. */
function assertSensible(ms: number): void {
  assert.ok(ms >= 0 && ms < 3e14, `${ms} ms`);
}

/** Data is data, whatever its keys are called. */
function assertRenders(data: Readonly<Record<string, unknown>>): void {
  const input = { root: data, lookup: () => undefined };
  try {
    const { text } = renderTemplate(parseTemplate('{{json this}}', 't'), input);
    assert.deepEqual(
      Object.keys(JSON.parse(text ?? '') as object).sort(),
      Object.keys(data).sort(),
    );
  } catch (error) {
    assert.ok(error instanceof VouchsafeError && /^ERR_TEMPLATE_/.test(error.code), String(error));
  }
}

function assertOurs(error: unknown): undefined {
  assert.ok(error instanceof VouchsafeError, String(error));
  assert.match(error.code, /^ERR_VAULT_/);
  const shown = `${error.message} ${JSON.stringify(error)}`;
  assert.ok(shown.length < 3000, `${shown.length} characters`);
  for (const secret of Object.values(PLANTED)) assert.ok(!shown.includes(secret), shown);
  if (error.retryAfterMs !== undefined) assert.ok(error.retryAfterMs <= 300_000);
}
