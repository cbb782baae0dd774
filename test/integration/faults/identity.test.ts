/**
 * What the agent does when the Workload API misbehaves.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { startOidcProvider, startWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import { FaultWorld, SPIFFE_ID } from '../../helpers/fault-world.ts';

const IDENTITIES = [{ spiffeId: SPIFFE_ID }];

/** A status code of gRPC. */
const RESOURCE_EXHAUSTED = 8;

// Most of their time is waiting.
suite('the Workload API', { concurrency: 4 }, () => {
  test('Workload API absent at start: one login when it comes', async () => {
    await using world = await FaultWorld.start();
    const address = `unix://${join(world.bench.directory, 'agent.sock')}`;
    const agent = await world.agent({ spiffe: { socket: address } });
    await agent.logged(/ERR_SPIFFE_UNAVAILABLE.*agent\.sock/);
    const { status, body } = await agent.get('/readyz');
    assert.deepEqual([status, /ERR_SPIFFE_UNAVAILABLE/.test(body)], [503, true]);
    await using api = await startWorkloadApi({ address, identities: IDENTITIES });
    await using keys = await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) });
    await world.vault.write('auth/jwt/config', { jwks_url: `${keys.url}/keys` });
    await world.delivered(1);
    assert.equal(world.logins, 1);
    assert.ok(api.calls.FetchJWTSVID <= 2);
    await world.search(agent);
  });

  test('Workload API denying until its registration arrives: one login, calls bounded', async () => {
    await using world = await FaultWorld.start();
    world.api.setIdentities([]);
    const agent = await world.agent();
    await agent.logged(/ERR_SPIFFE_DENIED.*registration entry/);
    world.api.setIdentities(IDENTITIES);
    const watch = world.watch();
    await world.delivered(1);
    assert.ok(world.api.calls.FetchJWTSVID <= 4, 'bounded by backoff');
    assert.equal(world.logins, 1);
    await world.search(agent);
    await watch.stop();
  });

  for (const [name, fault, says] of [
    ['rate-limiting', { kind: 'code', code: RESOURCE_EXHAUSTED, message: 'slow' }, /SPIFFE_UNAV/],
    ['answering garbage', { kind: 'garbage' }, /SPIFFE_MALFORMED/],
  ] as const) {
    test(`Workload API ${name} for a while: one login, calls bounded`, async () => {
      await using world = await FaultWorld.start();
      world.api.fault('FetchJWTSVID', fault);
      const agent = await world.agent();
      await agent.logged(says);
      await world.search(agent);
      world.api.fault('FetchJWTSVID', undefined);
      await world.delivered(1);
      assert.ok(world.api.calls.FetchJWTSVID <= 5, `${world.api.calls.FetchJWTSVID} calls`);
      assert.equal(world.logins, 1);
    });
  }

  test('Workload API slow (3 s): the agent waits, and asks once', async () => {
    await using world = await FaultWorld.start();
    world.api.fault('FetchJWTSVID', { kind: 'delay', delayMs: 3000 });
    const agent = await world.agent({}, ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.deepEqual([world.api.calls.FetchJWTSVID, world.logins], [1, 1]);
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
  });

  test('Workload API restarting in the middle of a stream: the SVID stays, then the new one comes', async () => {
    await using world = await FaultWorld.start();
    const address = `unix://${join(world.bench.directory, 'agent.sock')}`;
    const first = await startWorkloadApi({ address, identities: IDENTITIES });
    const agent = await world.agent({
      spiffe: { socket: address },
      vault: undefined,
      auth: undefined,
      files: [],
      x509Svid: true,
    });
    const svid = await world.bench.until('svid.pem', () => true);
    world.hunt.plant(await world.bench.file('svid_key.pem'));
    await first.close();
    await agent.logged(/ERR_SPIFFE_UNAVAILABLE/);
    assert.equal(await world.bench.file('svid.pem'), svid);
    await using second = await startWorkloadApi({ address, identities: IDENTITIES });
    const next = await world.bench.until('svid.pem', (text) => text !== svid);
    const bundle = new X509Certificate(await world.bench.file('bundle.pem'));
    assert.ok(new X509Certificate(next).verify(bundle.publicKey), 'the set is of one kind');
    assert.ok(second.calls.FetchX509SVID <= 2);
    await world.search(agent);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0);
  });

  test('Workload API withdrawing the registration: the files stay, and the status shows the error', async () => {
    await using world = await FaultWorld.start();
    const agent = await world.agent({ x509Svid: true });
    const watch = world.watch();
    const svid = await world.bench.until('svid.pem', () => true);
    await agent.logged(/files delivered/);
    world.api.setIdentities([]);
    await agent.logged(/ERR_SPIFFE_DENIED/);
    assert.match((await agent.get('/status')).body, /"phase": "degraded"[^]*ERR_SPIFFE_DENIED/);
    assert.equal(await world.bench.file('svid.pem'), svid);
    world.api.setIdentities(IDENTITIES);
    await world.bench.until('svid.pem', (text) => text !== svid);
    assert.equal(world.logins, 1);
    await world.search(agent);
    assert.ok((await watch.stop()) > 0);
  });

  test('SVID expired between fetch and login: the next login has a new one', async () => {
    await using world = await FaultWorld.start();
    const address = `unix://${join(world.bench.directory, 'agent.sock')}`;
    await using api = await startWorkloadApi({ address, identities: IDENTITIES, jwtTtlMs: 3500 });
    await using keys = await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) });
    await world.vault.write('auth/jwt/config', { jwks_url: `${keys.url}/keys` });
    await world.role({ clock_skew_leeway: -1 });
    const login = { path: 'auth/jwt/login' };
    world.vault.faults.add({ match: login, times: 1, respond: { delayMs: 4600 } });
    const agent = await world.agent({ spiffe: { socket: address } });
    await agent.logged(/LOGIN_REFUSED.*has expired; compare the clocks/);
    await world.delivered(1);
    // Where the start takes its time, the first one is too old by the login, and a third is fetched.
    assert.equal(world.logins, 2);
    assert.ok([2, 3].includes(api.calls.FetchJWTSVID), `${api.calls.FetchJWTSVID} fetched`);
    await world.search(agent);
  });

  test('Workload API without the requested SVID: an error with the remedy', async () => {
    await using world = await FaultWorld.start();
    const spiffeId = 'spiffe://example.org/other';
    const agent = await world.agent({
      spiffe: { socket: world.api.address, spiffeId },
      initDeadline: '4s',
    });
    assert.equal(await agent.exit(), 17);
    assert.match(await agent.terminationMessage(), /ERR_SPIFFE_DENIED.*registration|ERR_SPIFFE_NO/);
    assert.equal(world.logins, 0);
  });
});
