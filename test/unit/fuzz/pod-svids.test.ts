/** Messages of APIs for other pods gone mad: an SVID that can be used or an error of ours, and a stream that goes on. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { hasCode, type VouchsafeError } from '../../../src/core/index.ts';
import {
  createTrustDomain,
  startBroker,
  startDelegatedIdentity,
  startWorkloadApi,
  type DevBroker,
  type DevDelegatedIdentity,
} from '../../../src/dev/workload-api/index.ts';
import {
  BROKER_MESSAGES,
  createBroker,
  createDelegatedIdentity,
  createIdentity,
  createWorkloadApi,
  DELEGATED_MESSAGES,
  peerProblem,
  type SvidApi,
  type X509Context,
} from '../../../src/spiffe/index.ts';
import { holds, holdsAsync, hostileText, mutatedText } from '../../helpers/arbitraries.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { pod } from '../../helpers/pods.ts';
import {
  assertContext,
  assertOurs,
  AUTHORITY,
  bundles,
  HEADER,
  hints,
  ID,
  ids,
  jwt,
  KEY,
  LEAF,
  mostly,
  noisy,
  NOW_MS,
  PAYLOAD,
  tokens,
  x509Entry,
} from '../../helpers/svid-arbitraries.ts';

const NEVER = new AbortController().signal;
const DRIVER = 'spiffe://example.org/driver';
const WEB = pod('web');
const REQUEST = { audiences: ['vault'] };

async function brokered(t: TestContext): Promise<{ server: DevBroker; api: SvidApi }> {
  const clock = new FakeClock(NOW_MS);
  const domain = createTrustDomain('example.org', clock);
  const own = await startWorkloadApi({ domain, clock, identities: [{ spiffeId: DRIVER }] });
  const server = await startBroker({ domain, clock, pods: [WEB], brokers: [DRIVER] });
  const workloadApi = createWorkloadApi({ address: own.address, clock });
  const identity = createIdentity({ api: workloadApi, clock, random: { next: () => 0.5 } });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  const broker = createBroker({ address: server.address, identity, clock });
  t.after(async () => {
    broker.close();
    stop.abort();
    await running;
    workloadApi.close();
    await server.close();
    await own.close();
  });
  return { server, api: broker.workload(WEB) };
}

async function delegated(t: TestContext): Promise<{ server: DevDelegatedIdentity; api: SvidApi }> {
  const clock = new FakeClock(NOW_MS);
  const server = await startDelegatedIdentity({
    pods: [WEB],
    clock,
    authorizedDelegates: [DRIVER],
    caller: () => DRIVER,
  });
  const delegate = createDelegatedIdentity({ address: server.address, clock });
  t.after(async () => {
    delegate.close();
    await server.close();
  });
  return { server, api: delegate.workload(() => Promise.resolve([`k8s:pod-uid:${WEB.uid}`])) };
}

/** How many SVIDs came. */
async function firstContext(api: SvidApi): Promise<number> {
  const stop = new AbortController();
  // What is discarded ends the wait: on a stream that says no more there is nothing to wait for.
  const contexts = api.watchX509Contexts(stop.signal, (error) => stop.abort(error));
  for await (const context of contexts) {
    assertContext(context);
    return context.svids.length;
  }
  throw new TypeError('a stream ended without an error');
}

/** Mostly right: a message of many parts is else hardly ever right in all of them. */
function rarelyWrong<T>(right: T, others: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 12, arbitrary: fc.constant(right) }, { weight: 1, arbitrary: others });
}

const GOOD = { spiffeId: ID, x509Svid: LEAF, x509SvidKey: KEY, bundle: AUTHORITY, hint: '' };
const brokerX509 = fc
  .record({
    svids: rarelyWrong([GOOD], fc.array(x509Entry, { maxLength: 3 })),
    crl: fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 1 }),
    federatedBundles: rarelyWrong(new Map<string, Uint8Array>(), bundles),
  })
  .map((value) => BROKER_MESSAGES.SubscribeToX509SVIDResponse.encode(value));
const brokerJwt = fc
  .array(fc.record({ spiffeId: ids, svid: tokens, hint: hints }), { maxLength: 3 })
  .map((svids) => BROKER_MESSAGES.FetchJWTSVIDResponse.encode({ svids }));

const delegatedId = fc.option(
  fc.record({
    trustDomain: rarelyWrong(
      'example.org',
      fc.oneof(fc.constant('spiffe://example.org'), hostileText),
    ),
    path: rarelyWrong('/web', fc.oneof(fc.constantFrom('web', ''), hostileText)),
  }),
  { nil: undefined, freq: 9 },
);
const delegatedX509 = fc
  .record({
    x509Svids: fc.array(
      fc.record({
        x509Svid: fc.option(
          fc.record({
            certChain: rarelyWrong([LEAF], fc.array(mostly(LEAF), { maxLength: 2 })),
            id: delegatedId,
            hint: hints,
          }),
          { nil: undefined, freq: 9 },
        ),
        x509SvidKey: rarelyWrong(KEY, mostly(KEY)),
      }),
      { maxLength: 2 },
    ),
    federatesWith: fc.array(fc.constantFrom('other.example', 'spiffe://other.example', '', '/'), {
      maxLength: 2,
    }),
  })
  .map((value) => DELEGATED_MESSAGES.SubscribeToX509SVIDsResponse.encode(value));
