import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import {
  startDelegatedIdentity,
  type DevDelegatedIdentity,
  type DevPod,
} from '../../../src/dev/workload-api/index.ts';
import { raceAbort } from '../../../src/async/index.ts';
import {
  createDelegatedIdentity,
  createIdentity,
  DELEGATED_MESSAGES,
  type DelegatedIdentity,
  type SelectorsOf,
  type SvidApi,
  type X509Context,
} from '../../../src/spiffe/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { pod } from '../../helpers/pods.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

const DRIVER = 'spiffe://example.org/driver';
const WEB = pod('web');
const JOB = pod('job', { selectors: ['k8s:ns:shop', 'k8s:pod-label:app:job'] });
/** What a driver can prove of each, more than their entries need. */
const OF_WEB = proven('k8s:ns:shop', 'k8s:sa:web', 'k8s:pod-uid:uid-of-web', 'k8s:pod-name:web');
const OF_JOB = proven(
  ...['k8s:ns:shop', 'k8s:sa:job', 'k8s:pod-uid:uid-of-job', 'k8s:pod-label:app:job'],
);
const never = new AbortController().signal;
const random = { next: () => 0.5 };
const audiences = ['vault'];

function proven(...selectors: readonly string[]): SelectorsOf {
  return () => Promise.resolve(selectors);
}

interface World {
  readonly clock: FakeClock;
  readonly server: DevDelegatedIdentity;
  readonly delegate: DelegatedIdentity;
  readonly logger: RecordingLogger;
  /** Who the driver is taken for. */
  readonly become: (spiffeId: string | undefined) => void;
}

