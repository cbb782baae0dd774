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

test('key identifiers distinguish authorities of one name', () => {
  const validity = { nowMs: Date.UTC(2026, 0, 1), ttlMs: 60_000 };
  const [ours, theirs] = [createAuthority(validity), createAuthority(validity)];
  const certificate = new X509Certificate(ours.issue(validity).der);
  assert.equal(certificate.issuer, new X509Certificate(theirs.caDer).subject);
  assert.ok(certificate.checkIssued(new X509Certificate(ours.caDer)));
  assert.ok(!certificate.checkIssued(new X509Certificate(theirs.caDer)));
});

test('IPv6 addresses are named however they are written', () => {
  const ips = ['fe80::1', '2001:DB8:0:0:0:0:0:2', '::ffff:192.0.2.1'];
  const certificate = new X509Certificate(createTestCa().issue({ ips }).certPem);
  for (const ip of ips) assert.ok(certificate.checkIP(ip), ip);
  assert.equal(certificate.checkIP('fe80::2'), undefined);
});

for (const ip of ['', 'localhost', '127.0.0', '127.0.0.256', '127.0.0.1/8', 'fe80::1%eth0']) {
  test(`no certificate is issued for the address '${ip}'`, () => {
    assert.throws(() => createTestCa().issue({ ips: [ip] }), TypeError);
  });
}
