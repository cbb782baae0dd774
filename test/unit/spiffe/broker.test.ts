import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { hasCode } from '../../../src/core/index.ts';
import {
  createTrustDomain,
  startBroker,
  startWorkloadApi,
  type DevBroker,
  type DevPod,
  type DevWorkloadApi,
} from '../../../src/dev/workload-api/index.ts';
import {
  BROKER_MESSAGES,
  createBroker,
  createIdentity,
  createWorkloadApi,
  type Broker,
  type Identity,
  type SvidApi,
  type X509Context,
} from '../../../src/spiffe/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { pod } from '../../helpers/pods.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

const DRIVER = 'spiffe://example.org/driver';
const WEB = pod('web');
const JOB = pod('job');
const never = new AbortController().signal;
const random = { next: () => 0.5 };
const audiences = ['vault'];

interface World {
  readonly clock: FakeClock;
  readonly workloadApi: DevWorkloadApi;
  readonly server: DevBroker;
  readonly broker: Broker;
  readonly logger: RecordingLogger;
  /** Connections of the driver, as the server sees them. */
  readonly clients: readonly TLSSocket[];
  readonly identity: Identity;
}

interface Differences {
  readonly address?: string;
  readonly pods?: readonly DevPod[];
  /** SPIFFE IDs that the client takes from the server. */
  readonly serverIds?: readonly string[];
  /** SPIFFE ID of the server. */
  readonly serverId?: string;
  /** Trust domain of the server, when it is another one. */
  readonly federation?: 'federated' | 'unknown';
  /** Somebody else poses as the trust domain. */
  readonly isImpostor?: boolean;
  readonly brokers?: readonly string[];
}

/** A driver with an X.509-SVID of its own, and the Broker API of its node. Clocks of TLS cannot be faked. */
async function world(t: TestContext, differences: Differences = {}): Promise<World> {
  const { pods = [WEB, JOB], brokers = [DRIVER], federation, serverIds } = differences;
  const clock = new FakeClock(Date.now());
  const logger = recordingLogger();
  const domain = createTrustDomain('example.org', clock);
  const workloadApi = await startWorkloadApi({ domain, clock, identities: [{ spiffeId: DRIVER }] });
  const federated = federation === 'federated' ? workloadApi.federate('other.example') : undefined;
  const unknown = federation === 'unknown' ? createTrustDomain('other.example', clock) : undefined;
  const impostor =
    differences.isImpostor === true ? createTrustDomain('example.org', clock) : domain;
  const clients: TLSSocket[] = [];
  const server = await startBroker({
    domain,
    clock,
    pods,
    brokers,
    onClient: (socket) => void clients.push(socket),
    serverDomain: federated ?? unknown ?? impostor,
    ...(differences.address === undefined ? {} : { address: differences.address }),
    ...(differences.serverId === undefined ? {} : { serverId: differences.serverId }),
  });
  const own = createWorkloadApi({ address: workloadApi.address, clock });
  const identity = createIdentity({ api: own, clock, random });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  const broker = createBroker({
    address: server.address,
    identity,
    clock,
    logger,
    ...(serverIds === undefined ? {} : { serverIds }),
  });
  t.after(async () => {
    broker.close();
    stop.abort();
    await running;
    own.close();
    await server.close();
    await workloadApi.close();
    assert.equal(server.openStreams, 0);
    assert.equal(clock.sleeping, 0);
  });
  return { clock, workloadApi, server, broker, logger, clients, identity };
}

async function ids(api: SvidApi, spiffeId?: string): Promise<string[]> {
  const request = spiffeId === undefined ? { audiences } : { audiences, spiffeId };
  return (await api.fetchJwtSvids(request, never)).map((svid) => svid.spiffeId.uri);
}

async function nextContext(contexts: AsyncIterator<X509Context>): Promise<X509Context> {
  const result = await contexts.next();
  assert.ok(result.done !== true);
  return result.value;
}

for (const address of [undefined, 'tcp://127.0.0.1:0', 'tcp://[::1]:0']) {
  test(`each pod gets its own JWT-SVIDs over one connection (${address ?? 'a socket'})`, async (t) => {
    const { broker, clients } = await world(t, address === undefined ? {} : { address });
    const [web, job] = [broker.workload(WEB), broker.workload(JOB)];
    const got = await Promise.all([web, job, web, job, web].map((api) => ids(api)));
    const [a, b] = ['spiffe://example.org/web', 'spiffe://example.org/job'];
    assert.deepEqual(got.flat(), [a, b, a, b, a]);
    assert.equal(clients.length, 1);
    assert.equal(clients[0]?.alpnProtocol, 'h2');
  });
}

