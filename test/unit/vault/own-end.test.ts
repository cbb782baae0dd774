/** The fields that tell when a value ends. docs/use/lifecycle.md lists them. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { OwnEnd, Validity } from '../../../src/contracts/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { ownEnd } from '../../../src/vault/own-end.ts';
import { classifyValidity } from '../../../src/vault/validity.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const NOW = NOW_MS / 1000;
const MINUTE: OwnEnd = { expiresAtMs: NOW_MS + 60_000 };
const MINUTE_STORED: OwnEnd = { ...MINUTE, isStored: true };

const ca = createTestCa();
const leaf = ca.issue();
const x509 = new X509Certificate(leaf.certPem);
const LEAF: OwnEnd = {
  notBeforeMs: Date.parse(x509.validFrom),
  expiresAtMs: Date.parse(x509.validTo),
};
const LEAF_STORED: OwnEnd = { ...LEAF, isStored: true };
const expiration = LEAF.expiresAtMs / 1000;

function jwt(claims: Readonly<Record<string, unknown>>, header: object = { alg: 'RS256' }): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(claims)}.c2ln`;
}

const TOKEN = jwt({ iat: NOW, exp: NOW + 60 });
const TOKEN_END: OwnEnd = { notBeforeMs: NOW_MS, ...MINUTE };

/** By engine: the data of a response, and its end. */
const TABLE: readonly [string, Readonly<Record<string, unknown>>, OwnEnd | undefined][] = [
  ['identity/oidc/token: exp', { token: TOKEN, client_id: 'c', ttl: 60 }, TOKEN_END],
  ['identity/oidc/token: exp before ttl', { token: TOKEN, client_id: 'c', ttl: 86_400 }, TOKEN_END],
  ['an opaque token with its ttl', { token: 'opaque', client_id: 'c', ttl: 60 }, MINUTE],
  ['spiffe mintjwt: exp alone', { token: TOKEN }, TOKEN_END],
  ['kubernetes: service_account_token', { service_account_token: TOKEN }, TOKEN_END],
  ['a JWT in a field of any name', { anything: TOKEN }, TOKEN_END],
  ['a JWT behind "Bearer"', { header: `Bearer ${TOKEN}` }, TOKEN_END],
  ['a JWT in an object', { credential: { value: TOKEN } }, TOKEN_END],
  ['a JWT in a list', { tokens: ['opaque', TOKEN] }, TOKEN_END],
  [
    'objects in a list',
    {
      tokens: [
        { token: 'x', ttl: 90 },
        { token: 'y', ttl: 60 },
      ],
    },
    MINUTE,
  ],
  ['objects in objects', { a: { b: { c: { token: 'x', ttl: 60 } } } }, MINUTE],
  ['a list of certificates: the first one', { certificate: [leaf.certPem, ca.caPem] }, LEAF_STORED],
  [
    'a JWT in a NATS file',
    { creds: `-----BEGIN NATS USER JWT-----\n${TOKEN}\n------END NATS USER JWT------\n` },
    TOKEN_END,
  ],
  [
    'two JWTs: the first end',
    { id_token: TOKEN, access_token: jwt({ exp: NOW + 3600 }) },
    TOKEN_END,
  ],
  [
    'nbf before iat',
    { token: jwt({ nbf: NOW - 5, iat: NOW, exp: NOW + 60 }) },
    { notBeforeMs: NOW_MS - 5000, ...MINUTE },
  ],
  [
    'oauth: expires_in; a refresh token lives longer or shorter, it is not the credential',
    { access_token: 'a', expires_in: 60, refresh_token: jwt({ exp: NOW + 5 }) },
    MINUTE,
  ],
  ['gcp: token_ttl', { token: 'ya29', token_ttl: 60 }, MINUTE],
  [
    'gcp: expires_at_seconds',
    { token: 'ya29', token_ttl: 60, expires_at_seconds: NOW + 60 },
    MINUTE,
  ],
  ['a date as digits', { token: 'x', expires_on: String(NOW + 60) }, MINUTE_STORED],
  ['a date in milliseconds', { token: 'x', expires_at: NOW_MS + 60_000 }, MINUTE_STORED],
  [
    'aws static-creds',
    { access_key: 'a', secret_key: 's', expiration: '2026-01-01T00:01:00Z' },
    MINUTE_STORED,
  ],
  [
    'azure static-creds, with nanoseconds and a zone',
    { client_id: 'c', client_secret: 's', expiration: '2026-01-01T01:01:00.000000000+01:00' },
    MINUTE_STORED,
  ],
  ['a date without a zone', { key: 'k', expires: '2026-01-01T00:01:00' }, MINUTE_STORED],
  [
    'oauthapp: expire_time',
    { access_token: 'a', expire_time: '2026-01-01T00:01:00Z' },
    MINUTE_STORED,
  ],
  ['github: expires_at', { token: 'ghs', expires_at: '2026-01-01T00:01:00Z' }, MINUTE_STORED],
  ['names in camel case', { accessToken: 'a', expiresAt: '2026-01-01T00:01:00Z' }, MINUTE_STORED],
  ['a date with a subject', { key: 'k', key_expires_at: '2026-01-01T00:01:00Z' }, MINUTE_STORED],
  ['valid_until, not_after', { cert: 'x', valid_until: NOW + 60, not_after: NOW + 90 }, MINUTE],
  ['aws sts without a lease', { access_key: 'a', security_token: 't', ttl: 60 }, MINUTE],
  ['a ttl as a duration', { password: 'p', ttl: '1m' }, MINUTE],
  ['a ttl as digits', { password: 'p', ttl: '60' }, MINUTE],
  ['approle', { secret_id: 's', secret_id_ttl: 60 }, MINUTE],
  ['pki', { certificate: leaf.certPem, expiration, issuing_ca: ca.caPem }, LEAF],
  ['pki, der', { certificate: x509.raw.toString('base64'), expiration }, LEAF],
  [
    'pki, pem_bundle',
    { certificate: `${leaf.keyPem}\n${leaf.certPem}\n${ca.caPem}`, expiration },
    LEAF,
  ],
  ['a certificate that Vault holds', { certificate: leaf.certPem }, LEAF_STORED],
  ['der that Vault holds', { cert: x509.raw.toString('base64') }, LEAF_STORED],
  ['another plug-in: certificate_chain', { certificate_chain: leaf.certPem }, LEAF_STORED],

  ['nothing', {}, undefined],
  ['lists of nothing', { token: [], ttl: [60], expiration: [[NOW + 60]] }, undefined],
  ['a list of certificates of others', { ca_chain: [leaf.certPem] }, undefined],
  ['certificates of others', { issuing_ca: ca.caPem, root: ca.caPem }, undefined],
  ['a role: its ttl belongs to no credential', { key: 'named', ttl: 60, max_ttl: 120 }, undefined],
  ['a limit', { token: 'x', max_ttl: 60, token_max_ttl: 60 }, undefined],
  ['no end', { token: 'x', ttl: 0, expires_at: 0, expiration: null }, undefined],
  ['the zero time of Go', { token: 'x', expires_at: '0001-01-01T00:00:00Z' }, undefined],
  ['words', { token: 'x', ttl: 'soon', expiration: 'never' }, undefined],
  ['a date of nothing', { expiration: NOW + 60 }, undefined],
  ["another thing's date", { token: 'x', root_password_expiration_date: NOW + 60 }, undefined],
  ['a token without exp', { token: jwt({ iat: NOW }) }, undefined],
  ['three words with dots', { host: 'a.b.c', version: '1.2.3' }, undefined],
  ['an encrypted token', { token: `${TOKEN}.x.y` }, undefined],
  ['JSON that is not a header', { token: jwt({ exp: NOW + 60 }, { x: 1 }) }, undefined],
  ['ciphertext', { ciphertext: 'vault:v1:abcd', key_version: 1 }, undefined],
  ['a certificate that is cut', { certificate: leaf.certPem.slice(0, 200) }, undefined],
];

