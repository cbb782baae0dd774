import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTokenIssuer } from '../../../src/dev/tokens/index.ts';
import { parseJwtBundle, parseJwtSvid } from '../../../src/spiffe/jwt-svid.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

const ID = 'spiffe://example.org/web';
const clock = new FakeClock();
const issuer = createTokenIssuer(clock);
const now = clock.now();

function base64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A token with any header and payload; its signature is not looked at. */
function token(header: object, payload: object): string {
  return `${base64({ alg: 'ES256', ...header })}.${base64({
    sub: ID,
    aud: ['vault'],
    exp: now / 1000 + 300,
    ...payload,
  })}.c2ln`;
}

test('a JWT-SVID is read with its times and audiences, and never printed', async () => {
  const svid = await issuer.mint({ subject: ID, audience: ['vault', 'other'] });
  const parsed = parseJwtSvid({ spiffeId: ID, svid, hint: 'main' }, ['other'], now);
  assert.equal(parsed.spiffeId.path, '/web');
  assert.equal(parsed.token.reveal(), svid);
  assert.deepEqual(parsed.audiences, ['vault', 'other']);
  assert.equal(parsed.issuedAtMs, now);
  assert.equal(parsed.expiresAtMs, now + 300_000);
  assert.equal(parsed.hint, 'main');
  assert.ok(!JSON.stringify(parsed).includes(svid));
});

for (const [what, header, payload] of [
  ['an audience that is a text', {}, { aud: 'vault' }],
  ['no iat', {}, { iat: undefined }],
  ['typ JOSE', { typ: 'JOSE' }, {}],
  ['PS512', { alg: 'PS512' }, {}],
  ['an expiry within the leeway', {}, { exp: now / 1000 - 59 }],
] as const) {
  test(`a token with ${what} is accepted`, () => {
    const entry = { spiffeId: ID, svid: token(header, payload), hint: '' };
    assert.equal(parseJwtSvid(entry, ['vault'], now).spiffeId.uri, ID);
  });
}

for (const [what, svid, message] of [
  ['text', 'hello', /compact form/],
  ['five parts', 'a.b.c.d.e', /compact form/],
  ['no signature', token({}, {}).replace(/[^.]+$/, ''), /compact form/],
  ['a JSON serialization', '{"payload":"e30"}', /compact form/],
  ['a payload that is not JSON', `${base64({ alg: 'ES256' })}.AAAA.c2ln`, /compact form/],
  ['alg none', token({ alg: 'none' }, {}), /algorithm/],
  ['alg HS256', token({ alg: 'HS256' }, {}), /algorithm/],
  ['alg EdDSA', token({ alg: 'EdDSA' }, {}), /algorithm/],
  ['an alg that has no text', token({ alg: { toString: 1 } }, {}), /algorithm/],
  ['another typ', token({ typ: 'at+jwt' }, {}), /neither JWT nor JOSE/],
  ['another subject', token({}, { sub: 'spiffe://example.org/other' }), /subject/],
  ['no subject', token({}, { sub: undefined }), /subject/],
  ['another audience', token({}, { aud: ['other'] }), /not for the audience vault/],
  ['no audience', token({}, { aud: undefined }), /not for the audience vault/],
  ['an audience that is no text', token({}, { aud: [1] }), /not for the audience/],
  ['no expiry', token({}, { exp: undefined }), /no expiry/],
  ['an expiry that is a text', token({}, { exp: '2030' }), /no expiry/],
  ['an expiry beyond all dates', token({}, { exp: 1e300 }), /no expiry/],
  ['an expiry long ago', token({}, { exp: now / 1000 - 61 }), /expired at 2025-12-31T23:58:59/],
] as const) {
  test(`a token with ${what} is rejected without being quoted`, () => {
    const entry = { spiffeId: ID, svid, hint: '' };
    assert.throws(
      () => parseJwtSvid(entry, ['vault'], now),
      (error: unknown) => {
        assert.ok(error instanceof Error && 'code' in error);
        assert.equal(error.code, 'ERR_SPIFFE_SVID_INVALID');
        assert.match(error.message, message);
        assert.ok(!error.message.includes(svid) && error.cause === undefined);
        return true;
      },
    );
  });
}

for (const entry of [
  { spiffeId: '', svid: 'a.b.c', hint: '' },
  { spiffeId: ID, svid: '', hint: '' },
  { spiffeId: 'spiffe://EXAMPLE.org/x', svid: 'a.b.c', hint: '' },
]) {
  test(`an entry ${JSON.stringify(entry)} breaks the protocol`, () => {
    assert.throws(() => parseJwtSvid(entry, ['vault'], now), { code: 'ERR_SPIFFE_MALFORMED' });
  });
}

test('any text as a token gives an error of ours', () => {
  fc.assert(
    fc.property(fc.string(), (svid) => {
      assert.throws(
        () => parseJwtSvid({ spiffeId: ID, svid: `${svid}.`, hint: '' }, ['vault'], now),
        {
          name: 'VouchsafeError',
        },
      );
    }),
  );
});

test('of a JWKS the usable keys are kept', () => {
  const [key] = issuer.jwks().keys;
  const keys = [
    { ...key, use: 'jwt-svid' },
    { ...key, kid: 'no-use' },
    { ...key, use: 'x509-svid' },
    { ...key, use: 'future' },
    { ...key, kid: undefined },
    { ...key, kid: '' },
    { kid: 'no-kty' },
    'text',
    null,
  ];
  const bundle = parseJwtBundle(Buffer.from(JSON.stringify({ keys })), 'spiffe://example.org');
  assert.deepEqual(
    bundle.keys.map(({ kid }) => kid),
    [key?.kid, 'no-use'],
  );
});

test('an empty key set is kept: it revokes every key', () => {
  assert.deepEqual(parseJwtBundle(Buffer.from('{"keys":[]}'), 'spiffe://a'), { keys: [] });
});

for (const text of ['', 'x', '[]', '{}', '{"keys":{}}', 'null', '\xff']) {
  test(`"${text}" is not a valid JWKS`, () => {
    assert.throws(() => parseJwtBundle(Buffer.from(text, 'latin1'), 'spiffe://a'), {
      code: 'ERR_SPIFFE_MALFORMED',
      message: /spiffe:\/\/a/,
    });
  });
}