test('an identity made of it serves JWT-SVIDs, and X.509-SVIDs that follow each rotation', async (t) => {
  const { broker, server, clock } = await world(t);
  server.federate('other.example');
  const api = broker.workload(WEB);
  const identity = createIdentity({ api, clock, random });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  const { token } = await identity.jwtSvid(['vault', 'other'], never);
  assert.equal(token.reveal().split('.').length, 3);
  const updates = identity.x509Updates(never)[Symbol.asyncIterator]();
  const first = await updates.next();
  server.rotateX509();
  const second = await updates.next();
  assert.ok(first.done !== true && second.done !== true);
  assert.equal(second.value.svid.spiffeId.uri, 'spiffe://example.org/web');
  assert.notDeepEqual(second.value.svid.certificates, first.value.svid.certificates);
  assert.deepEqual([...second.value.federatedBundles.keys()], ['spiffe://other.example']);
  assert.equal(server.calls.SubscribeToX509SVID, 1);
  stop.abort();
  await running;
});

test('a stream that is cut is opened again, and the SVID stays meanwhile', async (t) => {
  const { broker, server, clock } = await world(t);
  const identity = createIdentity({ api: broker.workload(WEB), clock, random });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  const before = await identity.x509Svid(never);
  await clock.advance(1000);
  server.dropStreams();
  await until(() => server.calls.SubscribeToX509SVID === 2);
  assert.deepEqual(await identity.x509Svid(never), before);
  stop.abort();
  await running;
});

test('bundles are streamed for those who only verify', async (t) => {
  const { broker, server } = await world(t);
  const bundles = broker.workload(WEB).watchX509Bundles(never)[Symbol.asyncIterator]();
  const first = await bundles.next();
  server.federate('other.example');
  const second = await bundles.next();
  assert.ok(first.done !== true && second.done !== true);
  assert.deepEqual([...first.value.keys()], ['spiffe://example.org']);
  assert.deepEqual([...second.value.keys()], ['spiffe://example.org', 'spiffe://other.example']);
  await bundles.return?.();
});

for (const [what, differences] of [
  ['that is not allowed', { serverIds: ['spiffe://example.org/spire/agent/other'] }],
  ['of a workload', { serverId: 'spiffe://example.org/web' }],
  ['that only looks like an agent', { serverId: 'spiffe://example.org/web/spire/agent/x' }],
] as const) {
  test(`a server with a SPIFFE ID ${what} is rejected, and named`, async (t) => {
    const { broker, server } = await world(t, differences);
    const name =
      'serverId' in differences ? differences.serverId : 'spiffe://example.org/spire/agent/dev';
    const refused = {
      code: 'ERR_SPIFFE_UNAVAILABLE',
      message: new RegExp(`was rejected: ${name} is not`),
    };
    await assert.rejects(ids(broker.workload(WEB)), refused);
    const contexts = broker.workload(WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
    await assert.rejects(contexts.next(), refused);
    assert.equal(server.calls.FetchJWTSVID, 0); // it has not even seen the reference
  });
}

test('a server that another authority vouches for is rejected, whatever its SPIFFE ID is', async (t) => {
  const { broker, server } = await world(t, { isImpostor: true });
  await assert.rejects(ids(broker.workload(WEB)), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: /one end rejected the X.509-SVID of the other/,
  });
  assert.equal(server.calls.FetchJWTSVID, 0);
});

test('the authority of a federated trust domain does not vouch for an agent of the own one', async (t) => {
  const { broker } = await world(t, {
    federation: 'federated',
    serverId: 'spiffe://example.org/spire/agent/dev',
  });
  await assert.rejects(ids(broker.workload(WEB)), { code: 'ERR_SPIFFE_UNAVAILABLE' });
});

test('a server of a federated trust domain may be allowed by name', async (t) => {
  const serverId = 'spiffe://other.example/broker';
  const { broker } = await world(t, { federation: 'federated', serverId, serverIds: [serverId] });
  assert.deepEqual(await ids(broker.workload(WEB)), ['spiffe://example.org/web']);
});

test('a server of a trust domain without a bundle cannot be verified, and that is said', async (t) => {
  const serverId = 'spiffe://other.example/broker';
  const { broker } = await world(t, { federation: 'unknown', serverId, serverIds: [serverId] });
  await assert.rejects(ids(broker.workload(WEB)), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: /no bundle for the trust domain other.example/,
  });
});