suite('the end of', () => {
  for (const [name, data, expected] of TABLE) {
    test(name, () => {
      assert.deepEqual(ownEnd(data, NOW_MS), expected);
    });
  }
});

test('a year far away is not milliseconds', () => {
  const far = Date.UTC(9999, 11, 31) / 1000;
  assert.equal(ownEnd({ token: 'x', expires_at: far }, NOW_MS)?.expiresAtMs, far * 1000);
});

test('an end in a million years is one in the year 9999', () => {
  const end = { expiresAtMs: Date.UTC(9999, 11, 31, 23, 59, 59) };
  assert.deepEqual(ownEnd({ token: 'x', ttl: 1e300 }, NOW_MS), end);
  assert.deepEqual(ownEnd({ token: jwt({ exp: 1e300 }) }, NOW_MS), end);
  const date = ownEnd({ token: 'x', expires_at: 8.64e15 }, NOW_MS);
  assert.equal(date?.expiresAtMs, end.expiresAtMs);
});

test('a local clock that is ahead: the ttl needs no clock', () => {
  const laterMs = NOW_MS + 3_600_000;
  assert.deepEqual(ownEnd({ token: TOKEN, ttl: 60 }, laterMs), { expiresAtMs: laterMs + 60_000 });
  assert.deepEqual(ownEnd({ token: TOKEN }, laterMs), TOKEN_END);
});

