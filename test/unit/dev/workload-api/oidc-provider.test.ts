import assert from 'node:assert/strict';
import { get } from 'node:https';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { createTestCa } from '../../../../src/dev/ca/index.ts';
import { createTokenIssuer } from '../../../../src/dev/tokens/index.ts';
import { startOidcProvider } from '../../../../src/dev/workload-api/index.ts';

const tokens = createTokenIssuer();

test('a client that knows only the issuer verifies tokens, also after rotation', async () => {
  await using provider = await startOidcProvider({ jwks: () => tokens.jwks() });
  const url = `${provider.issuer}/.well-known/openid-configuration`;
  const document = (await (await fetch(url)).json()) as { issuer: string; jwks_uri: string }; // ours
  assert.equal(document.issuer, provider.issuer);
  const keys = createRemoteJWKSet(new URL(document.jwks_uri), { cooldownDuration: 0 });
  for (let round = 0; round < 2; round += 1) {
    const token = await tokens.mint({ issuer: provider.issuer, subject: 'x', audience: 'vault' });
    const { payload } = await jwtVerify(token, keys, { issuer: provider.issuer });
    assert.equal(payload.sub, 'x');
    tokens.rotate();
  }
  assert.equal(provider.requests.get('/keys'), 2);
});

test('X.509 keys are not published', async () => {
  const [key] = tokens.jwks().keys;
  const jwks = {
    keys: [
      { ...key, use: 'x509-svid' },
      { ...key, use: 'jwt-svid' },
    ],
  };
  await using provider = await startOidcProvider({ jwks: () => jwks });
  const answer: unknown = await (await fetch(`${provider.url}/keys`)).json();
  assert.deepEqual(answer, { keys: [{ ...key, use: 'sig' }] });
});

test('the issuer may be another one than the address', async () => {
  const issuer = 'https://oidc.example.org';
  await using provider = await startOidcProvider({ jwks: () => tokens.jwks(), issuer });
  assert.equal(provider.issuer, issuer);
  const response = await fetch(`${provider.url}/.well-known/openid-configuration`);
  assert.partialDeepStrictEqual(await response.json(), {
    issuer,
    jwks_uri: `${provider.url}/keys`,
  });
});

test('it speaks TLS with a given certificate', async () => {
  const ca = createTestCa();
  await using provider = await startOidcProvider({ jwks: () => tokens.jwks(), tls: ca.issue() });
  assert.match(provider.url, /^https:/);
  const request = get(`${provider.url}/keys`, { ca: ca.caPem, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage]; // what it carries
  assert.equal(response.statusCode, 200);
  response.resume();
  await once(response, 'end');
});

test('it fails and hangs on demand, and knows no other paths', async () => {
  await using provider = await startOidcProvider({ jwks: () => tokens.jwks() });
  provider.fault({ kind: 'status', status: 500 });
  assert.equal((await fetch(`${provider.url}/keys`)).status, 500);
  provider.fault({ kind: 'hang' });
  const signal = AbortSignal.timeout(50);
  await assert.rejects(fetch(`${provider.url}/keys`, { signal }), { name: 'TimeoutError' });
  provider.fault(undefined);
  assert.equal((await fetch(`${provider.url}/keys`)).status, 200);
  assert.equal((await fetch(`${provider.url}/other`)).status, 404);
});
