import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { createAuthority, type CertificateRequest } from '../../../src/dev/ca/index.ts';
import { x509Pem } from '../../../src/spiffe/index.ts';
import { parseCertificates, parseX509Svid } from '../../../src/spiffe/x509-svid.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

const ID = 'spiffe://example.org/web';
const clock = new FakeClock();
const nowMs = clock.now();
const authority = createAuthority({ uri: 'spiffe://example.org', nowMs, ttlMs: 86_400_000 });

type Entry = Parameters<typeof parseX509Svid>[0];

function entry(request: Partial<CertificateRequest> = {}, changes: Partial<Entry> = {}): Entry {
  const issued = authority.issue({ uris: [ID], nowMs, ttlMs: 3_600_000, ...request });
  return {
    spiffeId: ID,
    x509Svid: issued.der,
    x509SvidKey: issued.keyDer,
    bundle: authority.caDer,
    hint: 'main',
    ...changes,
  };
}

test('an X.509-SVID is read with its times, and its key is never printed', () => {
  const given = entry();
  const svid = parseX509Svid(given, nowMs);
  assert.equal(svid.spiffeId.uri, ID);
  assert.deepEqual(svid.certificates, [given.x509Svid]);
  assert.deepEqual(svid.bundle, [authority.caDer]);
  assert.deepEqual(svid.privateKey.reveal(), given.x509SvidKey);
  assert.equal(svid.notBeforeMs, nowMs - 10_000);
  assert.equal(svid.expiresAtMs, nowMs + 3_600_000);
  assert.equal(svid.hint, 'main');
  assert.ok(JSON.stringify(svid).includes('"privateKey":"[redacted]"'));
});

test('a chain and a bundle of several certificates are taken apart in their order', () => {
  const given = entry();
  const chain = Buffer.concat([given.x509Svid, authority.caDer]);
  const bundle = Buffer.concat([authority.caDer, authority.caDer]);
  const svid = parseX509Svid({ ...given, x509Svid: chain, bundle }, nowMs);
  assert.deepEqual(svid.certificates, [given.x509Svid, authority.caDer]);
  assert.equal(svid.bundle.length, 2);
});

test('DNS names beside the one URI are fine', () => {
  assert.ok(parseX509Svid(entry({ dnsNames: ['web'], commonName: 'web' }), nowMs));
});

