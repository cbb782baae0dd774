/**
 * Key stores for Java: of certificates that the real Vault issues, and of SVIDs of the real SPIRE, read back by OpenSSL, and by Java
 * where it is installed.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { AgentBench } from '../helpers/agent-process.ts';
import { keytoolList, opensslInfo, skipKeytool, skipOpenssl } from '../helpers/keystore-readers.ts';
import { startRealWorld } from '../helpers/real-world.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';
const PASSWORD = 'planted-by-key-stores';

const POLICY = [
  'path "pki/issue/*" { capabilities = ["update"] }',
  'path "secret/*" { capabilities = ["read"] }',
].join('\n');

/** A store of a certificate of this role of the PKI engine, with the password from Vault. */
function storeOf(role: string, call: string): string {
  const store = `{{${call} password=(secret "secret/store#password")}}`;
  return `{{#with (pki "pki/issue/${role}" common_name="web.example.org")}}${store}{{/with}}`;
}

const FILES = [
  { name: 'ec', template: storeOf('ec', 'pkcs12 private_key certificate ca_chain') },
  { name: 'rsa', template: storeOf('rsa', 'pkcs12 private_key certificate ca_chain') },
  { name: 'trust', template: storeOf('ec', 'pkcs12Trust ca_chain alias="vault"') },
];

suite('key stores', () => {
  const all = new AsyncDisposableStack();
  let bench: AgentBench;

  before(async () => {
    const world = all.use(
      await startRealWorld({ spiffeId: SPIFFE_ID, role: 'web', policy: POLICY }),
    );
    const { vault } = world;
    await vault.write('secret/data/store', { data: { password: PASSWORD } });
    await vault.write('sys/mounts/pki', { type: 'pki' });
    await vault.write('pki/root/generate/internal', { common_name: 'test CA', ttl: '24h' });
    for (const type of ['ec', 'rsa']) {
      await vault.write(`pki/roles/${type}`, { allow_any_name: true, ttl: '1h', key_type: type });
    }
    bench = all.use(await AgentBench.create());
    const document = {
      ...world.servers,
      files: FILES,
      x509Svid: { format: 'pkcs12' },
      initDeadline: '30s',
    };
    const agent = await bench.start(document, ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.ok(!agent.output.includes(PASSWORD));
  });

  after(() => all.disposeAsync());

  /** Path and password of a store. */
  const store = (name: string): readonly [string, string] => [
    join(bench.output, name),
    name.endsWith('.p12') ? 'changeit' : PASSWORD,
  ];

  test('are read by OpenSSL', { skip: skipOpenssl }, async () => {
    for (const [name, certificates] of [
      ['ec', 2],
      ['rsa', 2],
      ['svid.p12', 1],
    ] as const) {
      const info = await opensslInfo(...store(name));
      assert.equal(info.match(/BEGIN CERTIFICATE/g)?.length, certificates, name);
      assert.match(info, /BEGIN PRIVATE KEY/);
    }
    for (const name of ['trust', 'bundle.p12']) {
      const info = await opensslInfo(...store(name));
      assert.match(info, /BEGIN CERTIFICATE/);
      assert.doesNotMatch(info, /PRIVATE KEY/);
    }
    await assert.rejects(opensslInfo(store('ec')[0], 'changeit'), /invalid password/);
  });

  test('are read by Java', { skip: skipKeytool }, async () => {
    for (const [name, length] of [
      ['ec', 2],
      ['rsa', 2],
      ['svid.p12', 1],
    ] as const) {
      const text = await keytoolList(...store(name));
      assert.match(
        text,
        new RegExp(`PrivateKeyEntry\nCertificate chain length: ${length}\n`),
        name,
      );
    }
    assert.match(await keytoolList(...store('trust')), /Alias name: vault\n[^]*trustedCertEntry/);
    const bundle = await keytoolList(...store('bundle.p12'));
    assert.match(bundle, /trustedCertEntry[^]*URIName: spiffe:\/\/example\.org/);
  });
});
