/**
 * SVIDs on behalf of the pods of a node, by SPIRE's Broker API and Delegated Identity API, as the CSI driver gets them.
 * SPIRE's agent asks a stand-in of the kubelet who the pods are, and one of the API server what the driver may.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { hasCode, type ErrorCode } from '../../src/core/index.ts';
import { systemClock, systemRandom } from '../../src/platform/index.ts';
import {
  createIdentity,
  type Identity,
  type SvidApi,
  type X509Identity,
} from '../../src/spiffe/index.ts';
import { eventually } from '../helpers/agent-process.ts';
import {
  DRIVER_ID,
  startNode,
  type NodeIdentities,
  type NodePod,
} from '../helpers/node-identities.ts';
import { PodSource, type PodSourceKind } from '../helpers/pod-source.ts';
import { startSpire, type Entry, type Spire } from '../helpers/spire.ts';

/** Each test has pods of its own: an agent hears late of entries that another test has deleted. */
const NAMES = [
  ...['web', 'job', 'rotated', 'bundled', 'late', 'deleted', 'refused', 'restarted', 'known'],
  ...['partner', 'denied', 'changed'],
] as const;
const KINDS = ['broker', 'delegated'] as const;
const PODS = KINDS.flatMap((kind) => NAMES.map((name) => pod(`${name}-${kind}`)));

suite('SVIDs of pods from SPIRE', () => {
  let node: NodeIdentities;
  let partner: Spire;

  before(async () => {
    [node, partner] = await Promise.all([
      startNode(),
      startSpire({ trustDomain: 'partner.example' }),
    ]);
    node.setPods(PODS);
    await node.spire.register({ spiffeId: DRIVER_ID });
  });

  after(async () => {
    await node[Symbol.asyncDispose]();
    await partner[Symbol.asyncDispose]();
  });

  for (const kind of KINDS) {
    const api = kind === 'broker' ? 'Broker API' : 'Delegated Identity API';
    suite(api, () => cases(kind, () => ({ node, partner })));
  }
});

interface Servers {
  readonly node: NodeIdentities;
  readonly partner: Spire;
}

