import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { exportSPKI, importJWK } from 'jose';
import { Secret } from '../../../../src/core/index.ts';
import {
  createAuthority,
  createTestCa,
  type IssuedCertificate,
} from '../../../../src/dev/ca/index.ts';
import { createTokenIssuer } from '../../../../src/dev/tokens/index.ts';
import { startDevVault } from '../../../../src/dev/vault/index.ts';
import { startOidcProvider, type OidcProvider } from '../../../../src/dev/workload-api/index.ts';
import { systemClock, systemRandom } from '../../../../src/platform/index.ts';
import { createVaultClient } from '../../../../src/vault/index.ts';
import { FakeClock } from '../../../helpers/fake-clock.ts';
import { failure, startBench, type Bench, type Response } from './client.ts';

const APP = 'spiffe://example.org/app';

suite('logins by signed tokens', () => {
  // The same time as the bench has: both clocks stand still.
  const issuer = createTokenIssuer(new FakeClock());
  let bench: Bench;
  let provider: OidcProvider;

  before(async () => {
    bench = await startBench();
    provider = await startOidcProvider({ jwks: () => issuer.jwks() });
    for (const type of ['jwt', 'kubernetes', 'spiffe']) {
      await bench.vault.write(`sys/auth/${type}`, { type });
    }
    const [jwk] = issuer.jwks().keys;
    const key = await importJWK({ ...jwk }, 'ES256');
    assert.ok(!(key instanceof Uint8Array));
    for (const [path, body] of [
      ['jwt/config', { jwks_url: `${provider.url}/keys`, default_role: 'dev' }],
      ['jwt/role/dev', { bound_audiences: 'vault', bound_subject: APP, token_policies: ['app'] }],
      ['jwt/role/dev', { token_ttl: '1h', token_max_ttl: '90m' }],
      ['jwt/role/glob', { bound_audiences: 'vault', bound_claims: { sub: 'spiffe://*/app' } }],
      ['kubernetes/config', { pem_keys: [await exportSPKI(key)] }],
      [
        'kubernetes/role/dev',
        { bound_service_account_names: 'web', bound_service_account_namespaces: 'shop' },
      ],
      [
        'spiffe/config',
        { trust_domain: 'example.org', audience: 'vault', bundle: JSON.stringify(issuer.jwks()) },
      ],
      ['spiffe/role/dev', { workload_id_patterns: 'app' }],
    ] as const) {
      await bench.vault.write(`auth/${path}`, body);
    }
  });

  after(async () => {
    await bench.vault.close();
    await provider.close();
  });

  const login = async (mount: string, body: object, bearer?: string): Promise<Response> => {
    const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
    return bench.call('', 'POST', `auth/${mount}/login`, { body, headers });
  };
  const mint = (subject = APP, audience = 'vault', ttlMs?: number): Promise<string> =>
    issuer.mint({ subject, audience, ttlMs });

  test('jwt: a token on the terms of the role', async () => {
    const { body } = await login('jwt', { role: 'dev', jwt: await mint() });
    assert.deepEqual(body['auth']?.['policies'], ['app', 'default']);
    assert.equal(body['auth']['lease_duration'], 3600);
    assert.equal((await login('jwt', { jwt: await mint() })).status, 200, 'the default role');
    assert.equal((await login('jwt', { role: 'glob', jwt: await mint() })).status, 200);
  });

  test('jwt: what does not match the role is rejected with the text of Vault', async () => {
    const foreign = createTokenIssuer(new FakeClock());
    for (const [role, jwt, reason] of [
      ['dev', await mint(APP, 'other'), 'invalid audience (aud) claim'],
      ['dev', await mint('spiffe://example.org/x'), 'invalid subject (sub) claim'],
      ['dev', await mint(APP, 'vault', -61_000), 'invalid expiration time (exp) claim'],
      ['dev', await foreign.mint({ subject: APP, audience: 'vault' }), 'no known key'],
      ['dev', 'no-token', 'no known key successfully validated the token signature'],
      ['glob', await mint('spiffe://example.org/x'), 'claim "sub" does not match any'],
      ['none', await mint(), 'role "none" could not be found'],
    ] as const) {
      const [status, errors] = failure(await login('jwt', { role, jwt }));
      assert.equal(status, 400);
      assert.ok(String(errors).includes(reason), `${String(errors)}: ${reason}`);
    }
  });

  test('jwt: keys that cannot be fetched are named', async () => {
    const reason = async (): Promise<string> =>
      String(failure(await login('jwt', { jwt: await mint() }))[1]);
    provider.fault({ kind: 'status', status: 500 });
    assert.match(await reason(), /fetching keys oidc: get keys failed: 500/);
    provider.fault(undefined);
    await bench.vault.write('auth/jwt/config', {
      jwks_url: 'http://127.0.0.1:1',
      default_role: 'dev',
    });
    assert.match(await reason(), /get keys failed Get "http:\/\/127\.0\.0\.1:1"/);
    const config = { jwks_url: `${provider.url}/keys`, default_role: 'dev' };
    await bench.vault.write('auth/jwt/config', config);
    assert.equal((await login('jwt', { jwt: await mint() })).status, 200);
  });

  test('kubernetes: by name and namespace of the service account', async () => {
    const account = (name: string, namespace: string): Promise<string> =>
      issuer.mint({
        subject: 'x',
        audience: 'any',
        claims: { 'kubernetes.io': { namespace, serviceaccount: { name } } },
      });
    const jwt = await account('web', 'shop');
    assert.equal((await login('kubernetes', { role: 'dev', jwt })).status, 200);
    for (const [name, namespace, reason] of [
      ['other', 'shop', 'service account name not authorized'],
      ['web', 'other', 'namespace not authorized'],
    ] as const) {
      const body = { role: 'dev', jwt: await account(name, namespace) };
      assert.deepEqual(failure(await login('kubernetes', body)), [403, [reason]]);
    }
    assert.deepEqual(failure(await login('kubernetes', { jwt })), [400, ['missing role']]);
  });

  test('spiffe: the JWT-SVID is the bearer, and matches one of the roles', async () => {
    assert.equal((await login('spiffe', {}, await mint())).status, 200);
    assert.equal((await login('spiffe', { role: 'dev' }, await mint())).status, 200);
    for (const [bearer, reason] of [
      [undefined, 'no SVID found in the request'],
      [await mint('spiffe://example.org/x'), 'no role matches the SPIFFE ID of the workload'],
    ] as const) {
      assert.deepEqual(failure(await login('spiffe', {}, bearer)), [400, [reason]]);
    }
  });
});

