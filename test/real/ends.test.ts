/**
 * Values of the real Vault that tell their own end, what is not made again without a reason, and leases of tokens that are shorter
 * than they are. What was asked of Vault is counted in its audit log.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { AgentStatus } from '../../src/agent/index.ts';
import { AgentBench } from '../helpers/agent-process.ts';
import type { RealVault } from '../helpers/real-vault.ts';
import { startRealWorld, writeJwtRole, type RealWorld } from '../helpers/real-world.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';
const LOOK_MS = 250;
/** A public key to be signed, which belongs to nobody. */
const PUBLIC_KEY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDSg2wJ4b2NGtqQG0dcXv3WqYwTtJcmOgyA8Xj0dCkZB test';

const POLICY = [
  'path "identity/oidc/token/*" { capabilities = ["read"] }',
  'path "ssh/sign/web" { capabilities = ["update"] }',
  'path "pki/issue/web" { capabilities = ["update"] }',
  'path "pki/cert/ca" { capabilities = ["read"] }',
  'path "transit/encrypt/web" { capabilities = ["update"] }',
  'path "leased/*" { capabilities = ["read"] }',
  'path "auth/token/create" { capabilities = ["update"] }',
].join('\n');

let world: RealWorld;
let vault: RealVault;

before(async () => {
  const login = { role: 'web', policy: POLICY, more: { token_ttl: '1h' } };
  world = await startRealWorld({ spiffeId: SPIFFE_ID, ...login });
  ({ vault } = world);
  await role('brief', { token_ttl: '12s', token_max_ttl: '12s' });
  await role('batch', { token_type: 'batch', token_ttl: '20s' });

  await vault.write('identity/oidc/key/web', { allowed_client_ids: '*', verification_ttl: '24h' });
  await vault.write('identity/oidc/role/short', { key: 'web', ttl: '10s' });
  await vault.write('identity/oidc/role/long', { key: 'web', ttl: '12h' });
  await vault.write('sys/mounts/ssh', { type: 'ssh' });
  await vault.write('ssh/config/ca', { generate_signing_key: true });
  await vault.write('ssh/roles/web', {
    key_type: 'ca',
    allow_user_certificates: true,
    allowed_users: '*',
    default_user: 'web',
    ttl: '10s',
  });
  await vault.write('sys/mounts/pki', { type: 'pki' });
  await vault.write('pki/root/generate/internal', { common_name: 'test CA', ttl: '24h' });
  await vault.write('pki/roles/web', { allow_any_name: true, ttl: '10s' });
  await vault.write('sys/mounts/transit', { type: 'transit' });
  await vault.write('transit/keys/web');
  const options = { version: '1', leased_passthrough: 'true' };
  await vault.write('sys/mounts/leased', { type: 'kv', options });
  for (const name of ['a', 'b']) await vault.write(`leased/${name}`, { v: name, ttl: '1h' });
});

after(() => world[Symbol.asyncDispose]());

async function role(name: string, more: object): Promise<void> {
  await writeJwtRole(vault, name, { token_policies: 'web', ...more });
}

/** The part of a document that names the servers. */
function servers(name: string): object {
  return { ...world.servers, auth: { role: name } };
}

/** Looks at a file for a while; gives how often what is in it had ended, and how many values there were. */
async function watch(
  bench: AgentBench,
  file: string,
  { endOf, ms }: { readonly endOf: (text: string) => number; readonly ms: number },
): Promise<{ readonly ended: number; readonly values: number }> {
  const values = new Set<string>();
  let ended = 0;
  for (const until = Date.now() + ms; Date.now() < until;) {
    await delay(LOOK_MS);
    const text = await bench.file(file);
    values.add(text);
    if (endOf(text) <= Date.now()) ended += 1;
  }
  return { ended, values: values.size };
}

function endOfJwt(text: string): number {
  const [, payload = ''] = text.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { exp: number };
  return claims.exp * 1000;
}

/** Valid before is the second of the eight bytes that follow the key ID and one principal. */
function endOfSsh(text: string): number {
  const bytes = Buffer.from(text.split(' ')[1] ?? '', 'base64');
  const principal = Buffer.from([0, 0, 0, 7, 0, 0, 0, 3, ...Buffer.from('web')]);
  const at = bytes.indexOf(principal);
  assert.ok(at > 0, 'a certificate for the user');
  return Number(bytes.readBigUInt64BE(at + principal.length + 8)) * 1000;
}

const endOfPem = (text: string): number => new X509Certificate(text).validToDate.getTime();
const endOfDer = (text: string): number => endOfPem(pemOf(text));
const pemOf = (der: string): string =>
  `-----BEGIN CERTIFICATE-----\n${der}\n-----END CERTIFICATE-----\n`;

