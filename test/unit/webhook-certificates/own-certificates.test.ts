import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { settle } from '../../helpers/fake-clock.ts';
import {
  configuration,
  CONFIGURATION,
  DAY,
  KEYS,
  MINUTE,
  NAME,
  SECRET,
  secretData,
  World,
} from './harness.ts';

test('first start without a Secret: one replica creates everything', async (t) => {
  const world = new World(t);
  world.start('a');
  await settle();
  assert.deepEqual(world.callable(), ['a']);
  const leaf = new X509Certificate(world.secret()[KEYS.certificate] ?? '');
  assert.equal(leaf.subjectAltName, `DNS:${NAME}`);
  assert.equal(world.cluster.get(SECRET)?.['type'], 'kubernetes.io/tls');
  assert.equal(world.trusted, 1);
});

test('three concurrent replicas share one Secret, created once', async (t) => {
  const world = new World(t);
  await world.startThree();
  const writes = world.cluster.requests.filter((one) => /^(POST|PATCH) .*secrets/.test(one));
  assert.equal(writes.length, 1);
  const served = new Set(
    world.replicas.map(({ certificates }) => certificates.current?.certificatePem),
  );
  assert.equal(served.size, 1);
});

test('the Lease is taken before the watch of the Secret is open: renewal waits a second for it, not a minute', async (t) => {
  const world = new World(t);
  const connection = world.cluster.connect();
  const { api } = connection;
  const [taken, stands] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const slow: typeof api = {
    async send(request, signal) {
      if (request.path.includes('/leases')) await taken.promise;
      return api.send(request, signal);
    },
    async watch(path, query, signal) {
      if (path.endsWith('/secrets')) await stands.promise;
      return api.watch(path, query, signal);
    },
  };
  const replica = world.start('a', { ...connection, api: slow });
  await settle();
  await world.clock.advance(10); // so much older is the list
  taken.resolve(undefined);
  await settle();
  assert.ok(replica.own.isLeader);
  assert.equal(
    world.cluster.get(SECRET),
    undefined,
    'a view that may be old is no ground to write',
  );
  stands.resolve(undefined);
  await settle();
  await world.clock.advance(1000);
  await settle();
  assert.ok(replica.own.current !== undefined);
});

test('two years pass: certificates and CAs are renewed, no call fails, nothing accumulates', async (t) => {
  const world = new World(t);
  const [first] = await world.startThree();
  const leaves = new Set<string>();
  const authorities = new Set<string>();
  for (let day = 0; day < 730; day += 10) {
    world.clock.jump(10 * DAY);
    await world.pass(50_000, 25_000);
    leaves.add(world.secret()[KEYS.certificate] ?? '');
    authorities.add(world.secret()[KEYS.caCertificate] ?? '');
    assert.ok(world.trusted <= 2);
    const { expiresAtMs = 0 } = first?.certificates.current ?? {};
    assert.ok(expiresAtMs - world.clock.now() > 15 * DAY);
  }
  assert.equal(world.failures, 0);
  assert.ok(leaves.size >= 10 && authorities.size >= 3);
});

test('a new CA is trusted before a certificate of it is served', async (t) => {
  const world = new World(t);
  const [replica] = await world.startThree();
  const before = replica?.certificates.current?.certificatePem;
  const oldAuthority = world.secret()[KEYS.caCertificate] ?? '';
  world.cluster.put(SECRET, secretData({ ...world.secret(), [KEYS.caKey]: 'garbage' }));
  await settle();
  assert.notEqual(world.secret()[KEYS.caCertificate], oldAuthority);
  assert.equal(world.trusted, 2);
  assert.equal(replica?.certificates.current?.certificatePem, before, 'it settles first');
  await world.pass(9000);
  assert.equal(replica?.certificates.current?.certificatePem, before);
  await world.pass(2000);
  assert.equal(replica?.certificates.current?.certificatePem, world.secret()[KEYS.certificate]);
  assert.ok(
    world.bundles[0]?.includes(oldAuthority.trim()),
    'what is served elsewhere stays trusted',
  );
  assert.equal(world.failures, 0);
});

