import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  WebhookConfiguration,
  SvidCertificates,
  parseServingCertificate,
  TrustedCertificates,
  type Certificates,
  type ServingCertificate,
} from '../../../src/webhook-certificates/index.ts';
import {
  trustAnchorOf,
  mergeBundle,
  readBundle,
} from '../../../src/webhook-certificates/ca-bundle.ts';
import { Secret } from '../../../src/core/index.ts';
import { createAuthority, createTestCa, type TestCa } from '../../../src/dev/ca/index.ts';
import { Latest, runAll } from '../../../src/async/index.ts';
import type { X509Identity } from '../../../src/spiffe/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';
import { seededRandom } from '../../helpers/random.ts';
import { recordingLogger } from '../../helpers/recorder.ts';
import { configuration, CONFIGURATION, NAME } from './harness.ts';

const HOUR = 3_600_000;

/** Certificates set by a test. */
class GivenCertificates implements Certificates {
  readonly latest = new Latest<ServingCertificate>();
  get current(): ServingCertificate | undefined {
    return this.latest.current;
  }
  first(signal: AbortSignal): Promise<ServingCertificate> {
    return this.latest.wait(signal);
  }
  updates(signal: AbortSignal): AsyncIterable<ServingCertificate> {
    return this.latest.updates(signal);
  }
  async run(): Promise<void> {
    await Promise.resolve();
  }
}

interface World {
  readonly cluster: MemoryKubernetes;
  readonly clock: FakeClock;
  readonly trusted: TrustedCertificates;
  readonly logger: ReturnType<typeof recordingLogger>;
  /** Issues a certificate of a CA, with its whole bundle. */
  give(ca: TestCa, bundle?: string): string;
  bundle(): string;
}

function begin(
  t: TestContext,
  how: 'never' | 'missing',
  at?: Pick<World, 'cluster' | 'clock'>,
): World {
  const { cluster, clock } = at ?? { cluster: new MemoryKubernetes(), clock: new FakeClock() };
  if (at === undefined) cluster.put(CONFIGURATION, configuration());
  const { api } = cluster.connect();
  const source = new GivenCertificates();
  const logger = recordingLogger();
  const common = { clock, logger };
  const random = seededRandom(1);
  const registration = new WebhookConfiguration({
    ...common,
    random,
    api,
    name: 'vouchsafe-webhook',
  });
  const trusted = new TrustedCertificates({
    ...common,
    source,
    configuration: registration,
    serverName: NAME,
    patchMode: () => how,
  });
  const stopping = new AbortController();
  const ended = runAll(stopping.signal, [(signal) => trusted.run(signal)]);
  t.after(async () => {
    stopping.abort();
    await ended;
  });
  return {
    cluster,
    clock,
    trusted,
    logger,
    give: (ca, bundle = ca.caPem) => {
      const { certPem, keyPem } = ca.issue({ dnsNames: [NAME], ttlMs: 12 * HOUR });
      source.latest.set(parseServingCertificate(certPem, new Secret(keyPem), bundle, NAME));
      return certPem;
    },
    bundle: () => {
      const { webhooks } = cluster.get(CONFIGURATION) as unknown as {
        webhooks: { clientConfig: { caBundle?: string } }[];
      }; // as the harness made it
      return Buffer.from(webhooks[0]?.clientConfig.caBundle ?? '', 'base64').toString();
    },
  };
}

const served = ({ trusted }: World): string | undefined => trusted.current?.certificatePem;

test('replicas with different CAs do not fight over the bundle', async (t) => {
  const first = begin(t, 'missing');
  const second = begin(t, 'missing', first);
  const [old, next] = [createTestCa(first.clock), createTestCa(first.clock)];
  first.give(old);
  second.give(next);
  await settle();
  assert.equal(readBundle(first.bundle()).length, 2);
  const patches = first.cluster.requests.filter((one) => one.startsWith('PATCH'));
  assert.ok(patches.length <= 3, String(patches.length));
  for (const { trusted } of [first, second]) {
    assert.ok(
      trustAnchorOf(trusted.current?.certificatePem ?? '', first.bundle(), {
        serverName: NAME,
        nowMs: first.clock.now(),
      }),
    );
  }
});

test('where the bundle is managed elsewhere, a certificate is held back until it is trusted', async (t) => {
  const world = begin(t, 'never');
  const [old, next] = [createTestCa(world.clock), createTestCa(world.clock)];
  const trust = (pem: string): void => {
    const caBundle = Buffer.from(pem).toString('base64');
    world.cluster.put(CONFIGURATION, { webhooks: [{ name: 'x', clientConfig: { caBundle } }] });
  };
  trust(old.caPem);
  const before = world.give(old);
  await settle();
  world.give(next);
  await world.clock.advance(HOUR);
  assert.equal(served(world), before, 'the last good one');
  trust(old.caPem + next.caPem);
  await world.clock.advance(11_000);
  assert.notEqual(served(world), before);
  assert.equal(world.cluster.requests.filter((one) => one.startsWith('PATCH')).length, 0);
});

test('a certificate that is not trusted yet is preferred to an expired one', async (t) => {
  const world = begin(t, 'never');
  const before = world.give(createTestCa(world.clock));
  await settle();
  world.give(createTestCa(world.clock));
  await settle();
  assert.equal(served(world), before);
  world.clock.jump(13 * HOUR);
  await world.clock.advance(60_000);
  assert.notEqual(served(world), before);
});