const issue = (more: string): string =>
  `{{secret "pki/issue/web#certificate" common_name="web.example.org" ${more}}}`;

const SHORT: readonly [string, string, (text: string) => number][] = [
  ['jwt', '{{secret "identity/oidc/token/short#token"}}', endOfJwt],
  ['ssh', `{{secret "ssh/sign/web#signed_key" public_key="${PUBLIC_KEY}"}}`, endOfSsh],
  ['pem', issue('format="pem"'), endOfPem],
  ['der', issue('format="der"'), endOfDer],
  ['bundle', issue('format="pem_bundle" private_key_format="pkcs8"'), endOfPem],
  [
    'pki',
    '{{#with (pki "pki/issue/web" common_name="pki.example.org")}}{{certificate}}{{/with}}',
    endOfPem,
  ],
];

suite('values that live ten seconds', () => {
  test('are replaced before their end for 40 s; the status shows it', async () => {
    await using bench = await AgentBench.create();
    const files = SHORT.map(([name, template]) => ({ name, template }));
    const agent = await bench.start({ ...servers('web'), listen: '127.0.0.1:0', files });
    await agent.logged(/files delivered/);
    const { secrets } = JSON.parse((await agent.get('/status')).body) as AgentStatus;
    for (const { secret, expires_in_seconds: left } of secrets) {
      assert.ok(left !== null && left > 0 && left <= 41, `${secret}: ${left} s`);
    }
    const results = await Promise.all(
      SHORT.map(
        async ([name, , endOf]) => [name, await watch(bench, name, { endOf, ms: 40_000 })] as const,
      ),
    );
    for (const [name, { ended, values }] of results) {
      assert.equal(ended, 0, name);
      assert.ok(values >= 4 && values <= 10, `${name}: ${values} values in 40 s`);
    }
  });
});

test('what lives long is not made again, at a refresh of two seconds of everything else', async () => {
  await using bench = await AgentBench.create();
  await vault.write('secret/data/app', { data: { v: 'one' } });
  await vault.write('sys/policies/acl/web', {
    policy: `${POLICY}\npath "secret/*" { capabilities = ["read"] }`,
  });
  const before = await counts();
  const agent = await bench.start({
    ...servers('web'),
    refresh: '2s',
    onChange: [],
    files: [
      { name: 'day', template: '{{secret "identity/oidc/token/long#token"}}' },
      { name: 'cipher', template: '{{secret "transit/encrypt/web#ciphertext" plaintext="YQ=="}}' },
      { name: 'kv', secret: 'secret/app#v' },
      { name: 'ca', secret: 'pki/cert/ca#certificate' },
    ],
  });
  await bench.until('kv', (text) => text === 'one');
  await delay(12_000);
  await vault.write('secret/data/app', { data: { v: 'two' } });
  await bench.until('kv', (text) => text === 'two');
  const after = await counts();
  assert.deepEqual(
    [after.long - before.long, after.encrypt - before.encrypt],
    [1, 1],
    agent.output,
  );
  assert.ok(after.ca - before.ca >= 4, 'a certificate that Vault holds is read again');
});

async function counts(): Promise<{ long: number; encrypt: number; ca: number }> {
  return {
    long: await vault.count('identity/oidc/token/long'),
    encrypt: await vault.count('transit/encrypt/web'),
    ca: await vault.count('pki/cert/ca'),
  };
}

test('batch tokens of 20 s: as many credentials as logins, one swap for two leases', async () => {
  const logins = await vault.count('auth/jwt/login');
  const reads = await vault.count('leased/');
  await using bench = await AgentBench.create();
  const agent = await bench.start({
    ...servers('batch'),
    files: ['a', 'b'].map((name) => ({ name, secret: `leased/${name}`, format: 'json' })),
  });
  await agent.logged(/files delivered/);
  await delay(70_000);
  const made = (await vault.count('auth/jwt/login')) - logins;
  const read = (await vault.count('leased/')) - reads;
  assert.ok(made >= 4 && made <= 7, `${made} logins`);
  assert.equal(read, 2 * made, agent.output);
});

test('a token that the token of the agent has made is alive although that is replaced', async () => {
  await using bench = await AgentBench.create();
  const template = '{{#with (secret "auth/token/create" ttl="1h")}}{{client_token}}{{/with}}';
  const agent = await bench.start({
    ...servers('brief'),
    files: [{ name: 'token', template }],
    revokeGrace: '1s',
  });
  await agent.logged(/files delivered/);
  const seen = new Set<string>();
  for (const until = Date.now() + 40_000; Date.now() < until;) {
    await delay(LOOK_MS);
    const token = await bench.file('token');
    seen.add(token);
    assert.equal(await vault.statusAs(token, 'auth/token/lookup-self'), 200);
  }
  assert.ok(seen.size >= 3 && seen.size <= 8, `${seen.size} tokens`);
});