async function world(t: TestContext, pods: readonly DevPod[] = [WEB, JOB]): Promise<World> {
  const clock = new FakeClock();
  const logger = recordingLogger();
  let caller: string | undefined = DRIVER;
  const server = await startDelegatedIdentity({
    pods,
    clock,
    authorizedDelegates: [DRIVER],
    caller: () => caller,
  });
  const delegate = createDelegatedIdentity({ address: server.address, clock, logger });
  t.after(async () => {
    delegate.close();
    await server.close();
    assert.equal(server.openStreams, 0);
    assert.equal(clock.sleeping, 0);
  });
  return { clock, server, delegate, logger, become: (spiffeId) => void (caller = spiffeId) };
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

test('each pod gets the JWT-SVIDs of the entries that its selectors match', async (t) => {
  const { delegate } = await world(t);
  const [web, job] = [delegate.workload(OF_WEB), delegate.workload(OF_JOB)];
  const got = await Promise.all([web, job, web, job, web].map((api) => ids(api)));
  const [a, b] = ['spiffe://example.org/web', 'spiffe://example.org/job'];
  assert.deepEqual(got.flat(), [a, b, a, b, a]);
});

test('selectors are asked for at each call and each stream, so that a pod may become another', async (t) => {
  const { delegate, server } = await world(t);
  let [now, asked] = [OF_WEB, 0];
  const changing = delegate.workload((signal) => {
    asked += 1;
    return now(signal);
  });
  const [a, b] = ['spiffe://example.org/web', 'spiffe://example.org/job'];
  const contexts = changing.watchX509Contexts(never)[Symbol.asyncIterator]();
  assert.equal((await nextContext(contexts)).svids[0]?.spiffeId.uri, a);
  assert.deepEqual(await ids(changing), [a]);
  now = OF_JOB;
  assert.deepEqual(await ids(changing), [b]);
  server.rotateX509();
  assert.equal((await nextContext(contexts)).svids[0]?.spiffeId.uri, a); // a stream keeps its own
  await contexts.return?.();
  const next = changing.watchX509Contexts(never)[Symbol.asyncIterator]();
  assert.equal((await nextContext(next)).svids[0]?.spiffeId.uri, b);
  await next.return?.();
  assert.equal(asked, 4);
});

test('a call ends with the error of who knows the selectors, and with the reason of its abort', async (t) => {
  const { delegate } = await world(t);
  const error = new VouchsafeError('ERR_KUBERNETES_API', 'no such pod');
  const unknown = delegate.workload(() => Promise.reject(error));
  await assert.rejects(ids(unknown), error);
  await assert.rejects(unknown.watchX509Contexts(never)[Symbol.asyncIterator]().next(), error);
  const reason = new Error('enough');
  const slow = delegate.workload((signal) =>
    raceAbort(Promise.withResolvers<[]>().promise, signal),
  );
  const stop = new AbortController();
  const contexts = slow.watchX509Contexts(stop.signal)[Symbol.asyncIterator]().next();
  stop.abort(reason);
  await assert.rejects(contexts, reason);
});

test('an identity made of it serves JWT-SVIDs, and X.509-SVIDs that follow each rotation', async (t) => {
  const { delegate, server, clock } = await world(t);
  server.federate('other.example');
  const identity = createIdentity({ api: delegate.workload(OF_WEB), clock, random });
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
  assert.equal(second.value.svid.bundle.length, 1);
  assert.notDeepEqual(second.value.svid.certificates, first.value.svid.certificates);
  assert.deepEqual([...second.value.federatedBundles.keys()], ['spiffe://other.example']);
  assert.deepEqual(
    [server.calls.SubscribeToX509SVIDs, server.calls.SubscribeToX509Bundles],
    [1, 1],
  );
  stop.abort();
  await running;
});

test('a cut of both streams opens them again, and the SVID stays meanwhile', async (t) => {
  const { delegate, server, clock } = await world(t);
  const identity = createIdentity({ api: delegate.workload(OF_WEB), clock, random });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  const before = await identity.x509Svid(never);
  await clock.advance(1000);
  server.dropStreams();
  await until(() => server.calls.SubscribeToX509SVIDs === 2 && server.openStreams === 2);
  assert.deepEqual(await identity.x509Svid(never), before);
  stop.abort();
  await running;
});

for (const method of ['SubscribeToX509SVIDs', 'SubscribeToX509Bundles'] as const) {
  test(`a refusal of ${method} ends both streams`, async (t) => {
    const { delegate, server } = await world(t);
    const contexts = delegate.workload(OF_WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
    await nextContext(contexts);
    server.fault(method, { kind: 'code', code: 14, message: 'going down' });
    await assert.rejects(contexts.next(), {
      code: 'ERR_SPIFFE_UNAVAILABLE',
      message: /going down/,
    });
    await until(() => server.openStreams === 0);
  });
}

test('there is no context before both streams have spoken', async (t) => {
  const { delegate, server } = await world(t);
  server.fault('SubscribeToX509Bundles', { kind: 'hang' });
  const contexts = delegate.workload(OF_WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
  const next = nextContext(contexts);
  await until(() => server.openStreams === 2);
  server.rotateX509();
  server.fault('SubscribeToX509Bundles', undefined);
  const { svids } = await next;
  assert.equal(svids[0]?.bundle.length, 1);
  await contexts.return?.();
});

test('trust domains may come as names, and of foreign ones only those that the workload federates with', async (t) => {
  const { delegate, server } = await world(t);
  const other = server.federate('other.example');
  const third = server.federate('third.example');
  const { own } = server.issuer;
  const { SubscribeToX509BundlesResponse: bundles, SubscribeToX509SVIDsResponse: svids } =
    DELEGATED_MESSAGES;
  server.fault('SubscribeToX509Bundles', {
    kind: 'message',
    bytes: bundles.encode({
      caCertificates: new Map([own, other, third].map((domain) => [domain.name, domain.bundleDer])),
    }),
  });
  const [minted] = server.issuer.mintX509Svids([{ spiffeId: 'spiffe://example.org/web' }]);
  assert.ok(minted !== undefined);
  server.fault('SubscribeToX509SVIDs', {
    kind: 'message',
    bytes: svids.encode({
      x509Svids: [
        {
          x509Svid: {
            certChain: [minted.svid.der],
            id: { trustDomain: 'example.org', path: 'web' }, // without its slash
            hint: 'internal',
          },
          x509SvidKey: minted.svid.keyDer,
        },
      ],
      federatesWith: ['third.example', 'unknown.example'],
    }),
  });
  const contexts = delegate.workload(OF_WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
  const context = await nextContext(contexts);
  assert.deepEqual(
    context.svids.map(({ spiffeId, hint }) => [spiffeId.uri, hint]),
    [['spiffe://example.org/web', 'internal']],
  );
  assert.deepEqual([...context.federatedBundles.keys()], ['spiffe://third.example']);
  await contexts.return?.();
});

test('an SVID without the bundle of its trust domain is discarded until that comes', async (t) => {
  const { delegate, server } = await world(t);
  const empty = DELEGATED_MESSAGES.SubscribeToX509BundlesResponse.encode({});
  server.fault('SubscribeToX509Bundles', { kind: 'message', bytes: empty });
  const discarded = Promise.withResolvers<string>();
  const contexts = delegate
    .workload(OF_WEB)
    .watchX509Contexts(never, (error) => discarded.resolve(error.message))
    [Symbol.asyncIterator]();
  const next = nextContext(contexts);
  assert.match(await discarded.promise, /X509SVID without bundle/);
  server.fault('SubscribeToX509Bundles', undefined);
  assert.equal((await next).svids.length, 1);
  await contexts.return?.();
});

test('selectors that no entry matches get neither JWT-SVID nor X.509-SVID', async (t) => {
  const { delegate, server } = await world(t);
  const nobody = delegate.workload(proven('k8s:ns:shop', 'k8s:pod-uid:uid-of-nobody'));
  const message = /selectors that the pod does not have.*authorized_delegates/;
  await assert.rejects(ids(nobody), { code: 'ERR_SPIFFE_DENIED', message });
  await assert.rejects(ids(nobody), { message: /"no identity issued"/ });
  server.fault('SubscribeToX509Bundles', { kind: 'hang' }); // they are not waited for
  const contexts = nobody.watchX509Contexts(never)[Symbol.asyncIterator]();
  await assert.rejects(contexts.next(), { code: 'ERR_SPIFFE_DENIED', message });
  await until(() => server.openStreams === 0);
});

test('a pod whose entry, or whose label, comes later gets its X.509-SVID by the next stream', async (t) => {
  const { delegate, server, clock } = await world(t, [WEB]);
  let selectors = ['k8s:ns:shop'];
  const api = delegate.workload(() => Promise.resolve(selectors));
  const identity = createIdentity({ api, clock, random });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  await until(() => identity.lastError?.code === 'ERR_SPIFFE_DENIED');
  server.setPods([WEB, JOB]);
  selectors = ['k8s:ns:shop', 'k8s:pod-label:app:job'];
  const svid = identity.x509Svid(never);
  await until(() => clock.sleeping === 2); // the server's rotation and our backoff
  await clock.advance(2000);
  assert.equal((await svid).svid.spiffeId.uri, 'spiffe://example.org/job');
  stop.abort();
  await running;
});

for (const [what, caller, evidence] of [
  ['that no entry matches', undefined, /"no identity issued"/],
  ['that is no delegate', 'spiffe://example.org/web', /"caller not configured as an authorized/],
] as const) {
  test(`a driver ${what} is denied everything`, async (t) => {
    const { delegate, become } = await world(t);
    become(caller);
    const web = delegate.workload(OF_WEB);
    const denied = { code: 'ERR_SPIFFE_DENIED', message: evidence };
    await assert.rejects(ids(web), denied);
    await assert.rejects(web.watchX509Contexts(never)[Symbol.asyncIterator]().next(), denied);
    await assert.rejects(web.watchX509Bundles(never)[Symbol.asyncIterator]().next(), denied);
    become(DRIVER);
    assert.deepEqual(await ids(web), ['spiffe://example.org/web']);
  });
}

test('of several SVIDs the one that was asked for comes, though the server sends them all', async (t) => {
  const identities = [
    { spiffeId: 'spiffe://example.org/a', hint: 'same' },
    { spiffeId: 'spiffe://example.org/b', hint: 'same' },
    { spiffeId: 'spiffe://example.org/c' },
  ];
  const { delegate } = await world(t, [pod('web', { identities })]);
  const web = delegate.workload(OF_WEB);
  // the agent does not sift hints: of two with the same one the first counts
  assert.deepEqual(await ids(web), ['spiffe://example.org/a', 'spiffe://example.org/c']);
  assert.deepEqual(await ids(web, 'spiffe://example.org/b'), ['spiffe://example.org/b']);
  await assert.rejects(ids(web, 'spiffe://example.org/d'), { code: 'ERR_SPIFFE_NO_MATCH' });
});

test('an answer without SVIDs, and an invalid one, break the protocol', async (t) => {
  const { delegate, server } = await world(t);
  const web = delegate.workload(OF_WEB);
  const { FetchJWTSVIDsResponse: answer } = DELEGATED_MESSAGES;
  for (const [bytes, message] of [
    [new Uint8Array(), /FetchJWTSVIDsResponse without svids/],
    [answer.encode({ svids: [{ token: 'a.b.c', id: undefined, hint: '' }] }), /without spiffe_id/],
    [Buffer.of(0x0a, 0xff), /cannot be decoded/],
  ] as const) {
    server.fault('FetchJWTSVIDs', { kind: 'message', bytes });
    await assert.rejects(ids(web), { code: 'ERR_SPIFFE_MALFORMED', message });
  }
});

test('streams go on after garbage', async (t) => {
  const { delegate, server, logger } = await world(t);
  const contexts = delegate.workload(OF_WEB).watchX509Contexts(never)[Symbol.asyncIterator]();
  const first = await nextContext(contexts);
  for (const method of ['SubscribeToX509SVIDs', 'SubscribeToX509Bundles'] as const) {
    server.fault(method, { kind: 'garbage' });
    server.fault(method, undefined);
    assert.deepEqual(await nextContext(contexts), first);
  }
  assert.deepEqual(
    logger.lines.map(({ level, message }) => [level, message]),
    Array(2).fill(['warn', 'message of the identity provider discarded']),
  );
  await contexts.return?.();
});

test('bundles are streamed for those who only verify', async (t) => {
  const { delegate, server } = await world(t);
  const bundles = delegate.workload(OF_WEB).watchX509Bundles(never)[Symbol.asyncIterator]();
  await bundles.next();
  server.federate('other.example');
  const second = await bundles.next();
  assert.ok(second.done !== true);
  assert.deepEqual([...second.value.keys()], ['spiffe://example.org', 'spiffe://other.example']);
  await bundles.return?.();
});

test('an abort ends calls and streams with its own reason', async (t) => {
  const { delegate, server } = await world(t);
  server.fault('FetchJWTSVIDs', { kind: 'hang' });
  server.fault('SubscribeToX509Bundles', { kind: 'hang' });
  const stop = new AbortController();
  const reason = new Error('enough');
  const web = delegate.workload(OF_WEB);
  const both = Promise.allSettled([
    web.fetchJwtSvids({ audiences }, stop.signal),
    web.watchX509Contexts(stop.signal)[Symbol.asyncIterator]().next(),
  ]);
  await until(() => server.calls.FetchJWTSVIDs === 1 && server.openStreams === 2);
  stop.abort(reason);
  for (const result of await both) assert.deepEqual(result, { status: 'rejected', reason });
});

test('closing one workload ends its calls alone', async (t) => {
  const { delegate } = await world(t);
  const [web, job] = [delegate.workload(OF_WEB), delegate.workload(OF_JOB)];
  const contexts = [web, job].map((api) => api.watchX509Contexts(never)[Symbol.asyncIterator]());
  const [ofWeb, ofJob] = contexts;
  assert.ok(ofWeb !== undefined && ofJob !== undefined);
  await Promise.all(contexts.map((each) => nextContext(each)));
  web.close();
  await assert.rejects(ofWeb.next(), { code: 'ERR_SPIFFE_UNAVAILABLE' });
  assert.deepEqual(await ids(job), ['spiffe://example.org/job']);
  await ofJob.return?.();
});

for (const [what, selectors] of [
  ['no selectors', []],
  ['a selector without type', [':ns:shop']],
  ['a selector without value', ['k8s:']],
  ['a word', ['k8s']],
] as const) {
  test(`${what} is a mistake of the caller`, async (t) => {
    const { delegate } = await world(t);
    const nobody = delegate.workload(proven(...selectors));
    await assert.rejects(ids(nobody), TypeError);
    await assert.rejects(nobody.watchX509Contexts(never)[Symbol.asyncIterator]().next(), TypeError);
  });
}

test('a request without audience is a mistake of the caller', async (t) => {
  const { delegate, server } = await world(t);
  await assert.rejects(
    delegate.workload(OF_WEB).fetchJwtSvids({ audiences: [] }, never),
    TypeError,
  );
  assert.equal(server.calls.FetchJWTSVIDs, 0);
});

test('an invalid address is named as that of the Delegated Identity API', () => {
  const clock = new FakeClock();
  assert.throws(() => createDelegatedIdentity({ address: '', clock }), {
    code: 'ERR_SPIFFE_ADDRESS',
    message:
      'the Delegated Identity API address is not set: set the address of the admin socket of the SPIRE agent',
  });
});
