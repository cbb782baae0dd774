/** Messages of a Workload API gone mad: an SVID that can be used or an error of ours, and a stream that goes on. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { hasCode, Secret, type VouchsafeError } from '../../../src/core/index.ts';
import { startWorkloadApi, type DevWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import {
  createWorkloadApi,
  MESSAGES,
  type WorkloadApi,
  type X509Context,
} from '../../../src/spiffe/index.ts';
import { parseJwtBundle, parseJwtSvid } from '../../../src/spiffe/jwt-svid.ts';
import { parseX509Svid } from '../../../src/spiffe/x509-svid.ts';
import {
  holds,
  holdsAsync,
  hostileText,
  mutated,
  mutatedBytes,
  mutatedText,
} from '../../helpers/arbitraries.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import {
  assertContext,
  assertOurs,
  bundles,
  HEADER,
  hints,
  ID,
  ids,
  jwks,
  jwt,
  noisy,
  NOW_MS,
  PAYLOAD,
  tokens,
  x509Entry,
} from '../../helpers/svid-arbitraries.ts';

const NEVER = new AbortController().signal;

const x509Messages = fc
  .record({
    svids: fc.array(x509Entry, { maxLength: 3 }),
    crl: fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 1 }),
    federatedBundles: bundles,
  })
  .map((value) => MESSAGES.X509SVIDResponse.encode(value));
const jwtMessages = fc
  .array(fc.record({ spiffeId: ids, svid: tokens, hint: hints }), { maxLength: 3 })
  .map((svids) => MESSAGES.JWTSVIDResponse.encode({ svids }));

async function setup(t: TestContext): Promise<{ server: DevWorkloadApi; api: WorkloadApi }> {
  const server = await startWorkloadApi({ identities: [{ spiffeId: ID }] });
  const api = createWorkloadApi({ address: server.address, clock: new FakeClock(NOW_MS) });
  t.after(async () => {
    api.close();
    await server.close();
  });
  return { server, api };
}

test('any JWT-SVID is one that can be used, or an error that does not show it', () => {
  let accepted = 0;
  const entries = fc.record({ spiffeId: ids, svid: tokens, hint: hints });
  holds(entries, 800, (entry) => {
    try {
      const {
        spiffeId,
        expiresAtMs,
        issuedAtMs = 0,
        audiences,
      } = parseJwtSvid(entry, ['vault'], NOW_MS);
      accepted += 1;
      assert.equal(spiffeId.uri, entry.spiffeId);
      assert.ok(audiences.includes('vault'));
      assert.ok(expiresAtMs > NOW_MS - 60_001);
      new Date(expiresAtMs).toISOString();
      new Date(issuedAtMs).toISOString();
    } catch (error) {
      assertOurs(error);
    }
  });
  assert.ok(accepted > 50, `${accepted} accepted`);
});

test('any JWKS is a list of keys or an error that does not show it', () => {
  const documents = fc.oneof(
    mutated(JSON.parse(jwks)).map((value) => Buffer.from(JSON.stringify(value))),
    mutatedBytes(Buffer.from(jwks)),
  );
  holds(documents, 300, (bytes) => {
    try {
      for (const { kid } of parseJwtBundle(bytes, 'spiffe://example.org').keys) assert.ok(kid);
    } catch (error) {
      assertOurs(error);
    }
  });
});

test('any X.509-SVID is one that can be used, or an error of ours', () => {
  let accepted = 0;
  holds(x509Entry, 400, (entry) => {
    try {
      const svid = parseX509Svid(
        {
          ...entry,
          x509Svid: Buffer.from(entry.x509Svid),
          x509SvidKey: Buffer.from(entry.x509SvidKey),
        },
        NOW_MS,
      );
      accepted += 1;
      assert.equal(svid.spiffeId.uri, entry.spiffeId);
      assert.ok(svid.expiresAtMs > NOW_MS && Number.isFinite(svid.notBeforeMs));
      new Date(svid.expiresAtMs).toISOString();
    } catch (error) {
      assertOurs(error);
    }
  });
  assert.ok(accepted > 10, `${accepted} accepted`);
});

test('a call is answered with SVIDs or an error of ours, whatever the message is', async (t) => {
  const { server, api } = await setup(t);
  const answers = fc.oneof(
    noisy(x509Messages).map((bytes) => ['FetchX509SVID', bytes] as const),
    noisy(jwtMessages).map((bytes) => ['FetchJWTSVID', bytes] as const),
    noisy(
      mutated({ sub: ID, aud: ['vault'], nested: { list: [1, null, true] } })
        .filter((value) => JSON.stringify(value).length < 1000) // what the encoder can take
        .map((value) =>
          MESSAGES.ValidateJWTSVIDResponse.encode({ spiffeId: ID, claims: { value } }),
        ),
    ).map((bytes) => ['ValidateJWTSVID', bytes] as const),
  );
  const token = new Secret(jwt(HEADER, PAYLOAD));
  await holdsAsync(answers, 250, async ([method, bytes]) => {
    server.fault(method, { kind: 'message', bytes });
    try {
      if (method === 'FetchJWTSVID') await api.fetchJwtSvids({ audiences: ['vault'] }, NEVER);
      else if (method === 'FetchX509SVID') assertContext(await api.fetchX509Context(NEVER));
      else await api.validateJwtSvid({ audience: 'vault', token }, NEVER);
    } catch (error) {
      assertOurs(error);
    }
  });
});

test('a refusal in any words is an error of ours that repeats no secret', async (t) => {
  const { server, api } = await setup(t);
  const planted = jwt(HEADER, PAYLOAD);
  const refusals = fc.tuple(
    fc.integer({ min: 1, max: 16 }),
    fc.oneof(hostileText, mutatedText(`token ${planted}`)),
  );
  await holdsAsync(refusals, 60, async ([code, text]) => {
    const message = encodeURIComponent(text.toWellFormed()).slice(0, 4000);
    server.fault('FetchJWTSVID', { kind: 'code', code, message });
    await assert.rejects(api.fetchJwtSvids({ audiences: ['vault'] }, NEVER), (error) => {
      assertOurs(error);
      return true;
    });
  });
});

test('a stream goes on after messages that break the specification', async (t) => {
  const { server, api } = await setup(t);
  const stop = new AbortController();
  const discarded: VouchsafeError[] = [];
  const open = (): AsyncIterator<X509Context> =>
    api
      .watchX509Contexts(stop.signal, (error) => void discarded.push(error))
      [Symbol.asyncIterator]();
  let stream = open();
  let denials = 0;
  /** A list without SVIDs ends a stream; nothing else does. */
  const after = (error: unknown): Promise<X509Context> => {
    assert.ok(hasCode(error, 'ERR_SPIFFE_DENIED'), String(error));
    denials += 1;
    stream = open();
    return next(stream);
  };
  assertContext(await next(stream));
  await holdsAsync(noisy(x509Messages), 60, async (bytes) => {
    server.fault('FetchX509SVID', { kind: 'message', bytes });
    server.fault('FetchX509SVID', undefined);
    server.rotateX509(); // what follows is good again
    for (;;) {
      const context = await next(stream).catch(after);
      assertContext(context);
      if (context.svids[0]?.spiffeId.uri === ID) break;
    }
  });
  for (const error of discarded) assertOurs(error);
  assert.equal(server.calls.FetchX509SVID, 1 + denials, 'streams go on');
  stop.abort(new Error('done'));
  await assert.rejects(stream.next(), /done/);
});

async function next(stream: AsyncIterator<X509Context>): Promise<X509Context> {
  const result = await stream.next();
  assert.ok(result.done !== true);
  return result.value;
}