test('for a driver that the server does not list, the error says where to list it', async (t) => {
  const { broker, server } = await world(t, { brokers: ['spiffe://example.org/other'] });
  await assert.rejects(ids(broker.workload(WEB)), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: /broker.brokers of the agent lists the SPIFFE ID of this driver/,
  });
  assert.equal(server.calls.FetchJWTSVID, 0);
});

test('a pod that is not known yet is waited for', async (t) => {
  const { broker, server } = await world(t, { pods: [JOB] });
  const web = broker.workload(WEB);
  await assert.rejects(ids(web), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    retry: 'backoff',
    message: /does not know the pod.*NOT_FOUND/,
  });
  server.setPods([JOB, WEB]);
  assert.deepEqual(await ids(web), ['spiffe://example.org/web']);
});

test('a pod keeps its X.509-SVID when others come and go', async (t) => {
  const { broker, server } = await world(t);
  const contexts = broker.workload(WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
  const before = await nextContext(contexts);
  server.setPods([WEB]);
  const after = await nextContext(contexts);
  assert.deepEqual(after.svids[0]?.certificates, before.svids[0]?.certificates);
  await contexts.return?.();
});

test('the stream of a pod that is gone ends', async (t) => {
  const { broker, server } = await world(t);
  const contexts = broker.workload(WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
  await nextContext(contexts);
  server.setPods([JOB]);
  await assert.rejects(contexts.next(), { code: 'ERR_SPIFFE_UNAVAILABLE', message: /pod is gone/ });
});

for (const [what, reference] of [
  ['the UID of another pod', { ...WEB, uid: JOB.uid }],
  ['another namespace', { ...WEB, namespace: 'bank' }],
  ['another name', { ...WEB, name: 'job' }],
] as const) {
  test(`a name with ${what} is not a pod`, async (t) => {
    const { broker } = await world(t);
    await assert.rejects(ids(broker.workload(reference)), { message: /NOT_FOUND/ });
  });
}

test('a pod is identified by all its names', async (t) => {
  const { broker } = await world(t);
  for (const missing of ['uid', 'namespace', 'name']) {
    assert.throws(() => broker.workload({ ...WEB, [missing]: '' }), TypeError);
  }
});

for (const [what, rest, evidence] of [
  ['is not registered', { identities: [] }, /"no identity issued"/],
  ['the driver has no right to', { mayBeImpersonated: false }, /authorizer.*impersonate-via-spire/],
] as const) {
  test(`a pod that ${what} gets nothing, with the remedy`, async (t) => {
    const { broker } = await world(t, { pods: [pod('web', rest), JOB] });
    const denied = {
      code: 'ERR_SPIFFE_DENIED',
      message: /registration entry.*select a container.*impersonate-via-spire.*broker.brokers/,
    };
    await assert.rejects(ids(broker.workload(WEB)), denied);
    await assert.rejects(ids(broker.workload(WEB)), { message: evidence });
    const contexts = broker.workload(WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
    await assert.rejects(contexts.next(), denied);
    assert.deepEqual(await ids(broker.workload(JOB)), ['spiffe://example.org/job']); // nobody else is touched
  });
}

test('of several SVIDs the one that was asked for comes, though the server sends them all', async (t) => {
  const identities = [
    { spiffeId: 'spiffe://example.org/a', hint: 'internal' },
    { spiffeId: 'spiffe://example.org/b', hint: 'external' },
  ];
  const { broker } = await world(t, { pods: [pod('web', { identities })] });
  const web = broker.workload(WEB);
  assert.deepEqual(await ids(web), ['spiffe://example.org/a', 'spiffe://example.org/b']);
  assert.deepEqual(await ids(web, 'spiffe://example.org/b'), ['spiffe://example.org/b']);
  await assert.rejects(ids(web, 'spiffe://example.org/c'), {
    code: 'ERR_SPIFFE_NO_MATCH',
    message:
      /spiffe:\/\/example.org\/c; it has spiffe:\/\/example.org\/a, spiffe:\/\/example.org\/b/,
  });
  const context = await nextContext(web.watchX509Contexts(never)[Symbol.asyncIterator]());
  assert.deepEqual(
    context.svids.map(({ hint }) => hint),
    ['internal', 'external'],
  );
});

test('an answer without SVIDs, and an invalid one, break the protocol', async (t) => {
  const { broker, server } = await world(t);
  server.fault('FetchJWTSVID', { kind: 'message', bytes: new Uint8Array() });
  await assert.rejects(ids(broker.workload(WEB)), {
    code: 'ERR_SPIFFE_MALFORMED',
    message: /FetchJWTSVIDResponse without svids/,
  });
  server.fault('FetchJWTSVID', { kind: 'garbage' });
  await assert.rejects(ids(broker.workload(WEB)), {
    code: 'ERR_SPIFFE_MALFORMED',
    message: /FetchJWTSVIDResponse that cannot be decoded/,
  });
});

test('a stream goes on after garbage, and ends when all was withdrawn', async (t) => {
  const { broker, server, logger } = await world(t);
  const contexts = broker.workload(WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
  const first = await nextContext(contexts);
  server.fault('SubscribeToX509SVID', { kind: 'garbage' });
  server.fault('SubscribeToX509SVID', undefined);
  assert.deepEqual(await nextContext(contexts), first);
  assert.deepEqual(
    logger.lines.map(({ fields }) => fields['method']),
    ['SubscribeToX509SVID'],
  );
  const bytes = BROKER_MESSAGES.SubscribeToX509SVIDResponse.encode({ crl: [Buffer.of(1)] });
  server.fault('SubscribeToX509SVID', { kind: 'message', bytes });
  await assert.rejects(contexts.next(), {
    code: 'ERR_SPIFFE_DENIED',
    message: /SubscribeToX509SVID at .*issued no identity for this pod.*an empty list of SVIDs/,
  });
  await until(() => server.openStreams === 0);
});

test('a pod that is registered later gets its X.509-SVID, and the reason is reported until then', async (t) => {
  const { broker, server, clock } = await world(t, { pods: [pod('web', { identities: [] })] });
  const identity = createIdentity({ api: broker.workload(WEB), clock, random });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  await until(() => identity.lastError?.code === 'ERR_SPIFFE_DENIED');
  server.setPods([WEB]);
  const svid = identity.x509Svid(never);
  await until(() => clock.sleeping === 4); // both servers' rotations, the own identity's watch and our backoff
  await clock.advance(2000);
  assert.equal((await svid).svid.spiffeId.uri, 'spiffe://example.org/web');
  assert.equal(server.calls.SubscribeToX509SVID, 2);
  stop.abort();
  await running;
});

for (const [code, expected] of [
  [3, 'ERR_SPIFFE_REJECTED'],
  [12, 'ERR_SPIFFE_UNIMPLEMENTED'],
  [14, 'ERR_SPIFFE_UNAVAILABLE'],
  [16, 'ERR_SPIFFE_UNAVAILABLE'],
] as const) {
  test(`status ${code} is ${expected}`, async (t) => {
    const { broker, server } = await world(t);
    server.fault('FetchJWTSVID', { kind: 'code', code, message: 'as planted' });
    await assert.rejects(ids(broker.workload(WEB)), { code: expected, message: /as planted/ });
  });
}

test('when the own SVID rotates, new calls show the new one and calls under way end well', async (t) => {
  const { broker, server, workloadApi, clients, clock, identity } = await world(t);
  const web = broker.workload(WEB);
  const contexts = web.watchX509Contexts(never)[Symbol.asyncIterator]();
  await nextContext(contexts);
  server.fault('FetchJWTSVID', { kind: 'delay', delayMs: 1000 });
  const slow = ids(web);
  await until(() => server.calls.FetchJWTSVID === 1);
  server.fault('FetchJWTSVID', undefined);
  const own = await identity.x509Svid(never);
  const updates = identity.x509Updates(never)[Symbol.asyncIterator]();
  await updates.next();
  workloadApi.rotateX509();
  await updates.next();
  assert.deepEqual(await ids(broker.workload(JOB)), ['spiffe://example.org/job']);
  assert.equal(clients.length, 2);
  const shown = clients.map((socket) => socket.getPeerCertificate().raw);
  assert.deepEqual(shown[0], Buffer.from(own.svid.certificates[0] ?? []));
  assert.notDeepEqual(shown[1], shown[0]);
  await clock.advance(1000);
  assert.deepEqual(await slow, ['spiffe://example.org/web']);
  server.rotateX509();
  await nextContext(contexts); // the stream is on the old connection still
  const [old, young] = clients;
  assert.ok(old !== undefined && !old.destroyed);
  const closed = once(old, 'close');
  await contexts.return?.();
  await closed;
  assert.equal(young?.destroyed, false);
});

test('the wait for an own SVID that was withdrawn can be given up at any time', async (t) => {
  const { broker, workloadApi, identity } = await world(t);
  await identity.x509Svid(never);
  workloadApi.setIdentities([]);
  workloadApi.dropStreams();
  await until(() => identity.lastError !== undefined);
  const stop = new AbortController();
  const call = broker.workload(WEB).fetchJwtSvids({ audiences }, stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
});

test('an agent that was restarted is found again', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-test-'));
  t.after(() => rm(directory, { recursive: true }));
  const { broker, server, clock } = await world(t, { address: `unix://${directory}/broker.sock` });
  const web = broker.workload(WEB);
  await ids(web);
  await server.close();
  await assert.rejects(ids(web), { code: 'ERR_SPIFFE_UNAVAILABLE' });
  const { own: domain } = server.issuer;
  const { address } = server;
  await using restarted = await startBroker({
    address,
    domain,
    clock,
    pods: [WEB],
    brokers: [DRIVER],
  });
  let found: string[] = [];
  while (found.length === 0) {
    found = await ids(web).catch((error: unknown) => {
      assert.ok(hasCode(error, 'ERR_SPIFFE_UNAVAILABLE'));
      return [];
    });
  }
  assert.equal(restarted.calls.FetchJWTSVID, 1);
});

test('an abort ends calls and streams with its own reason', async (t) => {
  const { broker, server } = await world(t);
  server.fault('FetchJWTSVID', { kind: 'hang' });
  server.fault('SubscribeToX509SVID', { kind: 'hang' });
  const stop = new AbortController();
  const reason = new Error('enough');
  const web = broker.workload(WEB);
  const both = Promise.allSettled([
    web.fetchJwtSvids({ audiences }, stop.signal),
    web.watchX509Contexts(stop.signal)[Symbol.asyncIterator]().next(),
  ]);
  await until(() => server.calls.FetchJWTSVID === 1 && server.calls.SubscribeToX509SVID === 1);
  stop.abort(reason);
  for (const result of await both) assert.deepEqual(result, { status: 'rejected', reason });
});

test('closing one workload ends its calls alone, closing the broker all', async (t) => {
  const { broker, server } = await world(t);
  server.fault('FetchJWTSVID', { kind: 'hang' });
  const [web, job] = [broker.workload(WEB), broker.workload(JOB)];
  const ofWeb = ids(web);
  const ofJob = ids(job);
  ofJob.catch(() => undefined); // looked at later
  await until(() => server.calls.FetchJWTSVID === 2);
  web.close();
  await assert.rejects(ofWeb, { code: 'ERR_SPIFFE_UNAVAILABLE', message: /workload was closed/ });
  await assert.rejects(ids(web), TypeError);
  server.fault('FetchJWTSVID', undefined);
  assert.deepEqual(await ids(broker.workload(WEB)), ['spiffe://example.org/web']);
  broker.close();
  await assert.rejects(ofJob, { code: 'ERR_SPIFFE_UNAVAILABLE', message: /client was closed/ });
  await assert.rejects(ids(job), TypeError);
});

test('a request without audience is a mistake of the caller', async (t) => {
  const { broker, server } = await world(t);
  await assert.rejects(broker.workload(WEB).fetchJwtSvids({ audiences: [] }, never), TypeError);
  assert.equal(server.calls.FetchJWTSVID, 0);
});

test('an invalid address is named as that of the Broker API', () => {
  const clock = new FakeClock();
  const api = createWorkloadApi({ address: 'unix:///nowhere', clock });
  const identity = createIdentity({ api, clock, random });
  for (const [address, message] of [
    [
      '',
      /the Broker API address is not set: set it in the configuration, or set SPIFFE_BROKER_SOCKET/,
    ],
    ['http://x', /the Broker API address "http:\/\/x" must begin with/],
  ] as const) {
    const refused = { code: 'ERR_SPIFFE_ADDRESS', message };
    assert.throws(() => createBroker({ address, identity, clock }), refused);
  }
  api.close();
});

for (const [what, serverIds, expected] of [
  ['none at all', [], TypeError],
  ['of two trust domains', ['spiffe://a/x', 'spiffe://b/x'], TypeError],
  ['that are none', ['web'], { code: 'ERR_SPIFFE_ID' }],
] as const) {
  test(`SPIFFE IDs of servers that are ${what} are rejected at once`, () => {
    const clock = new FakeClock();
    const api = createWorkloadApi({ address: 'unix:///nowhere', clock });
    const identity = createIdentity({ api, clock, random });
    const address = 'unix:///nowhere';
    assert.throws(() => createBroker({ address, identity, clock, serverIds }), expected);
    api.close();
  });
}