/** A Vault with TLS, and a login of a client that presents a certificate. */
async function startTlsBench() {
  const server = createTestCa();
  const vault = await startDevVault({ tls: server.issue() });
  const login = async (
    issued: Pick<IssuedCertificate, 'certPem' | 'keyPem'>,
    method: 'cert' | 'spiffe',
    role?: string,
  ): Promise<void> => {
    const client = createVaultClient({
      address: vault.address,
      timeoutMs: 5000,
      ca: () => server.caPem,
      clock: systemClock,
      random: systemRandom,
    });
    const certificate = { certificatePem: issued.certPem, keyPem: new Secret(issued.keyPem) };
    const named = role === undefined ? {} : { role };
    const request = { method, mount: method, ...named, certificate };
    await client.login(request, AbortSignal.timeout(5000)).finally(() => client.close());
  };
  return { vault, login, [Symbol.asyncDispose]: () => vault.close() };
}

test('cert: the certificate is valid, of the CA of the role, and has its SPIFFE ID', async () => {
  await using bench = await startTlsBench();
  const { vault } = bench;
  const nowMs = systemClock.now();
  const [own, foreign] = [1, 2].map(() => createAuthority({ nowMs, ttlMs: 3_600_000 }));
  assert.ok(own !== undefined && foreign !== undefined);
  await vault.write('sys/auth/cert', { type: 'cert' });
  const role = { certificate: own.caPem, allowed_uri_sans: APP };
  await vault.write('auth/cert/certs/web', role);
  const attempt = async (authority = own, uri = APP, role?: string, startMs = nowMs) => {
    const issued = authority.issue({ uris: [uri], nowMs: startMs, ttlMs: 60_000 });
    await bench.login(issued, 'cert', role);
  };
  await attempt();
  await attempt(own, APP, 'web');
  for (const [reason, wrong] of [
    [/failed to match all constraints/, attempt(foreign)],
    [/failed to match all constraints/, attempt(own, 'spiffe://example.org/x')],
    [/failed to match all constraints/, attempt(own, APP, 'web', nowMs - 120_000)],
    [/role "none" could not be found/, attempt(own, APP, 'none')],
  ] as const) {
    await assert.rejects(wrong, { code: 'ERR_VAULT_LOGIN_REFUSED', message: reason });
  }
  await using plain = await startBench();
  await plain.vault.write('sys/auth/cert', { type: 'cert' });
  await plain.vault.write('auth/cert/certs/web', role);
  const without = await plain.call('', 'POST', 'auth/cert/login', { body: {} });
  assert.deepEqual(failure(without), [400, ['client certificate must be supplied']]);
});