const delegatedBundles = fc
  .tuple(
    rarelyWrong(AUTHORITY, mostly(AUTHORITY)),
    fc.array(fc.tuple(fc.constantFrom('spiffe://other.example', '', '/'), mostly(AUTHORITY)), {
      maxLength: 2,
    }),
  )
  .map(([own, others]) => [['example.org', own] as const, ...others])
  .map((entries) =>
    DELEGATED_MESSAGES.SubscribeToX509BundlesResponse.encode({ caCertificates: new Map(entries) }),
  );
const delegatedJwt = fc
  .array(fc.record({ token: tokens, id: delegatedId, hint: hints }), { maxLength: 3 })
  .map((svids) => DELEGATED_MESSAGES.FetchJWTSVIDsResponse.encode({ svids }));

test('the Broker API: SVIDs or an error of ours, whatever the message is', async (t) => {
  const { server, api } = await brokered(t);
  const answers = fc.oneof(
    noisy(brokerX509).map((bytes) => ['SubscribeToX509SVID', bytes] as const),
    noisy(brokerJwt).map((bytes) => ['FetchJWTSVID', bytes] as const),
  );
  let accepted = 0;
  await holdsAsync(answers, 200, async ([method, bytes]) => {
    server.fault(method, { kind: 'message', bytes });
    try {
      if (method === 'FetchJWTSVID') await api.fetchJwtSvids(REQUEST, NEVER);
      else accepted += await firstContext(api);
    } catch (error) {
      assertOurs(error);
    }
  });
  assert.ok(accepted > 0, 'none accepted');
});

test('the Delegated Identity API: SVIDs or an error of ours, whatever the messages are', async (t) => {
  const { server, api } = await delegated(t);
  const answers = fc.oneof(
    fc.tuple(fc.constant('x509' as const), noisy(delegatedX509), noisy(delegatedBundles)),
    fc.tuple(fc.constant('jwt' as const), noisy(delegatedJwt), fc.constant(new Uint8Array())),
  );
  let accepted = 0;
  await holdsAsync(answers, 200, async ([kind, bytes, others]) => {
    const method = kind === 'jwt' ? 'FetchJWTSVIDs' : 'SubscribeToX509SVIDs';
    server.fault(method, { kind: 'message', bytes });
    server.fault('SubscribeToX509Bundles', { kind: 'message', bytes: others });
    try {
      if (kind === 'jwt') await api.fetchJwtSvids(REQUEST, NEVER);
      else accepted += await firstContext(api);
    } catch (error) {
      assertOurs(error);
    }
  });
  assert.ok(accepted > 0, 'none accepted');
});

test('a refusal in any words is an error of ours that repeats no secret', async (t) => {
  const { server, api } = await brokered(t);
  const refusals = fc.tuple(
    fc.integer({ min: 1, max: 16 }),
    fc.oneof(hostileText, mutatedText(`certificate ${jwt(HEADER, PAYLOAD)}`)),
  );
  await holdsAsync(refusals, 60, async ([code, text]) => {
    const message = encodeURIComponent(text.toWellFormed()).slice(0, 4000);
    server.fault('FetchJWTSVID', { kind: 'code', code, message });
    await assert.rejects(api.fetchJwtSvids(REQUEST, NEVER), (error) => {
      assertOurs(error);
      return true;
    });
  });
});

test('streams go on after messages that break the specification', async (t) => {
  const { server, api } = await delegated(t);
  const stop = new AbortController();
  const discarded: VouchsafeError[] = [];
  const open = (): AsyncIterator<X509Context> =>
    api
      .watchX509Contexts(stop.signal, (error) => void discarded.push(error))
      [Symbol.asyncIterator]();
  let contexts = open();
  let denials = 0;
  const next = async (): Promise<X509Context> => {
    const result = await contexts.next();
    assert.ok(result.done !== true);
    assertContext(result.value);
    return result.value;
  };
  /** A list without SVIDs ends a stream; nothing else does. */
  const after = (error: unknown): Promise<X509Context> => {
    assert.ok(hasCode(error, 'ERR_SPIFFE_DENIED'), String(error));
    denials += 1;
    contexts = open();
    return next();
  };
  await next();
  const messages = fc.oneof(
    noisy(delegatedX509).map((bytes) => ['SubscribeToX509SVIDs', bytes] as const),
    noisy(delegatedBundles).map((bytes) => ['SubscribeToX509Bundles', bytes] as const),
  );
  await holdsAsync(messages, 60, async ([method, bytes]) => {
    server.fault(method, { kind: 'message', bytes });
    server.fault(method, undefined); // what follows is good again
    while ((await next().catch(after)).svids[0]?.spiffeId.uri !== ID);
  });
  for (const error of discarded) assertOurs(error);
  assert.equal(server.calls.SubscribeToX509SVIDs, 1 + denials, 'streams go on');
  stop.abort(new Error('done'));
  await assert.rejects(contexts.next(), /done/);
});

test('the certificate of any server is one that is allowed, or has a problem with words', () => {
  let accepted = 0;
  holds(mostly(LEAF), 400, (bytes) => {
    const problem = peerProblem(Buffer.from(bytes), ({ uri }) => uri === ID, NOW_MS);
    if (problem === undefined) accepted += 1;
    else assert.ok(problem.length > 10 && problem.length < 3000, problem);
  });
  assert.ok(accepted > 50, `${accepted} accepted`);
});