const invalid: [string, Entry, RegExp][] = [
  ['two URI names', entry({ uris: [ID, 'spiffe://example.org/b'] }), /2 URI SANs/],
  ['no name at all', entry({ uris: [] }), /0 URI SANs/],
  ['only a DNS name', entry({ uris: [], dnsNames: ['web'] }), /0 URI SANs/],
  ['a URI that is no SPIFFE ID', entry({ uris: ['https://example.org'] }), /not a valid SPIFFE ID/],
  ['another SPIFFE ID', entry({ uris: ['spiffe://example.org/b'] }), /another SPIFFE ID/],
  [
    'the ID of a trust domain',
    entry({ uris: ['spiffe://example.org'] }, { spiffeId: 'spiffe://example.org' }),
    /not of a workload/,
  ],
  ['CA rights', entry({ defects: { isCa: true } }), /CA certificate/],
  ['keyCertSign', entry({ defects: { keyUsage: 0x84 } }), /may sign certificates/],
  ['cRLSign', entry({ defects: { keyUsage: 0x82 } }), /may sign certificates/],
  ['no digitalSignature', entry({ defects: { keyUsage: 0x08 } }), /digitalSignature/],
  ['an uncritical key usage', entry({ defects: { keyUsageNotCritical: true } }), /not critical/],
  ['no serverAuth', entry({ defects: { noServerAuth: true } }), /serverAuth/],
  ['an end in the past', entry({ ttlMs: 0 }), /expired at 2026-01-01T00:00:00.000Z/],
  ['the key of another', entry({}, { x509SvidKey: entry().x509SvidKey }), /another certificate/],
  ['a key that is none', entry({}, { x509SvidKey: Buffer.from('key') }), /not PKCS#8/],
];
const VALIDITY = '\x30\x1e\x17\x0d'; // a sequence of two times; its two bytes `UTCTime` alone may stand in a serial number
for (const [index, which] of ['begin', 'end'].entries()) {
  const given = entry();
  const x509Svid = Buffer.from(given.x509Svid);
  const at = x509Svid.indexOf(VALIDITY) + 2 + 15 * index; // each of 15 bytes
  x509Svid.write('xx', at + 4);
  invalid.push([`no readable ${which}`, { ...given, x509Svid }, /validity cannot be read/]);
}

for (const [what, given, message] of invalid) {
  test(`a certificate with ${what} is not a valid X.509-SVID`, () => {
    assert.throws(() => parseX509Svid(given, nowMs), { code: 'ERR_SPIFFE_SVID_INVALID', message });
  });
}

const empty = new Uint8Array();
for (const [what, changes] of [
  ['spiffe_id', { spiffeId: '' }],
  ['x509_svid', { x509Svid: empty }],
  ['x509_svid_key', { x509SvidKey: empty }],
  ['bundle', { bundle: empty }],
] as const) {
  test(`an entry without ${what} breaks the protocol`, () => {
    assert.throws(() => parseX509Svid(entry({}, changes), nowMs), {
      code: 'ERR_SPIFFE_MALFORMED',
      message: new RegExp(`without ${what}`),
    });
  });
}

const whole = authority.caDer;
for (const [what, bytes] of [
  ['text', Buffer.from('hello')],
  ['PEM', Buffer.from(authority.caPem)],
  ['a cut certificate', whole.subarray(0, -1)],
  ['a certificate and a rest', Buffer.concat([whole, Buffer.from([0x30])])],
  ['a sequence that is no certificate', Buffer.from([0x30, 0x00])],
  ['an indefinite length', Buffer.from([0x30, 0x80, 0x00, 0x00])],
  ['a length of five bytes', Buffer.from([0x30, 0x85, 0, 0, 0, 0, 1])],
  ['too many', Buffer.concat(Array<Buffer>(1025).fill(Buffer.from([0x30, 0x00])))],
] as const) {
  test(`${what} is not a list of certificates`, () => {
    assert.throws(() => parseCertificates(bytes, 'the bundle'), {
      code: 'ERR_SPIFFE_MALFORMED',
      message: /the bundle/,
    });
  });
}

test('without bytes there are no certificates', () => {
  assert.deepEqual(parseCertificates(empty, 'the bundle'), []);
});

test('a certificate with any one byte changed gives an SVID or an error of ours', () => {
  const given = entry();
  const index = fc.nat({ max: given.x509Svid.length - 1 });
  fc.assert(
    fc.property(index, fc.nat({ max: 255 }), (at, byte) => {
      const x509Svid = Buffer.from(given.x509Svid);
      x509Svid[at] = byte;
      try {
        parseX509Svid({ ...given, x509Svid }, nowMs);
      } catch (error) {
        assert.ok(error instanceof Error && error.name === 'VouchsafeError', String(error));
      }
    }),
  );
});

test('PEM holds the same certificates and key', () => {
  const svid = parseX509Svid(entry(), nowMs);
  const pem = x509Pem({ svid, federatedBundles: new Map() });
  assert.deepEqual(new X509Certificate(pem.svid).raw, svid.certificates[0]);
  assert.deepEqual(new X509Certificate(pem.bundle).raw, authority.caDer);
  assert.match(pem.key.reveal(), /^-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END/);
  assert.deepEqual(pem.federated, []);
  assert.ok(new X509Certificate(pem.svid).verify(new X509Certificate(pem.bundle).publicKey));
});

test('PEM holds the bundles of federated trust domains by name: never that of the own one, and none without authorities', () => {
  const svid = parseX509Svid(entry(), nowMs);
  const federatedBundles = new Map([
    ['spiffe://z.example', [authority.caDer]],
    ['spiffe://empty.example', []],
    [`spiffe://${svid.spiffeId.trustDomain}`, [authority.caDer]],
    ['spiffe://a.example', [authority.caDer, authority.caDer]],
  ]);
  const { federated } = x509Pem({ svid, federatedBundles });
  assert.deepEqual(
    federated.map(({ trustDomain, pem }) => [trustDomain, pem.split('BEGIN').length - 1]),
    [
      ['a.example', 2],
      ['z.example', 1],
    ],
  );
});
