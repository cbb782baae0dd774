import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import {
  createAuthority,
  createTestCa,
  type IssuedCertificate,
} from '../../../../src/dev/ca/index.ts';
import { createTokenIssuer } from '../../../../src/dev/tokens/index.ts';
import { startOidcProvider } from '../../../../src/dev/workload-api/index.ts';
import { exportSPKI, importJWK } from 'jose';
import { FakeClock } from '../../../helpers/fake-clock.ts';
import { startBench, type Answer, text } from './client.ts';

const HOUR_MS = 3_600_000;

test('Kubernetes: the account, its namespace, the audience and the time must fit', async () => {
  await using bench = await startBench();
  const issuer = createTokenIssuer(bench.clock);
  const [jwk] = issuer.jwks().keys;
  const key = await importJWK({ ...jwk }, 'ES256');
  assert.ok(!(key instanceof Uint8Array));
  const { vault } = bench;
  await vault.write('sys/auth/kubernetes', { type: 'kubernetes' });
  const login = (jwt: string, role = 'web'): Promise<Answer> =>
    bench.call('POST', 'auth/kubernetes/login', { body: { role, jwt } });
  const mint = (name: string, namespace: string, more: object = {}): Promise<string> =>
    issuer.mint({
      subject: `system:serviceaccount:${namespace}:${name}`,
      audience: 'vault',
      claims: { 'kubernetes.io': { namespace, serviceaccount: { name, uid: 'u-1' } }, ...more },
    });
  await vault.write('auth/kubernetes/role/web', {
    bound_service_account_names: 'web',
    bound_service_account_namespaces: ['team-*'],
    audience: 'vault',
    token_ttl: '1h',
  });
  assert.equal((await login(await mint('web', 'team-a'))).status, 500);
  await vault.write('auth/kubernetes/config', {
    kubernetes_host: 'https://127.0.0.1:1',
    pem_keys: [await exportSPKI(key)],
  });
  const good = await login(await mint('web', 'team-a'));
  assert.equal(good.body['auth']?.['lease_duration'], 3600);
  assert.deepEqual(good.body['auth']['metadata'], {
    role: 'web',
    service_account_name: 'web',
    service_account_namespace: 'team-a',
    service_account_secret_name: '',
    service_account_uid: 'u-1',
  });
  const past = bench.clock.now() / 1000 - 100;
  const refusals: [Promise<Answer>, number, string][] = [
    [login(await mint('web', 'default')), 403, 'namespace not authorized'],
    [login(await mint('other', 'team-a')), 403, 'service account name not authorized'],
    [
      login(await mint('web', 'team-a', { aud: ['x'] })),
      403,
      'invalid audience (aud) claim: audience claim does not match any expected audience',
    ],
    [
      login(await mint('web', 'team-a', { exp: past })),
      403,
      'invalid expiration time (exp) claim: token is expired',
    ],
    [login('garbage'), 403, 'permission denied'],
    [login(''), 400, 'missing jwt'],
    [login('x', 'nope'), 400, 'invalid role name "nope"'],
    [login('x', ''), 400, 'missing role'],
  ];
  for (const [answer, status, text] of refusals) {
    const { status: actual, body } = await answer;
    assert.deepEqual([actual, body['errors']], [status, [text]]);
  }
});

test('Kubernetes: keys are fetched from the API server', async () => {
  await using bench = await startBench();
  const issuer = createTokenIssuer(bench.clock);
  await using api = await startOidcProvider({ jwks: () => issuer.jwks() });
  await bench.vault.write('sys/auth/k8s', { type: 'kubernetes' });
  await bench.vault.write('auth/k8s/config', { kubernetes_host: api.url });
  const warnings = await bench.root('POST', 'auth/k8s/role/any', {
    bound_service_account_names: '*',
    bound_service_account_namespaces: '*',
  });
  assert.match(text(warnings.body['warnings']), /does not have an audience configured/);
  const body = { role: 'any', jwt: await issuer.mint({ subject: 's', audience: 'a' }) };
  await bench.call('POST', 'auth/k8s/login', { body });
  assert.equal(api.requests.get('/openid/v1/jwks'), 1);
});

test('SPIFFE: a JWT-SVID in the header Authorization, roles by pattern', async () => {
  await using bench = await startBench();
  const issuer = createTokenIssuer(bench.clock);
  const { vault } = bench;
  await vault.write('sys/auth/spiffe', { type: 'spiffe' });
  const config = {
    trust_domain: 'example.org',
    profile: 'static',
    bundle: JSON.stringify(issuer.jwks()),
  };
  await vault.write('auth/spiffe/config', config);
  await vault.write('auth/spiffe/role/web', {
    workload_id_patterns: ['ns/+/sa/web', 'batch/*'],
    token_ttl: '1h',
  });
  const login = async (subject: string, body: object = {}): Promise<Answer> => {
    const jwt = await issuer.mint({ subject, audience: 'vault' });
    const headers = { authorization: `Bearer ${jwt}` };
    return await bench.call('POST', 'auth/spiffe/login', { body, headers });
  };
  const web = 'spiffe://example.org/ns/demo/sa/web';
  assert.equal((await login(web)).status, 400, 'no audience is configured yet');
  await vault.write('auth/spiffe/config', { audience: 'vault' });
  const { body } = await login(web);
  assert.deepEqual(body['auth']?.['metadata'], { role: 'web', spiffe_id: web });
  assert.equal((await login('spiffe://example.org/batch/1/2', { role: 'web' })).status, 200);
  assert.equal((await login('spiffe://example.org/ns/demo/sa/other')).status, 400);
  assert.equal((await login('spiffe://example.com/ns/demo/sa/web')).status, 400);
  assert.equal((await login(web, { role: 'none' })).status, 400);
  assert.equal((await bench.call('POST', 'auth/spiffe/login', { body: {} })).status, 400);
  const wrong = { workload_id_patterns: 'a/*/b' };
  assert.equal((await bench.root('POST', 'auth/spiffe/role/wrong', wrong)).status, 400);
});

