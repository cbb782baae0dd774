import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { createAuthority, createTestCa } from '../../../../src/dev/ca/index.ts';
import { FakeClock } from '../../../helpers/fake-clock.ts';

test('a server certificate names what it is for and when', () => {
  const clock = new FakeClock();
  const ca = createTestCa(clock);
  const { certPem, keyPem } = ca.issue({
    dnsNames: ['vault.test'],
    ips: ['127.0.0.1', '::1'],
    ttlMs: 60_000,
    uris: ['spiffe://example.org/x'],
    commonName: 'vault',
  });
  const certificate = new X509Certificate(certPem);
  assert.equal(certificate.checkHost('vault.test'), 'vault.test');
  assert.equal(certificate.checkHost('other.test'), undefined);
  assert.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1');
  assert.equal(certificate.checkIP('::1'), '::1');
  assert.equal(certificate.subject, 'CN=vault');
  assert.match(certificate.subjectAltName ?? '', /URI:spiffe:\/\/example.org\/x/);
  assert.equal(certificate.validToDate.getTime(), clock.now() + 60_000);
  assert.ok(certificate.checkPrivateKey(createPrivateKey(keyPem)));
  const authority = new X509Certificate(ca.caPem);
  assert.ok(authority.ca && !certificate.ca);
  assert.ok(certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
});

test('a TLS client that trusts the authority trusts its servers, and no others', async (t) => {
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue();
  const server = createServer({ cert: certPem, key: keyPem }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const options = { port, host: '127.0.0.1', servername: 'localhost' };
  const socket = connect({ ...options, ca: ca.caPem });
  await once(socket, 'secureConnect');
  socket.destroy();
  const stranger = connect({ ...options, ca: createTestCa().caPem });
  await assert.rejects(once(stranger, 'secureConnect'), { code: /CERT|UNABLE/ });
});

test('times from 2050 on are read as they were written', () => {
  const nowMs = Date.UTC(2050, 5, 1);
  const { caDer } = createAuthority({ nowMs, ttlMs: 1000 });
  assert.equal(new X509Certificate(caDer).validToDate.getTime(), nowMs + 1000);
});

test('other IPv6 addresses are refused', () => {
  assert.throws(() => createTestCa().issue({ ips: ['fe80::1'] }), TypeError);
});
