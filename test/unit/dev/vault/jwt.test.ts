import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { exportSPKI, importJWK, SignJWT, UnsecuredJWT } from 'jose';
import { createTokenIssuer, type TokenIssuer } from '../../../../src/dev/tokens/index.ts';
import { startOidcProvider, type OidcProvider } from '../../../../src/dev/workload-api/index.ts';
import { startBench, tokenOf, type Answer, type Bench, type Nested, text } from './client.ts';

const APP = 'spiffe://example.org/app';
const UNVERIFIED = 'error validating token: error verifying token signature: ';

describe('the JWT login method', () => {
  let bench: Bench;
  let issuer: TokenIssuer;
  let provider: OidcProvider;

  before(async () => {
    bench = await startBench();
    issuer = createTokenIssuer(bench.clock);
    provider = await startOidcProvider({ jwks: () => issuer.jwks() });
    await bench.vault.write('sys/auth/jwt', { type: 'jwt' });
    await configure();
    await role('dev', { bound_audiences: 'vault', bound_subject: APP, token_ttl: '1h' });
  });

  after(async () => {
    await bench.vault.close();
    await provider.close();
  });

  async function configure(body: object = { jwks_url: `${provider.url}/keys` }): Promise<void> {
    await bench.vault.write('auth/jwt/config', { ...body });
  }

  async function role(name: string, body: object): Promise<void> {
    await bench.vault.write(`auth/jwt/role/${name}`, {
      role_type: 'jwt',
      user_claim: 'sub',
      ...body,
    });
  }

  function mint(claims: Record<string, unknown> = {}): Promise<string> {
    return issuer.mint({ subject: APP, audience: 'vault', claims });
  }

  function login(name: string | undefined, jwt: string): Promise<Answer> {
    const body = name === undefined ? { jwt } : { role: name, jwt };
    return bench.call('POST', 'auth/jwt/login', { body });
  }

  async function refuses(answer: Promise<Answer>, text: string, status = 400): Promise<void> {
    const { status: actual, body } = await answer;
    assert.deepEqual([actual, body['errors']], [status, [text]]);
  }

  test('a login answers as the real Vault does', async () => {
    await bench.vault.write('auth/jwt/role/dev', { token_policies: 'p1', token_max_ttl: '2h' });
    const { status, body } = await login('DEV', await mint());
    assert.equal(status, 200);
    const auth = body['auth'];
    assert.deepEqual(
      { ...body, request_id: '' },
      {
        request_id: '',
        lease_id: '',
        renewable: false,
        lease_duration: 0,
        data: null,
        wrap_info: null,
        warnings: null,
        auth: {
          client_token: auth?.['client_token'],
          accessor: auth?.['accessor'],
          policies: ['default', 'p1'],
          token_policies: ['default', 'p1'],
          metadata: { role: 'dev' },
          lease_duration: 3600,
          renewable: true,
          entity_id: auth?.['entity_id'],
          token_type: 'service',
          orphan: true,
          mfa_requirement: null,
          num_uses: 0,
        },
        mount_type: '',
      },
    );
    const token = text(auth?.['client_token']);
    const found = await bench.call('GET', 'auth/token/lookup-self', { token });
    assert.equal(found.body['data']?.['display_name'], `jwt-${APP}`);
    assert.equal(found.body['data']['path'], 'auth/jwt/login');
    const again = await login('dev', await mint());
    assert.equal(again.body['auth']?.['entity_id'], auth?.['entity_id']);
  });

  test('the default role is used where none is given', async () => {
    await refuses(login(undefined, await mint()), 'missing role');
    await configure({ jwks_url: `${provider.url}/keys`, default_role: 'dev' });
    assert.equal((await login(undefined, await mint())).status, 200);
    await configure();
  });

  test('wrong roles and missing tokens', async () => {
    await refuses(login('nope', await mint()), 'role "nope" could not be found');
    await refuses(login('dev', ''), 'missing token');
    await role('oidc', { role_type: 'oidc', allowed_redirect_uris: 'http://127.0.0.1' });
    await refuses(login('oidc', await mint()), 'role with oidc role_type is not allowed');
    await role('far', { token_bound_cidrs: '10.0.0.0/8', bound_audiences: 'vault' });
    await refuses(login('far', await mint()), 'permission denied', 403);
  });

  test('claims that do not fit are refused with the texts of the real Vault', async () => {
    const now = bench.clock.now() / 1000;
    const refusals: [Record<string, unknown>, string][] = [
      [{ sub: 'spiffe://example.org/other' }, 'invalid subject (sub) claim'],
      [{ exp: now - 60 }, 'invalid expiration time (exp) claim: token is expired'],
      [{ nbf: now + 61 }, 'invalid not before (nbf) claim: token not yet valid'],
      [{ nbf: now, iat: now + 61 }, 'invalid issued at (iat) claim: token issued in the future'],
      [
        { aud: ['other'] },
        'invalid audience (aud) claim: audience claim does not match any expected audience',
      ],
    ];
    for (const [claims, text] of refusals) {
      await refuses(login('dev', await mint(claims)), `error validating token: ${text}`);
    }
    assert.equal((await login('dev', await mint({ exp: now - 59, iat: now - 99 }))).status, 200);
  });

  test('signatures that do not fit are refused with the texts of the real Vault', async () => {
    const stranger = createTokenIssuer(bench.clock);
    const foreign = await stranger.mint({ subject: APP, audience: 'vault' });
    await refuses(login('dev', foreign), `${UNVERIFIED}failed to verify id token signature`);
    await refuses(
      login('dev', 'garbage'),
      `${UNVERIFIED}oidc: malformed jwt: go-jose/go-jose: compact JWS format must have three parts`,
    );
    const symmetric = new SignJWT({ sub: APP, aud: 'vault' }).setProtectedHeader({ alg: 'HS256' });
    const unsigned = new UnsecuredJWT({ sub: APP, aud: 'vault' }).encode();
    for (const jwt of [await symmetric.sign(new Uint8Array(32)), unsigned]) {
      const { status, body } = await login('dev', jwt);
      assert.equal(status, 400);
      assert.match(text(body['errors']), /unexpected signature algorithm "(HS256|none)"/);
    }
  });

  test('a rotated key is fetched once it is needed', async () => {
    assert.equal((await login('dev', await mint())).status, 200);
    const fetched = provider.requests.get('/keys') ?? 0;
    assert.equal((await login('dev', await mint())).status, 200);
    assert.equal(provider.requests.get('/keys'), fetched);
    issuer.rotate();
    assert.equal((await login('dev', await mint())).status, 200);
    assert.equal(provider.requests.get('/keys'), fetched + 1);
  });

  test('an outage of the keys is a refusal that passes', async () => {
    await configure();
    provider.fault({ kind: 'status', status: 500 });
    const { status, body } = await login('dev', await mint());
    assert.equal(status, 400);
    assert.match(text(body['errors']), /fetching keys oidc: get keys failed: 500 Internal/);
    provider.fault(undefined);
    assert.equal((await login('dev', await mint())).status, 200);
  });

  test('bound claims: exact, one of several, glob, by pointer', async () => {
    await role('claims', { bound_audiences: 'vault', bound_claims: { team: ['a', 'b'], n: 5 } });
    await refuses(
      login('claims', await mint({ n: 5 })),
      'error validating claims: claim "team" is missing',
    );
    await refuses(
      login('claims', await mint({ team: 'c', n: 5 })),
      'error validating claims: claim "team" does not match any associated bound claim values',
    );
    assert.equal((await login('claims', await mint({ team: 'b', n: 5 }))).status, 200);
    assert.equal((await login('claims', await mint({ team: ['x', 'b'], n: 5 }))).status, 200);
    await role('glob', {
      bound_audiences: 'vault',
      bound_claims_type: 'glob',
      bound_claims: { sub: 'spiffe://example.org/*/web' },
    });
    const sub = 'spiffe://example.org/ns/a/sa/web';
    assert.equal((await login('glob', await mint({ sub }))).status, 200);
    assert.equal((await login('glob', await mint({ sub: `${sub}2` }))).status, 400);
    await role('pointer', {
      bound_audiences: 'vault',
      bound_claims: { '/kubernetes.io/namespace': 'ns' },
      claim_mappings: { sub: 'who' },
    });
    const { body } = await login('pointer', await mint({ 'kubernetes.io': { namespace: 'ns' } }));
    assert.deepEqual(body['auth']?.['metadata'], { who: APP, role: 'pointer' });
  });

  test('other claims that logins can fail by', async () => {
    await role('open', { bound_subject: APP });
    await refuses(
      login('open', await mint()),
      'audience claim found in JWT but no audiences bound to the role',
    );
    await role('mail', { bound_audiences: 'vault', user_claim: 'email', groups_claim: 'g' });
    await refuses(login('mail', await mint()), 'claim "email" not found in token');
    await refuses(
      login('mail', await mint({ email: 1 })),
      'claim "email" could not be converted to string',
    );
    await refuses(
      login('mail', await mint({ email: 'x' })),
      'failed to fetch groups: "g" claim not found in token',
    );
  });

  test('the tokens that roles give', async () => {
    const base = { bound_audiences: 'vault' };
    await role('batch', { ...base, token_type: 'batch', token_ttl: '1h' });
    await role('period', { ...base, token_period: '1h', token_num_uses: 3 });
    await role('old', { ...base, ttl: '1h', max_ttl: '2h', policies: ['a', 'b'] });
    await role('bare', { ...base, token_no_default_policy: true });
    const auth = async (name: string): Promise<Nested | undefined> =>
      (await login(name, await mint())).body['auth'];
    const batch = await auth('batch');
    assert.deepEqual(
      [batch?.['token_type'], batch?.['renewable'], batch?.['accessor']],
      ['batch', false, ''],
    );
    const period = await auth('period');
    assert.deepEqual([period?.['lease_duration'], period?.['num_uses']], [3600, 3]);
    const old = await auth('old');
    assert.deepEqual([old?.['lease_duration'], old?.['policies']], [3600, ['a', 'b', 'default']]);
    assert.equal((await bench.vault.read('auth/jwt/role/old'))['max_ttl'], 7200);
    const bare = await auth('bare');
    assert.deepEqual([bare?.['policies'], bare?.['token_policies']], [[], undefined]);
  });

  test('renewal reads the role anew', async () => {
    await role('fresh', { bound_audiences: 'vault', token_ttl: '1h' });
    const token = tokenOf(await login('fresh', await mint()));
    const renew = (): Promise<Answer> => bench.call('POST', 'auth/token/renew-self', { token });
    await role('fresh', { token_ttl: '30m' });
    assert.equal((await renew()).body['auth']?.['lease_duration'], 1800);
    await bench.vault.delete('auth/jwt/role/fresh');
    await refuses(
      renew(),
      '1 error occurred:\n\t* failed to renew entry: role fresh does not exist during renewal\n\n',
      500,
    );
  });

  test('roles that the real Vault refuses', async () => {
    const refusals: [object, string][] = [
      [{}, 'a user claim must be defined on the role'],
      [
        { user_claim: 'sub' },
        "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.",
      ],
      [
        { user_claim: 'sub', role_type: 'jwt' },
        'must have at least one bound constraint when creating/updating a role',
      ],
      [{ user_claim: 'sub', role_type: 'foo' }, "invalid 'role_type': foo"],
      [{ bound_claims_type: 'foo' }, "invalid 'bound_claims_type': foo"],
      [{ bound_claims_type: 'glob', bound_claims: { a: 5 } }, 'claim is not a string: 5'],
      [
        { token_ttl: '3h', token_max_ttl: '2h' },
        "'token_ttl' cannot be greater than 'token_max_ttl'",
      ],
      [
        { token_ttl: 'xx' },
        'error converting input for field "token_ttl": time: invalid duration "xx"',
      ],
    ];
    for (const [body, text] of refusals) {
      await refuses(bench.root('POST', 'auth/jwt/role/wrong', body), text);
    }
    assert.equal((await bench.root('GET', 'auth/jwt/role/wrong')).status, 404);
  });

  test('configurations that the real Vault refuses', async () => {
    const one =
      "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs' or 'oidc_discovery_url' must be set";
    const refusals: [object, string][] = [
      [{}, one],
      [{ jwks_url: 'http://127.0.0.1:1/', oidc_discovery_url: 'http://127.0.0.1:1' }, one],
      [{ jwks_url: 'http://127.0.0.1:1/' }, 'error checking jwks URL http://127.0.0.1:1/'],
      [{ oidc_discovery_url: `${provider.url}/other` }, 'error checking oidc discovery URL'],
      [
        { jwt_validation_pubkeys: 'garbage' },
        'error parsing public key: data does not contain any valid public keys',
      ],
    ];
    for (const [body, text] of refusals) {
      await refuses(bench.root('POST', 'auth/jwt/config', body), text);
    }
  });

  test('discovery, a bound issuer, and keys given as text', async () => {
    await configure({ oidc_discovery_url: provider.issuer, bound_issuer: provider.issuer });
    assert.equal((await login('dev', await mint({ iss: provider.issuer }))).status, 200);
    await refuses(login('dev', await mint()), 'error validating token: invalid issuer (iss) claim');
    const [jwk] = issuer.jwks().keys;
    const key = await importJWK({ ...jwk }, 'ES256');
    assert.ok(!(key instanceof Uint8Array));
    await configure({ jwt_validation_pubkeys: [await exportSPKI(key)] });
    assert.equal((await login('dev', await mint())).status, 200);
    issuer.rotate();
    await refuses(
      login('dev', await mint()),
      `${UNVERIFIED}no known key successfully validated the token signature`,
    );
    await configure();
  });
});
