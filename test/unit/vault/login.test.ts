import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { ClientCertificate, LoginRequest } from '../../../src/contracts/index.ts';
import { type ErrorCode, Secret } from '../../../src/core/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { inOrder, startScripted, type Reply } from '../../helpers/scripted-http.ts';
import { answer, failure, JWT, makeClient, NEVER, PLANTED, refused, TOKEN } from './harness.ts';

const AUTH = {
  client_token: PLANTED.token,
  accessor: 'acc',
  policies: ['app', 'default'],
  lease_duration: 60,
  renewable: true,
  token_type: 'service',
  num_uses: 0,
  mfa_requirement: null,
};
const LOGIN: LoginRequest = { method: 'jwt', mount: 'jwt', role: 'app', jwt: JWT };

function loggedIn(auth: object = {}): Reply {
  return answer(null, { auth: { ...AUTH, ...auth } });
}

suite('a login', () => {
  test('with a JWT sends role and JWT, and no token', async (t) => {
    const server = await startScripted(t, inOrder(loggedIn()));
    const { client, counted } = makeClient(t, server.address);
    const token = await client.login(LOGIN, NEVER);
    assert.equal(token.token.reveal(), PLANTED.token);
    assert.deepEqual(
      { ...token, token: undefined },
      {
        token: undefined,
        accessor: 'acc',
        ttlMs: 60_000,
        renewable: true,
        type: 'service',
        numUses: 0,
        policies: ['app', 'default'],
      },
    );
    const [request] = server.requests;
    assert.equal(`${request?.method} ${request?.path}`, 'POST /v1/auth/jwt/login');
    assert.deepEqual(request?.json, { role: 'app', jwt: PLANTED.jwt });
    assert.equal(request.headers['x-vault-token'], undefined);
    assert.deepEqual(counted, ['login ok']);
  });

  test('may leave the role to the mount, whose name may have slashes', async (t) => {
    const server = await startScripted(t, inOrder(loggedIn()));
    const { client } = makeClient(t, server.address);
    await client.login({ method: 'kubernetes', mount: 'team a/k8s', jwt: JWT }, NEVER);
    assert.equal(server.requests[0]?.path, '/v1/auth/team%20a/k8s/login');
    assert.deepEqual(server.requests[0].json, { jwt: PLANTED.jwt });
  });

  test('of the SPIFFE method carries the JWT-SVID as bearer', async (t) => {
    const server = await startScripted(t, inOrder(loggedIn()));
    const { client } = makeClient(t, server.address);
    await client.login({ method: 'spiffe', mount: 'spiffe', role: 'app', jwt: JWT }, NEVER);
    assert.deepEqual(server.requests[0]?.json, { role: 'app', type: 'jwt' });
    assert.equal(server.requests[0].headers['authorization'], `Bearer ${PLANTED.jwt}`);
  });

  test('that yields a batch token has no accessor and no renewal', async (t) => {
    const auth = { token_type: 'batch', accessor: '', renewable: false, num_uses: 3 };
    const server = await startScripted(t, inOrder(loggedIn(auth)));
    const { client } = makeClient(t, server.address);
    const token = await client.login(LOGIN, NEVER);
    assert.equal(token.type, 'batch');
    assert.equal(token.accessor, undefined);
    assert.equal(token.renewable, false);
    assert.equal(token.numUses, 3);
  });

  const BROKEN: readonly [string, Reply, ErrorCode][] = [
    ['wrapped', answer(null, { wrap_info: { token: PLANTED.token } }), 'ERR_VAULT_LOGIN_WRAPPED'],
    [
      'requires a second factor',
      loggedIn({ client_token: '', mfa_requirement: { mfa_request_id: 'x' } }),
      'ERR_VAULT_LOGIN_MFA',
    ],
    ['has no token', loggedIn({ client_token: '' }), 'ERR_VAULT_MALFORMED'],
    ['has a token that is no text', loggedIn({ client_token: 7 }), 'ERR_VAULT_MALFORMED'],
    ['has no auth', answer({}), 'ERR_VAULT_MALFORMED'],
    ['is empty', { status: 204 }, 'ERR_VAULT_MALFORMED'],
    ['is refused by quota', refused(429, 'rate limit quota exceeded'), 'ERR_VAULT_THROTTLED'],
    ['meets a sealed Vault', refused(503, 'Vault is sealed'), 'ERR_VAULT_SEALED'],
    ['meets an error', refused(500, 'internal error'), 'ERR_VAULT_SERVER'],
    ['meets a proxy', { status: 403, body: '<html/>' }, 'ERR_VAULT_MALFORMED'],
    ['echoes the token', refused(400, `bad ${PLANTED.jwt}`), 'ERR_VAULT_LOGIN_REFUSED'],
  ];
  for (const [name, reply, code] of BROKEN) {
    test(`whose answer ${name}: ${code}`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client } = makeClient(t, server.address);
      await failure(client.login(LOGIN, NEVER), code);
    });
  }

  for (const mount of ['', '/jwt', 'jwt/', 'a//b', '../sys']) {
    test(`at the mount "${mount}" is rejected before it is sent`, async (t) => {
      const server = await startScripted(t, inOrder());
      const { client } = makeClient(t, server.address);
      await failure(client.login({ ...LOGIN, mount }, NEVER), 'ERR_VAULT_BAD_REQUEST');
    });
  }
});

