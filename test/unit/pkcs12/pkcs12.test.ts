import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { connect, createSecureContext, createServer, type TLSSocket } from 'node:tls';
import { createAuthority, type IssuedCertificate } from '../../../src/dev/ca/index.ts';
import { keyStore, MAX_CERTIFICATES, Pkcs12Error, trustStore } from '../../../src/pkcs12/index.ts';
import { FIXED_CERTIFICATE, FIXED_KEY } from '../../helpers/every-template.ts';
import {
  keytoolList,
  opensslInfo,
  skipKeytool,
  skipOpenssl,
} from '../../helpers/keystore-readers.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const NOW_MS = Date.now();
const OPTIONS = { password: 'changeit', alias: 'certificate' };
const authority = createAuthority({ commonName: 'root', nowMs: NOW_MS, ttlMs: 3_600_000 });

function issue(): IssuedCertificate {
  const uris = ['spiffe://example.org/web'];
  return authority.issue({ uris, dnsNames: ['localhost'], nowMs: NOW_MS, ttlMs: 600_000 });
}

function fileOf(t: TestContext, bytes: Uint8Array): string {
  const path = join(tempDirectory(t), 'store.p12');
  writeFileSync(path, bytes);
  return path;
}

const certificatesIn = (text: string): readonly string[] =>
  (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (pem) => new X509Certificate(pem).fingerprint256,
  );
const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;

suite('a key store', () => {
  test('serves TLS in Node', async () => {
    const { certPem, keyPem } = issue();
    const pfx = keyStore(keyPem, [certPem, authority.caPem], OPTIONS);
    const server = createServer({ pfx, passphrase: OPTIONS.password }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const socket: TLSSocket = connect({
      ...address,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: authority.caPem,
    });
    await once(socket, 'secureConnect');
    assert.equal(socket.getPeerX509Certificate()?.fingerprint256, fingerprint(certPem));
    socket.destroy();
    server.close();
    await once(server, 'close');
    assert.throws(() => createSecureContext({ pfx, passphrase: 'other' }), /mac verify/i);
    const broken = Buffer.from(pfx);
    broken[60] = (broken[60] ?? 0) ^ 1;
    assert.throws(() => createSecureContext({ pfx: broken, passphrase: OPTIONS.password }));
  });

  test('is read by OpenSSL, with the algorithms of today', { skip: skipOpenssl }, async (t) => {
    const { certPem, keyPem } = issue();
    const path = fileOf(t, keyStore(keyPem, [certPem, authority.caPem], OPTIONS));
    const info = await opensslInfo(path, OPTIONS.password);
    assert.match(info, /MAC: sha256, Iteration 2048/);
    const ciphers = info.match(/PBES2, PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256/g);
    assert.equal(ciphers?.length, 2, 'of the key and of the certificates');
    assert.equal(info.match(/friendlyName: certificate\n/g)?.length, 2);
    assert.deepEqual(certificatesIn(info), [certPem, authority.caPem].map(fingerprint));
    const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(info)?.[0] ?? '';
    assert.ok(createPrivateKey(key).equals(createPrivateKey(keyPem)));
    await assert.rejects(opensslInfo(path, 'other'), /invalid password/);
  });

  test('is read by Java', { skip: skipKeytool }, async (t) => {
    const { certPem, keyPem } = issue();
    const path = fileOf(t, keyStore(keyPem, [certPem, authority.caPem], OPTIONS));
    const text = await keytoolList(path, OPTIONS.password);
    assert.match(text, /contains 1 entry[^]*Alias name: certificate\n/);
    assert.match(text, /Entry type: PrivateKeyEntry\nCertificate chain length: 2\n/);
    assert.ok(text.includes(fingerprint(certPem)) && text.includes(fingerprint(authority.caPem)));
    await assert.rejects(keytoolList(path, 'other1'));
    const options = { password: 'a "b" $c\\', alias: 'web' };
    const other = fileOf(t, keyStore(keyPem, [certPem], options));
    assert.match(await keytoolList(other, options.password), /Alias name: web\n/);
  });

  test('takes every kind of key', () => {
    for (const pem of [
      issue().keyPem,
      createPrivateKey(issue().keyPem).export({ format: 'pem', type: 'sec1' }),
      generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
        format: 'pem',
        type: 'pkcs1',
      }),
    ]) {
      assert.throws(() => keyStore(pem, [FIXED_CERTIFICATE], OPTIONS), {
        message: 'the private key is not that of the first certificate',
      });
    }
    const { certPem, keyPem } = issue();
    const sec1 = createPrivateKey(keyPem).export({ format: 'pem', type: 'sec1' });
    assert.deepEqual(keyStore(sec1, [certPem], OPTIONS), keyStore(keyPem, [certPem], OPTIONS));
  });

  test('has the same bytes for the same input, and nothing in common with that of another one', () => {
    const first = keyStore(FIXED_KEY, [FIXED_CERTIFICATE], OPTIONS);
    assert.deepEqual(keyStore(FIXED_KEY, [FIXED_CERTIFICATE], OPTIONS), first);
    assert.deepEqual(
      keyStore(
        FIXED_KEY,
        [FIXED_CERTIFICATE, `${FIXED_CERTIFICATE}\n${FIXED_CERTIFICATE}`],
        OPTIONS,
      ),
      first,
      'a repeated certificate is written once',
    );
    const others = [
      keyStore(FIXED_KEY, [FIXED_CERTIFICATE, authority.caPem], OPTIONS),
      keyStore(FIXED_KEY, [FIXED_CERTIFICATE], { ...OPTIONS, alias: 'other' }),
    ];
    for (const other of others) {
      assert.deepEqual(
        saltsOf(other).filter((salt) => saltsOf(first).includes(salt)),
        [],
      );
    }
    assert.equal(new Set(saltsOf(first)).size, 5, 'salts and vectors');
    const { password, ...named } = OPTIONS;
    const second = keyStore(FIXED_KEY, [FIXED_CERTIFICATE], { ...named, password: `${password}2` });
    assert.ok(!second.equals(first));
  });

  test('rejects what it cannot write, without a part of it', () => {
    const planted = 'planted-text';
    const broken = FIXED_CERTIFICATE.replace('MIIB', 'AAAA');
    for (const [message, write] of [
      [/not a PEM text/, () => keyStore(planted, [FIXED_CERTIFICATE], OPTIONS)],
      [/not a PEM text/, () => keyStore(FIXED_CERTIFICATE, [FIXED_CERTIFICATE], OPTIONS)],
      [/no certificate/, () => keyStore(FIXED_KEY, [planted], OPTIONS)],
      [/no certificate/, () => trustStore([], OPTIONS)],
      [/cannot be read/, () => trustStore([broken], OPTIONS)],
      [/not that of the first/, () => keyStore(FIXED_KEY, [authority.caPem], OPTIONS)],
      [/must not be empty/, () => trustStore([FIXED_CERTIFICATE], { ...OPTIONS, password: '' })],
      [/NUL/, () => keyStore(FIXED_KEY, [FIXED_CERTIFICATE], { ...OPTIONS, password: 'a\0b' })],
      [
        /more than 500/,
        () => trustStore([FIXED_CERTIFICATE.repeat(MAX_CERTIFICATES + 1)], OPTIONS),
      ],
    ] as const) {
      assert.throws(write, (error: unknown) => {
        assert.ok(error instanceof Pkcs12Error);
        assert.match(error.message, message);
        assert.ok(!error.message.includes(planted));
        return true;
      });
    }
  });
});