function cases(kind: PodSourceKind, servers: () => Servers): void {
  const nodeOf = (): NodeIdentities => servers().node;

  /** Registers for as long as a test runs. */
  async function registered(...entries: readonly Entry[]): Promise<AsyncDisposable> {
    for (const entry of entries) await nodeOf().spire.register(entry);
    return {
      async [Symbol.asyncDispose]() {
        for (const { spiffeId } of entries) await nodeOf().spire.deregister(spiffeId);
      },
    };
  }

  function source(): PodSource {
    return new PodSource(kind, nodeOf(), PODS);
  }

  function podOf(name: (typeof NAMES)[number]): NodePod {
    return pod(`${name}-${kind}`);
  }

  test('each pod gets its own JWT-SVID, and nobody else’s', async () => {
    const [web, job] = [podOf('web'), podOf('job')];
    await using _ = await registered(entryOf(web), entryOf(job));
    await using driver = source();
    const keys = createRemoteJWKSet(new URL(nodeOf().spire.jwksUrl));
    for (const one of [web, job]) {
      const api = await driver.svids(one, patience());
      const svids = await granted(() =>
        api.fetchJwtSvids({ audiences: ['vault', 'cloud'] }, patience()),
      );
      assert.deepEqual(
        svids.map(({ spiffeId }) => spiffeId.uri),
        [idOf(one)],
      );
      const token = svids[0]?.token.reveal() ?? '';
      await jwtVerify(token, keys, { audience: 'cloud', subject: idOf(one) });
      const other = { audiences: ['vault'], spiffeId: idOf(one === web ? job : web) };
      await assert.rejects(api.fetchJwtSvids(other, patience()), { code: 'ERR_SPIFFE_NO_MATCH' });
      api.close();
    }
  });

  test('the X.509-SVID of a pod comes with the bundle, and is replaced in time', async () => {
    const pod = podOf('rotated');
    await using _ = await registered(entryOf(pod));
    await using driver = source();
    await using web = running(await driver.svids(pod, patience()));
    const authorities = fingerprintsOf(await nodeOf().spire.authorities());
    const seen: string[] = [];
    for await (const update of web.identity.x509Updates(patience())) {
      const { leaf, bundle } = certificatesOf(update);
      assert.equal(leaf.subjectAltName, `URI:${idOf(pod)}`);
      assert.ok(leaf.validToDate.getTime() > Date.now(), 'an SVID that is valid');
      assert.ok(bundle.some((authority) => leaf.verify(authority.publicKey)));
      assert.deepEqual(bundle.map(({ fingerprint256 }) => fingerprint256).sort(), authorities);
      seen.push(leaf.serialNumber);
      if (new Set(seen).size === 2) break;
    }
  });

  test('bundles are sent to callers that only verify', async () => {
    const pod = podOf('bundled');
    await using _ = await registered(entryOf(pod));
    await using driver = source();
    const api = await driver.svids(pod, patience());
    const bundles = await granted(async () => {
      for await (const all of api.watchX509Bundles(patience())) return all;
      throw new TypeError('a stream ended without an error');
    });
    const own = bundles.get('spiffe://example.org') ?? [];
    assert.deepEqual(
      own.map((der) => new X509Certificate(der).fingerprint256).sort(),
      fingerprintsOf(await nodeOf().spire.authorities()),
    );
    api.close();
  });

  test('the bundle of a federated trust domain comes for as long as the federation lasts', async () => {
    const { node, partner } = servers();
    const pod = podOf('partner');
    await node.spire.federate(partner);
    await using _ = await registered({ ...entryOf(pod), federatesWith: ['partner.example'] });
    await using driver = source();
    await using web = running(await driver.svids(pod, patience()));
    const expected = [fingerprintsOf(await partner.authorities()), []];
    for await (const { federatedBundles } of web.identity.x509Updates(patience())) {
      const bundle = federatedBundles.get('spiffe://partner.example') ?? [];
      const fingerprints = bundle.map((der) => new X509Certificate(der).fingerprint256).sort();
      if (fingerprints.join() !== expected[0]?.join()) continue;
      expected.shift();
      if (expected.length === 0) break;
      await node.spire.endFederation(partner);
    }
  });

  test('an entry that gets other names gives another X.509-SVID at once', async () => {
    const pod = podOf('changed');
    const entry = { ...entryOf(pod), x509TtlSeconds: 3600 };
    await using _ = await registered(entry);
    await using driver = source();
    await using web = running(await driver.svids(pod, patience()));
    const { leaf } = certificatesOf(await web.identity.x509Svid(patience()));
    await nodeOf().spire.update({ ...entry, dnsNames: ['changed.example.org'] });
    for await (const update of web.identity.x509Updates(patience())) {
      const next = certificatesOf(update).leaf;
      if (next.serialNumber === leaf.serialNumber) continue;
      assert.match(next.subjectAltName ?? '', /DNS:changed\.example\.org/);
      break;
    }
  });

  test('a pod that is entitled to nothing is denied, until it is registered', async () => {
    const pod = podOf('late');
    await using driver = source();
    const api = await driver.svids(pod, patience());
    await using web = running(api);
    await refusedWith(() => api.fetchJwtSvids({ audiences: ['vault'] }, patience()), {
      code: 'ERR_SPIFFE_DENIED',
      says: /issued no identity for this pod.*no identity issued/,
    });
    await eventually(
      () => Promise.resolve(web.identity.lastError?.code === 'ERR_SPIFFE_DENIED' || undefined),
      () => `the stream is not denied: ${String(web.identity.lastError)}`,
    );
    assert.match(String(web.identity.lastError), /issued no identity for this pod/);
    await using _ = await registered(entryOf(pod));
    const { svid } = await web.identity.x509Svid(patience());
    assert.equal(svid.spiffeId.uri, idOf(pod));
    const [jwt] = await granted(() => api.fetchJwtSvids({ audiences: ['vault'] }, patience()));
    assert.equal(jwt?.spiffeId.uri, idOf(pod));
    assert.equal(web.identity.lastError, undefined);
  });

  test('a pod whose entry is deleted has no X.509-SVID any more, and gets the reason', async () => {
    const pod = podOf('deleted');
    await using driver = source();
    await using web = running(await driver.svids(pod, patience()));
    {
      await using _ = await registered(entryOf(pod));
      await web.identity.x509Svid(patience());
    }
    await eventually(
      () => Promise.resolve(web.identity.lastError?.code === 'ERR_SPIFFE_DENIED' || undefined),
      () => `nothing is denied: ${String(web.identity.lastError)}`,
    );
  });

  test('a driver with another identity gets nothing for anybody', async () => {
    const pod = podOf('refused');
    await nodeOf().spire.deregister(DRIVER_ID);
    const other = 'spiffe://example.org/other';
    try {
      await using _ = await registered(entryOf(pod), { spiffeId: other });
      await using driver = source();
      const api = await driver.svids(pod, patience());
      const refusal =
        kind === 'broker'
          ? ({ code: 'ERR_SPIFFE_UNAVAILABLE', says: /broker\.brokers of the agent/ } as const)
          : ({
              code: 'ERR_SPIFFE_DENIED',
              says: /authorized_delegates.*not configured as an/,
            } as const);
      await refusedWith(() => api.fetchJwtSvids({ audiences: ['vault'] }, patience()), refusal);
      api.close();
    } finally {
      await nodeOf().spire.register({ spiffeId: DRIVER_ID });
    }
  });

  test('an agent that restarts is found again, by calls and by streams', async () => {
    const pod = podOf('restarted');
    await using _ = await registered(entryOf(pod));
    await using driver = source();
    const api = await driver.svids(pod, patience());
    await using web = running(api);
    const { leaf } = certificatesOf(await web.identity.x509Svid(patience()));
    await nodeOf().spire.restart();
    for await (const update of web.identity.x509Updates(patience())) {
      if (certificatesOf(update).leaf.serialNumber !== leaf.serialNumber) break;
    }
    const [jwt] = await granted(() => api.fetchJwtSvids({ audiences: ['vault'] }, patience()));
    assert.equal(jwt?.spiffeId.uri, idOf(pod));
  });

  if (kind === 'broker') {
    test('the access policy of the attestor decides pod by pod', async () => {
      const { node } = servers();
      const [denied, web] = [podOf('denied'), podOf('web')];
      await using _ = await registered(entryOf(denied), entryOf(web));
      await using driver = source();
      const [api, other] = await Promise.all(
        [denied, web].map((one) => driver.svids(one, patience())),
      );
      assert.ok(api !== undefined && other !== undefined);
      const ask = { audiences: ['vault'] };
      node.denyAccess(denied);
      await refusedWith(() => api.fetchJwtSvids(ask, patience()), {
        code: 'ERR_SPIFFE_DENIED',
        says: /impersonate-via-spire .* SPIFFE ID of this driver.*authorizer does not allow/,
      });
      const contexts = api.watchX509Contexts(patience())[Symbol.asyncIterator]();
      await assert.rejects(contexts.next(), { code: 'ERR_SPIFFE_DENIED' });
      await granted(() => other.fetchJwtSvids(ask, patience()));
      const asked = node.accessReviews;
      node.denyAccess();
      const [svid] = await granted(() => api.fetchJwtSvids(ask, patience()));
      assert.equal(svid?.spiffeId.uri, idOf(denied));
      assert.ok(node.accessReviews > asked, 'each call is reviewed');
      api.close();
      other.close();
    });
  }

  for (const [what, unknown] of [
    ['that the node does not know', pod('nobody')],
    ['with the name of another', { ...podOf('known'), uid: 'uid-of-impostor' }],
  ] as const) {
    test(`a pod ${what} gets nothing`, async () => {
      await using _ = await registered(entryOf(podOf('known')), entryOf(pod('nobody')));
      await using driver = source();
      const known = await driver.svids(podOf('known'), patience());
      await granted(() => known.fetchJwtSvids({ audiences: ['vault'] }, patience()));
      const api = await driver.svids(unknown, patience());
      const refusal =
        kind === 'broker'
          ? { code: 'ERR_SPIFFE_UNAVAILABLE', message: /does not know the pod.*NOT_FOUND/ }
          : { code: 'ERR_KUBERNETES_API' };
      await assert.rejects(api.fetchJwtSvids({ audiences: ['vault'] }, patience()), refusal);
      const contexts = api.watchX509Contexts(patience())[Symbol.asyncIterator]();
      await assert.rejects(contexts.next(), refusal);
    });
  }
}