const LEASE = { leaseId: 'x/creds/a/1', leaseDurationMs: 3_600_000, renewable: true };
const leased = (
  data: Readonly<Record<string, unknown>>,
  more: Partial<typeof LEASE> = {},
): Validity => classifyValidity({ ...LEASE, ...more, data }, NOW_MS);
const endsAtMs = NOW_MS + 60_000;

suite('beside a lease', () => {
  const cases: readonly [string, Validity, object][] = [
    ['a token that ends earlier', leased({ token: TOKEN }), { endsAtMs }],
    [
      'a date that ends earlier, of a lease that is not renewable',
      leased({ secret_key: 's', expiration: '2026-01-01T00:01:00Z' }, { renewable: false }),
      { endsAtMs, renewable: false },
    ],
    ['a ttl that ends earlier', leased({ security_token: 's', ttl: 60 }), { endsAtMs }],
    ['a ttl that is the one of the lease', leased({ security_token: 's', ttl: 3590 }), {}],
    [
      'a date after the end of a lease that is not renewable',
      leased({ token: TOKEN }, { leaseDurationMs: 30_000, renewable: false }),
      { leaseDurationMs: 30_000, renewable: false },
    ],
    [
      'a date after the end of a lease that is renewable: it bounds the renewals',
      leased({ token: TOKEN }, { leaseDurationMs: 30_000 }),
      { leaseDurationMs: 30_000, endsAtMs },
    ],
    ['a token that has ended by our clock', leased({ token: jwt({ exp: NOW - 5 }) }), {}],
    [
      'no duration: the token says it',
      leased({ token: TOKEN }, { leaseDurationMs: 0 }),
      { leaseDurationMs: 60_000, renewable: false },
    ],
    [
      'no duration: the ttl says it',
      leased({ token: 'x', ttl: 60 }, { leaseDurationMs: 0 }),
      { leaseDurationMs: 60_000, renewable: false },
    ],
    ['no duration', leased({ token: 'x' }, { leaseDurationMs: 0 }), { leaseDurationMs: 0 }],
  ];
  for (const [name, actual, changes] of cases) {
    test(name, () => {
      const { leaseDurationMs: durationMs, ...rest } = { ...LEASE, ...changes };
      assert.deepEqual(actual, { kind: 'lease', durationMs, ...rest });
    });
  }
});

test('whatever the fields hold, an end is a date', () => {
  const names = fc.constantFrom('token', 'ttl', 'expiration', 'expires_at', 'certificate', 'a');
  const values = fc.oneof(fc.string(), fc.double(), fc.integer(), fc.constant(TOKEN), fc.object());
  fc.assert(
    fc.property(fc.dictionary(names, values), (data) => {
      const end = ownEnd(data, NOW_MS);
      assert.ok(end === undefined || !Number.isNaN(new Date(end.expiresAtMs).getTime()));
    }),
  );
});

test('a hostile list is searched in bounded time', () => {
  const items = Array.from({ length: 100_000 }, () => ({ a: [[{}], 'ey.'.repeat(8)] }));
  assert.equal(ownEnd({ a: items, b: items, c: { d: items } }, NOW_MS), undefined);
});

test('a hostile answer is searched in bounded time', () => {
  const text = 'eyJ.'.repeat(16_000);
  const data = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`f${index}`, text]));
  assert.equal(ownEnd(data, NOW_MS), undefined);
});
