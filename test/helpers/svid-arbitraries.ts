/** SVIDs gone mad, and what must hold of whatever a client makes of them. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import fc from 'fast-check';
import { VouchsafeError } from '../../src/core/index.ts';
import { createTestCa } from '../../src/dev/ca/index.ts';
import type { X509Context } from '../../src/spiffe/index.ts';
import { Hunt } from './hunt.ts';
import { hostileText, hostileValue, mutated, mutatedBytes, mutatedText } from './arbitraries.ts';

/** Whose the SVIDs are. */
export const ID = 'spiffe://example.org/web';
/** When they are valid. */
export const NOW_MS = Date.now();
/** No error may show it. */
const PLANTED = 'UGxhbnRlZFNpZ25hdHVyZQ';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

function encoded(part: unknown): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');
}

/** A token; unsigned without a key. */
export function jwt(header: unknown, payload: unknown, key?: KeyObject): string {
  const text = `${encoded(header)}.${encoded(payload)}`;
  if (key === undefined) return `${text}.${PLANTED}`;
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

/** Header of a JWT-SVID. */
export const HEADER = { alg: 'ES256', kid: 'k1', typ: 'JWT' };
const seconds = Math.floor(NOW_MS / 1000);
/** Claims of a JWT-SVID. */
export const PAYLOAD = { sub: ID, aud: ['vault'], exp: seconds + 300, iat: seconds, nbf: seconds };

/** Tokens, more or less. */
export const tokens: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(jwt(HEADER, PAYLOAD)) },
  { weight: 4, arbitrary: mutated(PAYLOAD).map((payload) => jwt(HEADER, payload)) },
  { weight: 4, arbitrary: mutated(HEADER).map((header) => jwt(header, PAYLOAD)) },
  { weight: 2, arbitrary: hostileValue.map((payload) => jwt(HEADER, payload)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      jwt({ alg: { toString: 1, valueOf: 1 } }, PAYLOAD),
      jwt({ alg: ['ES256'] }, PAYLOAD),
      jwt({ alg: 'none' }, PAYLOAD),
      jwt(HEADER, { ...PAYLOAD, exp: 8.64e12, aud: 'vault' }),
      jwt(HEADER, { ...PAYLOAD, exp: -8.64e12 }),
    ),
  },
  { weight: 1, arbitrary: mutatedText(jwt(HEADER, PAYLOAD, privateKey)) },
  { weight: 1, arbitrary: hostileText },
);

/** SPIFFE IDs, mostly {@link ID}. */
export const ids = fc.oneof(
  { weight: 5, arbitrary: fc.constant(ID) },
  { weight: 1, arbitrary: mutatedText(ID, 'spiffe://example.org') },
);
/** Hints. */
export const hints = fc.constantFrom('', '', 'internal', '__proto__', 'constructor');

const ca = createTestCa();
const issued = ca.issue({ uris: [ID] });

function der(pem: string): Uint8Array {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
}

/** The certificate of {@link ID}, DER. */
export const LEAF = der(issued.certPem);
/** Its key, PKCS#8. */
export const KEY = der(issued.keyPem);
/** Its authority, DER. */
export const AUTHORITY = der(ca.caPem);

/** These bytes, or others. */
export function mostly(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant(bytes) },
    { weight: 1, arbitrary: mutatedBytes(bytes) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(new Uint8Array(), LEAF, KEY, AUTHORITY, Buffer.alloc(5000, 0x30)),
    },
  );
}

/** Entries of an X509SVIDResponse. */
export const x509Entry = fc.record({
  spiffeId: ids,
  x509Svid: mostly(LEAF),
  x509SvidKey: mostly(KEY),
  bundle: mostly(AUTHORITY),
  hint: hints,
});
/** Bundles by SPIFFE ID. */
export const bundles = fc
  .array(fc.tuple(fc.oneof(ids, fc.constant('spiffe://other.example')), mostly(AUTHORITY)), {
    maxLength: 2,
  })
  .map((entries) => new Map(entries));
/** A JWKS. */
export const jwks = JSON.stringify({
  keys: [{ ...privateKey.export({ format: 'jwk' }), d: undefined, kid: 'k1', use: 'jwt-svid' }],
});

/** A message, the same after edits of its bytes, or noise. */
export function noisy(messages: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 3, arbitrary: messages },
    { weight: 1, arbitrary: messages.chain((one) => mutatedBytes(one)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    { weight: 1, arbitrary: fc.constantFrom(new Uint8Array(), Buffer.alloc(500_000, 0x0a)) },
  );
}

/** Whatever a client calls an X.509 context can be used. */
export function assertContext({ svids, federatedBundles }: X509Context): void {
  for (const { expiresAtMs, certificates } of svids) {
    assert.ok(Number.isFinite(expiresAtMs) && certificates.length > 0);
  }
  for (const key of federatedBundles.keys()) assert.match(key, /^spiffe:\/\/[^/]+$/);
}

/** Whatever goes wrong is an error of ours that shows no secret. */
export function assertOurs(error: unknown): void {
  assert.ok(error instanceof VouchsafeError, error instanceof Error ? String(error.stack) : '');
  assert.match(error.code, /^ERR_SPIFFE_/);
  const shown = `${error.message} ${JSON.stringify(error)}`;
  const hunt = new Hunt();
  hunt.plant(PLANTED);
  hunt.assertNone({ error: shown });
  assert.ok(shown.length < 6000, `${shown.length} characters`);
}