/** The octet strings of 16 octets, in hexadecimal: salts and vectors. */
function saltsOf(store: Buffer): readonly string[] {
  const starts = [...store.keys()].filter((at) => store[at] === 4 && store[at + 1] === 16);
  return starts.map((at) => store.toString('hex', at + 2, at + 18));
}

suite('a trust store', () => {
  const authorities = Array.from({ length: 40 }, (_, index) =>
    createAuthority({ commonName: `root ${index}`, nowMs: NOW_MS, ttlMs: 3_600_000 }),
  ).map(({ caPem }) => caPem);
  const options = { password: 'changeit', alias: 'ca' };

  test('is read by OpenSSL', { skip: skipOpenssl }, async (t) => {
    const path = fileOf(t, trustStore(authorities, options));
    const info = await opensslInfo(path, options.password);
    assert.deepEqual(certificatesIn(info), authorities.map(fingerprint));
    assert.doesNotMatch(info, /PRIVATE KEY/);
  });

  test('is trusted by Java', { skip: skipKeytool }, async (t) => {
    const path = fileOf(t, trustStore([authorities.join('')], options));
    const text = await keytoolList(path, options.password);
    assert.equal(text.match(/Entry type: trustedCertEntry/g)?.length, authorities.length);
    const aliases = [...text.matchAll(/Alias name: (.*)\n/g)].map(([, name]) => name);
    assert.deepEqual(
      aliases.toSorted(),
      authorities.map((_, index) => (index === 0 ? 'ca' : `ca-${index + 1}`)).toSorted(),
    );
  });

  test('has the same bytes for the same input', () => {
    assert.deepEqual(trustStore(authorities, options), trustStore([authorities.join('')], options));
  });
});