suite('spiffe by X.509-SVID', () => {
  const nowMs = systemClock.now();
  const own = createAuthority({ nowMs, ttlMs: 3_600_000 });
  const issue = (uri: string, authority = own, startMs = nowMs): IssuedCertificate =>
    authority.issue({ uris: [uri], nowMs: startMs, ttlMs: 60_000 });
  const jwk = { kty: 'EC', use: 'x509-svid', x5c: [own.caDer.toString('base64')] };

  for (const [name, bundle] of Object.entries({
    'a bundle in PEM': own.caPem,
    'a SPIFFE bundle': JSON.stringify({ keys: [jwk] }),
  })) {
    test(`the certificate is an SVID of ${name}, with an ID of the role`, async () => {
      await using bench = await startTlsBench();
      const { vault, login } = bench;
      await vault.write('sys/auth/spiffe', { type: 'spiffe' });
      await vault.write('auth/spiffe/config', { trust_domain: 'spiffe://example.org', bundle });
      await vault.write('auth/spiffe/role/app', { workload_id_patterns: ['app', 'ns/+/sa/web'] });
      await vault.write('auth/spiffe/role/team', { workload_id_patterns: ['team/*'] });
      await login(issue(APP), 'spiffe', 'app');
      for (const path of ['app', 'ns/a/sa/web', 'team/a/b']) {
        await login(issue(`spiffe://example.org/${path}`), 'spiffe');
      }
      const foreign = createAuthority({ nowMs, ttlMs: 3_600_000 });
      for (const [reason, svid, role] of [
        [/not a valid X\.509-SVID/, issue(APP, foreign)],
        [/not a valid X\.509-SVID/, issue(APP, own, nowMs - 120_000)],
        [/of another trust domain/, issue('spiffe://example.com/app')],
        [/no role matches the SPIFFE ID/, issue('spiffe://example.org/ns/a/b/sa/web')],
        [/no role matches the SPIFFE ID/, issue('spiffe://example.org/application')],
        [/no role matches the SPIFFE ID/, issue(APP), 'team'],
        [/role "none" could not be found/, issue(APP), 'none'],
      ] as const) {
        const error = { code: 'ERR_VAULT_LOGIN_REFUSED', message: reason };
        await assert.rejects(login(svid, 'spiffe', role), error);
      }
    });
  }

  test('the type decides which SVID is used, and one that is missing is named', async () => {
    await using bench = await startBench();
    await bench.vault.write('sys/auth/spiffe', { type: 'spiffe' });
    await bench.vault.write('auth/spiffe/config', {
      trust_domain: 'example.org',
      bundle: own.caPem,
    });
    await bench.vault.write('auth/spiffe/role/app', { workload_id_patterns: 'app' });
    const headers = { authorization: 'Bearer a.b.c' };
    for (const [type, reason] of [
      ['cert', 'no SVID found in the request'],
      ['jwt', 'no audience is configured'],
      ['', 'no audience is configured'],
      ['other', 'invalid type'],
    ] as const) {
      const response = await bench.call('', 'POST', 'auth/spiffe/login', {
        body: { type },
        headers,
      });
      assert.deepEqual(failure(response), [400, [reason]], type);
    }
  });
});