suite('a rejected login says why:', () => {
  const TABLE: readonly [string, number, string][] = [
    ['role', 400, 'missing role'],
    ['role', 400, 'role "app" could not be found'],
    ['role', 400, 'invalid role name "app"'],
    ['role-type', 400, 'role with oidc role_type is not allowed'],
    [
      'audience',
      400,
      'error validating token: invalid audience (aud) claim: audience claim does not match any expected audience',
    ],
    ['audience', 400, 'audience claim found in JWT but no audiences bound to the role'],
    ['subject', 400, 'error validating token: invalid subject (sub) claim'],
    ['subject', 403, 'service account name not authorized'],
    ['issuer', 400, 'error validating token: invalid issuer (iss) claim'],
    [
      'expired',
      400,
      'error validating token: invalid expiration time (exp) claim: token is expired',
    ],
    [
      'not-yet-valid',
      400,
      'error validating token: invalid not before (nbf) claim: token not yet valid',
    ],
    [
      'signature',
      400,
      'error validating token: error verifying token signature: no known key successfully validated the token signature',
    ],
    [
      'signature',
      400,
      'error validating token: error verifying token signature: failed to verify id token signature',
    ],
    [
      'jwks',
      400,
      'error validating token: error verifying token signature: failed to verify signature: fetching keys oidc: get keys failed: 500 Internal Server Error',
    ],
    ['jwks', 400, 'error configuring token validator: keyset configuration error'],
    [
      'algorithm',
      400,
      'error validating token: invalid algorithm (alg) header parameter: token signed with unexpected algorithm',
    ],
    [
      'claims',
      400,
      'error validating claims: claim "env" does not match any associated bound claim values',
    ],
    ['claims', 400, 'claim "sub" not found in token'],
    ['certificate', 400, 'invalid certificate or no client certificate supplied'],
    [
      'certificate',
      400,
      'no chain matching all constraints could be found for this login certificate',
    ],
    ['alias', 500, 'missing name in alias'],
    ['token-review', 403, 'lookup failed: service account unauthorized'],
    ['mount', 404, 'no handler for route "auth/jwt/login". route entry not found.'],
    ['denied', 403, 'permission denied'],
    ['unknown', 400, 'something new'],
    ['unknown', 403, ''],
  ];
  for (const [reason, status, said] of TABLE) {
    test(`${reason}: ${said.slice(-60)}`, async (t) => {
      const server = await startScripted(t, inOrder(refused(status, said)));
      const { client } = makeClient(t, server.address, { namespace: 'team' });
      const error = await failure(client.login(LOGIN, NEVER), 'ERR_VAULT_LOGIN_REFUSED');
      const expected = { method: 'jwt', mount: 'jwt', role: 'app', namespace: 'team' };
      assert.deepEqual(error.details, { ...expected, reason, status });
      assert.match(error.message, /at auth\/jwt as role "app" in namespace "team" rejected/);
      assert.ok(error.message.endsWith(said === '' ? 'the identity' : `Vault said: ${said}`));
    });
  }

  test('bearer: a SPIFFE mount that is not there', async (t) => {
    const server = await startScripted(t, inOrder(refused(500, 'internal error')));
    const { client } = makeClient(t, server.address);
    const call = client.login({ method: 'spiffe', mount: 'spiffe', jwt: JWT }, NEVER);
    const error = await failure(call, 'ERR_VAULT_LOGIN_REFUSED');
    assert.equal(error.details['reason'], 'bearer');
    assert.match(error.message, /with the default role/);
  });
});