test('certificate: the chain and the names decide, and renewal asks for the certificate again', async () => {
  const clock = new FakeClock();
  const server = createTestCa();
  await using bench = await startBench({ clock, tls: server.issue() });
  const { vault } = bench;
  const ca = createAuthority({ nowMs: clock.now(), ttlMs: 24 * HOUR_MS });
  const stranger = createAuthority({ nowMs: clock.now(), ttlMs: 24 * HOUR_MS });
  await vault.write('sys/auth/cert', { type: 'cert' });
  await vault.write('auth/cert/certs/web', {
    certificate: ca.caPem,
    allowed_uri_sans: 'spiffe://example.org/ns/demo/*',
    token_ttl: '1h',
  });
  const leaf = (name = 'web', from = ca): IssuedCertificate =>
    from.issue({
      commonName: name,
      uris: [`spiffe://example.org/ns/demo/sa/${name}`],
      nowMs: clock.now(),
      ttlMs: HOUR_MS,
    });
  const call = (path: string, more: Call = {}): Promise<Answer> =>
    callOverTls(vault.address, server.caPem, path, more);
  const own = leaf();
  const good = await call('auth/cert/login', { certificate: own });
  assert.equal(good.status, 200);
  assert.equal(good.body['auth']?.['metadata']?.['cert_name'], 'web');
  assert.equal(good.body['auth']['metadata']['common_name'], 'web');
  const token = text(good.body['auth']['client_token']);

  const noMatch = 'failed to match all constraints for this login certificate';
  const noName = ca.issue({
    uris: ['spiffe://example.org/ns/demo/sa/web'],
    nowMs: clock.now(),
    ttlMs: HOUR_MS,
  });
  const elsewhere = ca.issue({
    commonName: 'web',
    uris: ['spiffe://example.org/ns/other/sa/web'],
    nowMs: clock.now(),
    ttlMs: HOUR_MS,
  });
  const refusals: [Call, number, string][] = [
    [{}, 400, 'client certificate must be supplied'],
    [{ certificate: leaf('web', stranger) }, 400, noMatch],
    [{ certificate: elsewhere }, 400, noMatch],
    [{ certificate: own, body: { name: 'nope' } }, 400, noMatch],
    [{ certificate: noName }, 500, 'missing name in alias'],
  ];
  for (const [more, status, text] of refusals) {
    const { status: actual, body } = await call('auth/cert/login', more);
    assert.deepEqual([actual, body['errors']], [status, [text]]);
  }

  const renew = async (certificate?: IssuedCertificate): Promise<number> =>
    (
      await call('auth/token/renew-self', {
        token,
        ...(certificate === undefined ? {} : { certificate }),
      })
    ).status;
  assert.equal(await renew(own), 200);
  assert.equal(await renew(leaf()), 200, 'a rotated certificate of the same authority');
  assert.equal(await renew(leaf('web', stranger)), 400);
  assert.equal(await renew(), 400);
  await vault.write('auth/cert/certs/web', { certificate: ca.caPem + stranger.caPem });
  assert.equal(await renew(leaf('web', stranger)), 500, 'neither its key nor its authority');
  await clock.advance(HOUR_MS - 1000);
  assert.equal(await renew(leaf()), 200);
  await clock.advance(2000);
  const expired = await call('auth/cert/login', { certificate: own });
  assert.match(text(expired.body['errors']), /certificate has expired or is not yet valid/);
});

test('certificate: there is no such login without TLS, and no role without a certificate', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/auth/cert', { type: 'cert' });
  const login = await bench.call('POST', 'auth/cert/login', { body: {} });
  assert.deepEqual([login.status, login.body['errors']], [400, ['tls connection required']]);
  const role = await bench.root('POST', 'auth/cert/certs/x', { certificate: 'garbage' });
  assert.deepEqual([role.status, role.body['errors']], [400, ['failed to parse certificate']]);
});

interface Call {
  readonly certificate?: IssuedCertificate;
  readonly token?: string;
  readonly body?: object;
}

async function callOverTls(
  address: string,
  ca: string,
  path: string,
  { certificate, token, body = {} }: Call,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const call = request(`${address}/v1/${path}`, {
    method: 'POST',
    ca,
    agent: false,
    headers: token === undefined ? {} : { 'x-vault-token': token },
    ...(certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem }),
  });
  call.on('error', reject);
  call.on('response', (response) => {
    let text = '';
    response.on('data', (part: Buffer) => (text += part.toString()));
    response.on('end', () => {
      const status = response.statusCode ?? 0;
      const parsed = text === '' ? {} : (JSON.parse(text) as Answer['body']);
      resolve({ status, headers: new Headers(), text, body: parsed });
    });
  });
  call.end(JSON.stringify(body));
  return await promise;
}
