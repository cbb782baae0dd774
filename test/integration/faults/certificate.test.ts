/**
 * Logins with an X.509-SVID: what is presented to Vault when, over restarts and rotations.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { FaultWorld, SPIFFE_ID } from '../../helpers/fault-world.ts';

const TRUST_DOMAIN = 'example.org';

type Method = 'cert' | 'spiffe';

interface Bench extends AsyncDisposable {
  readonly world: FaultWorld;
  /** The part of an agent's document that logs in. */
  document(method: Method): { readonly vault: object; readonly auth: object };
  logins(method: Method): number;
}

/** A world whose Vault, as with `tls_require_and_verify_client_cert`, serves no request without a certificate. */
async function startBench(): Promise<Bench> {
  const ca = createTestCa();
  const world = await FaultWorld.start({ tls: ca.issue() });
  const { vault, api } = world;
  const token = { token_policies: ['web'], token_ttl: '1h' };
  for (const type of ['cert', 'spiffe']) await vault.write(`sys/auth/${type}`, { type });
  const allowed = { certificate: api.bundlePem(), allowed_uri_sans: SPIFFE_ID };
  await vault.write('auth/cert/certs/web', { ...allowed, ...token });
  await trust(world, TRUST_DOMAIN);
  await vault.write('auth/spiffe/role/web', { workload_id_patterns: ['ns/+/sa/web'], ...token });
  vault.faults.add({
    match: ({ certificate }) => certificate === undefined,
    respond: { status: 400, body: { errors: ['client certificate must be supplied'] } },
  });
  return {
    world,
    document: (method) => ({
      vault: { address: vault.address, caPem: ca.caPem },
      auth: { method, role: 'web', ...(method === 'spiffe' && { svid: 'x509' }) },
    }),
    logins: (method) => vault.count({ path: `auth/${method}/login` }),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

async function trust({ vault, api }: FaultWorld, trustDomain: string): Promise<void> {
  const bundle = api.bundlePem();
  await vault.write('auth/spiffe/config', { trust_domain: trustDomain, profile: 'static', bundle });
}

suite('X.509-SVIDs at Vault', { concurrency: 4 }, () => {
  for (const method of ['cert', 'spiffe'] as const) {
    test(`${method}: a killed agent continues with its token, and presents its SVID on every request`, async () => {
      await using bench = await startBench();
      const { world } = bench;
      const document = {
        ...bench.document(method),
        stateDirectory: world.bench.stateDirectory,
      };
      const killed = await world.agent(document);
      await killed.logged(/files delivered/);
      await killed.kill('SIGKILL');
      await world.change(2);
      const next = await world.agent(document);
      await world.delivered(2);
      assert.equal(bench.logins(method), 1);
      await world.search(next);
      await next.kill('SIGTERM');
      assert.equal(world.vault.count({ path: 'auth/token/revoke-self' }), 1);
      const bare = world.vault.requests.filter(({ certificate }) => certificate === undefined);
      assert.deepEqual(bare, []);
    });
  }

  test('spiffe: a rotated SVID is presented from the next request on, without another login', async () => {
    await using bench = await startBench();
    const { world } = bench;
    const agent = await world.agent(bench.document('spiffe'));
    const seen = (): Set<string | undefined> =>
      new Set(world.vault.requests.map(({ certificate }) => certificate));
    for (let version = 1; version <= 3; version += 1) {
      await world.change(version);
      await world.delivered(version);
      assert.equal(seen().size, version, 'certificates');
      world.api.rotateX509();
      await agent.logged(new RegExp(`(?:x509-svid received[^]*){${version + 1}}`));
    }
    assert.equal(bench.logins('spiffe'), 1);
    await world.search(agent);
  });

  test('cert: a rotated SVID is presented by another login', async () => {
    await using bench = await startBench();
    const { world } = bench;
    await world.agent(bench.document('cert'));
    await world.delivered(1);
    world.api.rotateX509();
    await world.vault.waitFor({ path: 'auth/cert/login' }, 2, AbortSignal.timeout(30_000));
    await world.change(2);
    await world.delivered(2);
    assert.equal(bench.logins('cert'), 2);
  });

  for (const [name, spoil, reason] of [
    [
      'no SVID',
      ({ api }) => {
        api.setIdentities([]);
        return Promise.resolve();
      },
      /ERR_SPIFFE_DENIED.*registration entry/,
    ],
    [
      'another trust domain',
      (world) => trust(world, 'example.com'),
      /LOGIN_REFUSED.*auth\/spiffe as role "web".*another trust domain/,
    ],
    [
      'a role without the SPIFFE ID',
      async ({ vault }) => {
        await vault.write('auth/spiffe/role/web', { workload_id_patterns: ['ns/+/sa/other'] });
      },
      /LOGIN_REFUSED.*auth\/spiffe as role "web".*no role matches the SPIFFE ID/,
    ],
  ] as readonly (readonly [string, (world: FaultWorld) => Promise<void>, RegExp])[]) {
    test(`spiffe: ${name} is an error with its reason`, async () => {
      await using bench = await startBench();
      await spoil(bench.world);
      const agent = await bench.world.agent({ ...bench.document('spiffe'), initDeadline: '4s' });
      assert.equal(await agent.exit(), 17, agent.output);
      assert.match(await agent.terminationMessage(), reason);
    });
  }

  test('spiffe: an http address is rejected before anything is requested', async () => {
    await using world = await FaultWorld.start();
    const agent = await world.agent({ auth: { method: 'spiffe', svid: 'x509' } });
    assert.notEqual(await agent.exit(), 0);
    assert.match(agent.output, /auth\.method: spiffe requires an https address/);
    assert.equal(world.api.calls.FetchX509SVID, 0);
  });
});