test('the leader is killed and does not come back: another replica renews', async (t) => {
  const world = new World(t);
  await world.startThree();
  const { leader } = world;
  assert.ok(leader !== undefined);
  leader.connection.isCut = true;
  await leader.stop();
  await world.pass(MINUTE);
  assert.ok(world.leader !== undefined && world.leader !== leader);
  world.cluster.delete(SECRET);
  await world.pass(MINUTE);
  assert.ok(world.cluster.get(SECRET) !== undefined);
  assert.equal(world.failures, 0);
});

test('a leader that cannot reach the API keeps serving', async (t) => {
  const world = new World(t);
  await world.startThree();
  const { leader } = world;
  if (leader !== undefined) leader.connection.isCut = true;
  world.cluster.stir();
  await world.pass(3 * MINUTE, 10_000);
  assert.equal(world.failures, 0);
  assert.notEqual(world.leader, leader);
});

test('the Secret is deleted: a new one, and the old certificates stay trusted', async (t) => {
  const world = new World(t);
  await world.startThree();
  const before = world.secret()[KEYS.caCertificate] ?? '';
  world.cluster.delete(SECRET);
  await world.pass(MINUTE);
  assert.notEqual(world.secret()[KEYS.caCertificate], before);
  assert.equal(world.trusted, 2);
  assert.equal(world.failures, 0);
});

test('the Secret is deleted and the leader is a new replica: the old certificates stay trusted', async (t) => {
  const world = new World(t);
  await world.startThree();
  const { leader } = world;
  await leader?.stop();
  for (const { connection } of world.replicas) connection.isQuiet.watches = true;
  world.start('dddd');
  world.cluster.delete(SECRET);
  await world.clock.advance(10_000);
  await settle();
  assert.deepEqual([...world.callable()].sort(), ['bb', 'ccc', 'dddd']);
});

for (const present of ['', 'hunter2', createTestCa().caPem]) {
  test(`the caBundle becomes "${present.slice(0, 12)}": corrected at once`, async (t) => {
    const world = new World(t);
    await world.startThree();
    const [before] = world.bundles;
    const caBundle = Buffer.from(present).toString('base64');
    const webhooks = [
      { name: 'x', clientConfig: { caBundle } },
      { name: 'y', clientConfig: {} },
    ];
    world.cluster.put(CONFIGURATION, { webhooks });
    await settle();
    assert.deepEqual(world.bundles, [before, before]);
    assert.deepEqual(world.callable(), ['a', 'bb', 'ccc']);
  });
}

test('the caBundle is emptied while there is no leader: corrected at once', async (t) => {
  const world = new World(t);
  await world.startThree();
  const { leader } = world;
  if (leader !== undefined) leader.connection.isCut = true;
  await leader?.stop();
  assert.equal(world.leader, undefined);
  world.cluster.put(CONFIGURATION, configuration());
  await settle();
  assert.equal(world.callable().length, 2);
});

test('the configuration is deleted and created again', async (t) => {
  const world = new World(t);
  const [replica] = await world.startThree();
  world.cluster.delete(CONFIGURATION);
  await settle();
  assert.match(
    replica?.certificates.current?.problem ?? '',
    /MutatingWebhookConfiguration "vouchsafe-webhook" does not exist/,
  );
  world.cluster.put(CONFIGURATION, configuration());
  await settle();
  assert.deepEqual(world.callable(), ['a', 'bb', 'ccc']);
  assert.equal(replica?.certificates.current?.problem, undefined);
});

const GARBAGE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'nothing at all': {},
  'no PEM': { [KEYS.certificate]: 'hunter2', [KEYS.key]: 'hunter2', [KEYS.caCertificate]: 'x' },
  'a certificate of somebody else': ((): Record<string, string> => {
    const ca = createTestCa();
    const { certPem, keyPem } = ca.issue();
    return { [KEYS.certificate]: certPem, [KEYS.key]: keyPem, [KEYS.caCertificate]: ca.caPem };
  })(),
};

