import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { createTokenIssuer } from '../../../../src/dev/tokens/index.ts';
import { FakeClock } from '../../../helpers/fake-clock.ts';

const clock = new FakeClock();
const subject = 'system:serviceaccount:default:web';

test('a token says what it was asked to say and is verified by the published key', async () => {
  const issuer = createTokenIssuer(clock);
  const token = await issuer.mint({
    issuer: 'https://kubernetes.default.svc',
    subject,
    audience: 'vault',
    ttlMs: 60_000,
    claims: { 'kubernetes.io': { namespace: 'default' } },
  });
  const keys = createLocalJWKSet({ keys: [...issuer.jwks().keys] });
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    audience: 'vault',
    issuer: 'https://kubernetes.default.svc',
    currentDate: new Date(clock.now()),
  });
  assert.deepEqual(protectedHeader, {
    alg: 'ES256',
    kid: issuer.jwks().keys[0]?.kid,
    typ: 'JWT',
  });
  assert.deepEqual(payload, {
    iss: 'https://kubernetes.default.svc',
    sub: subject,
    aud: ['vault'],
    iat: clock.now() / 1000,
    exp: clock.now() / 1000 + 60,
    'kubernetes.io': { namespace: 'default' },
  });
});

test('without an issuer there is no iss', async () => {
  const token = await createTokenIssuer(clock).mint({ subject, audience: ['a', 'b'] });
  assert.deepEqual(Object.keys(decodeJwt(token)), ['sub', 'aud', 'iat', 'exp']);
});

test('a rotated issuer signs with a new key and publishes the old one too', async () => {
  const issuer = createTokenIssuer(clock);
  const before = await issuer.mint({ subject, audience: 'a' });
  issuer.rotate();
  const after = await issuer.mint({ subject, audience: 'a' });
  const kids = issuer.jwks().keys.map(({ kid }) => kid);
  assert.deepEqual(kids, [decodeProtectedHeader(after).kid, decodeProtectedHeader(before).kid]);
  assert.ok(issuer.jwks().keys.every((key) => key['d'] === undefined)); // public keys alone
});

test('the key of another issuer does not verify', async () => {
  const token = await createTokenIssuer(clock).mint({ subject, audience: 'a' });
  const keys = createLocalJWKSet({ keys: [...createTokenIssuer(clock).jwks().keys] });
  await assert.rejects(jwtVerify(token, keys, { currentDate: new Date(clock.now()) }));
});