suite('a login with a certificate', () => {
  const ca = createTestCa();
  const { certPem: cert, keyPem: key } = ca.issue();
  const tls = { cert, key, ca: ca.caPem, requestCert: true, rejectUnauthorized: false };

  function certificate(commonName: string): ClientCertificate {
    const { certPem, keyPem } = ca.issue({ commonName });
    return { certificatePem: certPem, keyPem: new Secret(keyPem) };
  }

  const loginAs = (own: ClientCertificate, method: 'cert' | 'spiffe' = 'cert'): LoginRequest => ({
    method,
    mount: method,
    role: 'app',
    certificate: own,
  });

  async function start(t: TestContext, script: Parameters<typeof startScripted>[1]) {
    const server = await startScripted(t, script, tls);
    return { server, ...makeClient(t, server.address, { ca: () => ca.caPem }) };
  }

  test('presents it from then on, until the next login', async (t) => {
    const { server, client } = await start(t, () => loggedIn());
    await client.login(loginAs(certificate('one')), NEVER);
    await client.renewToken(TOKEN, NEVER);
    await client.login(loginAs(certificate('two')), NEVER);
    await client.renewToken(TOKEN, NEVER);
    assert.deepEqual(
      server.requests.map((request) => request.clientName),
      ['one', 'one', 'two', 'two'],
    );
    assert.deepEqual(server.requests[0]?.json, { name: 'app' });
  });

  test('by the method spiffe names its type, and leaves the others to the certificate that is presented', async (t) => {
    const { server, client } = await start(t, () => loggedIn());
    client.present(certificate('one'));
    await client.login(loginAs(certificate('of the login'), 'spiffe'), NEVER);
    await client.renewToken(TOKEN, NEVER);
    client.present(certificate('two'));
    await client.renewToken(TOKEN, NEVER);
    assert.deepEqual(
      server.requests.map((request) => request.clientName),
      ['of the login', 'one', 'two'],
    );
    assert.deepEqual(server.requests[0]?.json, { role: 'app', type: 'cert' });
    assert.ok(server.requests.every(({ headers }) => headers['authorization'] === undefined));
  });

  test('by the method spiffe that Vault denies says nothing about a bearer token', async (t) => {
    for (const [status, text, reason] of [
      [403, 'permission denied', /mount does not exist/],
      [400, 'tls connection required', /certificate matches no role/],
    ] as const) {
      const { client } = await start(t, inOrder(refused(status, text)));
      const login = client.login(loginAs(certificate('one'), 'spiffe'), NEVER);
      const error = await failure(login, 'ERR_VAULT_LOGIN_REFUSED');
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /JWT-SVID/);
    }
  });

  test('that is rejected leaves the one before in place', async (t) => {
    const refusal = refused(400, 'no chain matching all constraints could be found');
    const { server, client } = await start(t, inOrder(loggedIn(), refusal, loggedIn()));
    await client.login(loginAs(certificate('one')), NEVER);
    await failure(client.login(loginAs(certificate('two')), NEVER), 'ERR_VAULT_LOGIN_REFUSED');
    await client.renewToken(TOKEN, NEVER);
    assert.deepEqual(
      server.requests.map((request) => request.clientName),
      ['one', 'two', 'one'],
    );
  });

  test('that does not fit its key is a TLS error', async (t) => {
    const { client } = await start(t, inOrder());
    const request = { ...certificate('one'), keyPem: certificate('two').keyPem };
    await failure(client.login(loginAs(request), NEVER), 'ERR_VAULT_TLS');
  });

  test('that is not PEM is a TLS error without its text', async (t) => {
    const { client } = await start(t, inOrder());
    const request = { ...certificate('one'), keyPem: new Secret(PLANTED.value) };
    const error = await failure(client.login(loginAs(request), NEVER), 'ERR_VAULT_TLS');
    assert.match(error.message, /not valid/);
  });
});