for (const [name, texts] of Object.entries(GARBAGE)) {
  test(`garbage in the Secret (${name}): the last good certificate is served until it is corrected`, async (t) => {
    const world = new World(t);
    const [replica] = await world.startThree();
    world.cluster.put(SECRET, secretData(texts));
    await world.pass(MINUTE);
    assert.equal(world.failures, 0);
    assert.equal(replica?.certificates.current?.certificatePem, world.secret()[KEYS.certificate]);
    assert.doesNotMatch(replica?.logger.text() ?? '', /hunter2|PRIVATE/);
  });
}

test('a start that finds garbage replaces it', async (t) => {
  const world = new World(t);
  world.cluster.put(SECRET, { data: { [KEYS.certificate]: 7 } });
  world.start('a');
  await settle();
  assert.deepEqual(world.callable(), ['a']);
});

test('a clock close to expiry: certificates are renewed before anything fails', async (t) => {
  const world = new World(t);
  await world.startThree();
  world.clock.jump(89 * DAY);
  await world.pass(2 * MINUTE, 30_000);
  assert.equal(world.failures, 0);
  const leaf = new X509Certificate(world.secret()[KEYS.certificate] ?? '');
  assert.ok(leaf.validToDate.getTime() - world.clock.now() > 89 * DAY);
});

test('everything has expired while no replica ran: one start renews it', async (t) => {
  const world = new World(t);
  const [a, b, c] = await world.startThree();
  for (const replica of [a, b, c]) await replica?.stop();
  world.clock.jump(2000 * DAY);
  world.start('dddd');
  await settle();
  assert.deepEqual(world.callable(), ['dddd']);
  assert.equal(world.trusted, 1);
});

test('not allowed to write: logged and retried; the stored certificate is served', async (t) => {
  const world = new World(t);
  await world.startThree();
  world.cluster.refusals.set('PATCH ', 403);
  world.clock.jump(61 * DAY);
  await world.pass(5 * MINUTE, 30_000);
  assert.equal(world.failures, 0);
  assert.match(world.leader?.logger.text() ?? '', /certificates cannot be renewed/);
  world.cluster.refusals.clear();
  await world.pass(MINUTE);
  assert.ok(
    new X509Certificate(world.secret()[KEYS.certificate] ?? '').validToDate.getTime() >
      world.clock.now() + 80 * DAY,
  );
});

test('the API server is unreachable: everything goes on', async (t) => {
  const world = new World(t);
  await world.startThree();
  world.cluster.isAway = true;
  world.cluster.stir();
  await world.pass(5 * MINUTE, 10_000);
  assert.equal(world.failures, 0);
  world.cluster.isAway = false;
  await world.pass(2 * MINUTE);
  assert.ok(world.leader !== undefined);
});

for (const [name, prefix] of [
  ['to make the Secret', 'POST /api/v1'],
  ['to renew it', 'PATCH /api/v1'],
] as const) {
  test(`a 422 response ${name} is not a conflict: logged once, retried with backoff`, async (t) => {
    const world = new World(t);
    const isFirst = prefix.startsWith('POST');
    if (isFirst) world.start('a');
    else await world.startThree();
    world.cluster.refusals.set(prefix, 422);
    if (!isFirst) world.clock.jump(61 * DAY);
    else world.cluster.delete(SECRET);
    const before = world.cluster.requests.length;
    await world.pass(5 * MINUTE, 1000);
    const tries = world.cluster.requests
      .slice(before)
      .filter((request) => request.startsWith(prefix) && request.includes('/secrets')).length;
    assert.ok(tries >= 5 && tries <= 30, `${tries} tries in five minutes`);
    const said = world.replicas.flatMap(({ logger }) =>
      logger.lines.filter(({ message }) => message === 'certificates cannot be renewed'),
    );
    assert.equal(said.length, 1);
    world.cluster.refusals.clear();
    await world.pass(MINUTE);
    const until = new X509Certificate(world.secret()[KEYS.certificate] ?? '').validToDate;
    assert.ok(until.getTime() > world.clock.now() + 80 * DAY);
  });
}