test('writing the bundle is denied: it is retried', async (t) => {
  const world = begin(t, 'missing');
  world.cluster.refusals.set('PATCH', 403);
  world.give(createTestCa(world.clock));
  await world.clock.advance(10_000);
  assert.equal(world.bundle(), '');
  world.cluster.refusals.clear();
  await world.clock.advance(3000);
  assert.equal(readBundle(world.bundle()).length, 1);
});

test('a 422 response is a conflict only where the configuration has changed; otherwise it is logged, once', async (t) => {
  const world = begin(t, 'missing');
  world.cluster.refusals.set('PATCH', 422);
  world.give(createTestCa(world.clock));
  await world.clock.advance(60_000);
  const said = (): number =>
    world.logger.lines.filter(({ level }) => level === 'error' || level === 'warn').length;
  assert.equal(said(), 1);
  const tries = world.cluster.requests.filter((request) => request.startsWith('PATCH')).length;
  assert.ok(tries > 5 && tries < 40, `${tries} tries in a minute`);
  world.cluster.refusals.clear();
  await world.clock.advance(3000);
  assert.equal(readBundle(world.bundle()).length, 1);
  assert.equal(said(), 1);
});

test('a conflict is not logged: the newer configuration is patched', async (t) => {
  const world = begin(t, 'missing');
  await settle();
  const { webhooks } = configuration() as { webhooks: unknown };
  world.give(createTestCa(world.clock));
  // The patch is based on the previous version.
  world.cluster.put(CONFIGURATION, { webhooks, metadata: { labels: { changed: 'meanwhile' } } });
  await world.clock.advance(10_000);
  assert.equal(readBundle(world.bundle()).length, 1);
  assert.ok(!world.logger.lines.some(({ level }) => level === 'error' || level === 'warn'));
});

test('a client trusts a chain by names, dates and signatures', () => {
  const nowMs = Date.UTC(2026, 0, 1);
  const authority = createAuthority({ nowMs, ttlMs: HOUR });
  const { certPem } = authority.issue({ nowMs, ttlMs: HOUR / 2, dnsNames: [NAME] });
  const about = { serverName: NAME, nowMs };
  assert.ok(trustAnchorOf(certPem, authority.caPem, about));
  assert.ok(trustAnchorOf(certPem, certPem, about), 'a certificate that is trusted itself');
  const no = [
    trustAnchorOf(certPem, '', about),
    trustAnchorOf('', authority.caPem, about),
    trustAnchorOf(certPem, createTestCa().caPem, about),
    trustAnchorOf(certPem, authority.caPem, { ...about, serverName: 'other.svc' }),
    trustAnchorOf(certPem, authority.caPem, { ...about, nowMs: nowMs + HOUR }),
    trustAnchorOf(certPem, authority.caPem, { ...about, nowMs: nowMs - HOUR }),
  ];
  assert.deepEqual(
    no,
    Array.from({ length: 6 }, () => undefined),
  );
});

test('a bundle keeps valid CAs, drops expired ones, and is bounded', () => {
  const nowMs = Date.UTC(2026, 0, 1);
  const pems = Array.from({ length: 12 }, () => createAuthority({ nowMs, ttlMs: HOUR }).caPem);
  const dead = createAuthority({ nowMs: nowMs - 2 * HOUR, ttlMs: HOUR }).caPem;
  const options = { isExact: false, nowMs };
  const wanted = readBundle(pems[0] ?? '');
  assert.equal(mergeBundle(wanted, pems.join(''), options), pems.join(''), 'it will do');
  assert.equal(readBundle(mergeBundle(wanted, dead + (pems[1] ?? ''), options)).length, 2);
  assert.equal(readBundle(mergeBundle(wanted, pems.slice(1).join(''), options)).length, 8);
  assert.equal(mergeBundle(wanted, pems.join(''), { isExact: true, nowMs }), wanted[0]?.pem);
});

test('an X.509-SVID without the DNS name of the service is rejected with a remedy', async () => {
  const nowMs = Date.now();
  const authority = createAuthority({ nowMs, ttlMs: HOUR });
  const uri = 'spiffe://example.org/webhook';
  const identityWith = (dnsNames: readonly string[]): X509Identity => {
    const { der, keyDer } = authority.issue({ nowMs, ttlMs: HOUR, uris: [uri], dnsNames });
    const spiffeId = { uri, trustDomain: 'example.org', path: '/webhook' };
    const svid = {
      spiffeId,
      certificates: [der],
      privateKey: new Secret(keyDer),
      bundle: [authority.caDer],
      hint: '',
      expiresAtMs: nowMs + HOUR,
      notBeforeMs: nowMs,
    };
    return { svid: svid, federatedBundles: new Map() }; // what is read of it
  };
  const logger = recordingLogger();
  const updates = new Latest<X509Identity>();
  const identity = {
    run: (signal: AbortSignal): Promise<void> => updates.wait(signal).then(() => undefined),
    x509Updates: (signal: AbortSignal) => updates.updates(signal),
  };
  const svids = new SvidCertificates({ identity, dnsName: NAME, logger });
  const stopping = new AbortController();
  const ended = svids.run(stopping.signal);
  updates.set(identityWith(['other.svc']));
  await settle();
  const current = (): ServingCertificate | undefined => svids.current;
  assert.equal(current(), undefined);
  assert.match(logger.text(), /spiffe:\/\/example\.org\/webhook does not have the DNS name/);
  assert.match(logger.text(), /-dns vouchsafe-webhook\.vouchsafe\.svc/);
  updates.set(identityWith([NAME]));
  await settle();
  assert.equal(current()?.serverName, NAME);
  assert.equal(readBundle(current()?.caPem ?? '').length, 1);
  stopping.abort();
  await ended;
});