function pod(name: string): NodePod {
  return { namespace: 'shop', name, uid: `uid-of-${name}`, serviceAccount: name };
}

function idOf({ namespace, serviceAccount }: NodePod): string {
  return `spiffe://example.org/ns/${namespace}/sa/${serviceAccount}`;
}

function entryOf(one: NodePod): Entry {
  const selectors = [`k8s:ns:${one.namespace}`, `k8s:sa:${one.serviceAccount}`];
  return { spiffeId: idOf(one), selectors };
}

/** Ends a wait that would never end. */
function patience(): AbortSignal {
  return AbortSignal.timeout(60_000);
}

/** Asks until the agent has heard of the entries, of the driver's own too. */
async function granted<T>(ask: () => Promise<T>): Promise<T> {
  let last: unknown;
  return eventually(
    () =>
      ask().catch((error: unknown) => {
        assert.ok(hasCode(error, 'ERR_SPIFFE_DENIED', 'ERR_SPIFFE_UNAVAILABLE'), String(error));
        last = error;
        return undefined;
      }),
    () => `never granted: ${String(last)}`,
  );
}

/** Asks until it is rejected in these words. */
async function refusedWith(
  ask: () => Promise<unknown>,
  { code, says }: { readonly code: ErrorCode; readonly says: RegExp },
): Promise<void> {
  let last: unknown;
  await eventually(
    async () => {
      last = await ask().catch((error: unknown) => error);
      return hasCode(last, code) && says.test(String(last)) ? true : undefined;
    },
    () => `never refused with ${code} and ${String(says)}: ${String(last)}`,
  );
}

interface RunningIdentity extends AsyncDisposable {
  readonly identity: Identity;
}

/** Keeps an X.509-SVID fresh for as long as a test runs. */
function running(api: SvidApi): RunningIdentity {
  const identity = createIdentity({ api, clock: systemClock, random: systemRandom });
  const ended = new AbortController();
  const done = identity.run(ended.signal);
  return {
    identity,
    async [Symbol.asyncDispose]() {
      ended.abort();
      await done;
      api.close();
    },
  };
}

interface Certificates {
  readonly leaf: X509Certificate;
  readonly bundle: readonly X509Certificate[];
}

function certificatesOf({ svid }: X509Identity): Certificates {
  const [leaf] = svid.certificates;
  assert.ok(leaf !== undefined);
  return {
    leaf: new X509Certificate(leaf),
    bundle: svid.bundle.map((der) => new X509Certificate(der)),
  };
}

function fingerprintsOf(pem: string): readonly string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block).fingerprint256).sort();
}
