import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { startBench, type Bench, text } from './client.ts';

async function startWithPki(): Promise<Bench> {
  const bench = await startBench();
  await bench.vault.write('sys/mounts/pki', { type: 'pki', config: { max_lease_ttl: '8760h' } });
  await bench.vault.write('pki/root/generate/internal', {
    common_name: 'example.org',
    ttl: '8760h',
  });
  await bench.vault.write('pki/roles/web', {
    allowed_domains: 'example.org',
    allow_subdomains: true,
    max_ttl: '72h',
    key_type: 'ec',
  });
  return bench;
}

test('an issued certificate is real and comes with its key and its chain', async () => {
  await using bench = await startWithPki();
  const { status, body } = await bench.root('POST', 'pki/issue/web', {
    common_name: 'a.example.org',
    alt_names: 'b.example.org',
    ip_sans: '127.0.0.1',
    ttl: '1h',
  });
  assert.equal(status, 200);
  assert.deepEqual([body['lease_id'], body['lease_duration'], body['mount_type']], ['', 0, 'pki']);
  const data = body['data'];
  assert.deepEqual(Object.keys(data ?? {}), [
    'ca_chain',
    'certificate',
    'expiration',
    'issuing_ca',
    'private_key',
    'private_key_type',
    'serial_number',
  ]);
  const certificate = new X509Certificate(text(data?.['certificate']));
  const authority = new X509Certificate(text(data?.['issuing_ca']));
  assert.ok(certificate.verify(authority.publicKey) && certificate.checkIssued(authority));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(text(data?.['private_key']))));
  assert.match(text(data?.['private_key']), /^-----BEGIN EC PRIVATE KEY-----/);
  assert.equal(certificate.subject, 'CN=a.example.org');
  assert.equal(
    certificate.subjectAltName,
    'DNS:a.example.org, DNS:b.example.org, IP Address:127.0.0.1',
  );
  const endsAt = bench.clock.now() / 1000 + 3600;
  assert.equal(data?.['expiration'], endsAt);
  assert.equal(certificate.validToDate.getTime() / 1000, endsAt);
  const serial = certificate.serialNumber.toLowerCase().match(/../g)?.join(':');
  assert.equal(data['serial_number'], serial);
  const listed = await bench.root('GET', 'pki/certs?list=true');
  assert.equal(Object.keys(listed.body['data']?.['keys'] ?? {}).length, 2);
});

test('the maximum of the role wins over a longer wish', async () => {
  await using bench = await startWithPki();
  const body = { common_name: 'a.example.org', ttl: '100h', private_key_format: 'pkcs8' };
  const answer = await bench.root('POST', 'pki/issue/web', body);
  assert.equal(answer.body['data']?.['expiration'], bench.clock.now() / 1000 + 72 * 3600);
  assert.deepEqual(answer.body['warnings'], [
    'TTL "100h0m0s" is longer than permitted maxTTL "72h0m0s", so maxTTL is being used',
  ]);
  assert.match(text(answer.body['data']['private_key']), /^-----BEGIN PRIVATE KEY-----/);
});

test('with generate_lease a certificate has a lease that cannot be renewed', async () => {
  await using bench = await startWithPki();
  const role = await bench.root('POST', 'pki/roles/web', { generate_lease: true });
  assert.equal(role.body['data']?.['generate_lease'], true);
  const { body } = await bench.root('POST', 'pki/issue/web', {
    common_name: 'a.example.org',
    ttl: '1h',
  });
  assert.match(text(body['lease_id']), /^pki\/issue\/web\//);
  assert.deepEqual([body['renewable'], body['lease_duration']], [false, 3600]);
  const renewal = await bench.root('PUT', 'sys/leases/renew', { lease_id: body['lease_id'] });
  assert.deepEqual(renewal.body['errors'], ['lease is not renewable']);
});

test('names and times that are refused', async () => {
  await using bench = await startWithPki();
  const refusals: [string, object, string][] = [
    ['nope', { common_name: 'a' }, 'unknown role: nope'],
    ['web', { common_name: 'evil.com' }, 'common name evil.com not allowed by this role'],
    ['web', { common_name: 'example.org' }, 'common name example.org not allowed by this role'],
    [
      'web',
      { common_name: 'a.example.org', alt_names: 'evil.com' },
      'subject alternate name evil.com not allowed by this role',
    ],
    [
      'web',
      { common_name: 'a.example.org', uri_sans: 'spiffe://x/y' },
      'URI Subject Alternative Names are not allowed in this role, but were provided via the API',
    ],
    [
      'web',
      { common_name: 'a.example.org', ip_sans: 'x' },
      'the value "x" is not a valid IP address',
    ],
  ];
  for (const [role, body, text] of refusals) {
    const answer = await bench.root('POST', `pki/issue/${role}`, body);
    assert.deepEqual([answer.status, answer.body['errors']], [400, [text]]);
  }
  await bench.clock.advance(8759 * 3_600_000);
  const late = await bench.root('POST', 'pki/issue/web', { common_name: 'a.example.org' });
  assert.match(text(late.body['errors']), /beyond the expiration of the CA certificate/);
  assert.equal((await bench.root('GET', 'pki/issue/web')).status, 405);
});

test('the authority is readable by anybody', async () => {
  await using bench = await startWithPki();
  const { text: pem, headers } = await bench.call('GET', 'pki/ca/pem');
  assert.match(pem, /^-----BEGIN CERTIFICATE-----/);
  assert.equal(headers.get('content-type'), 'application/pem-certificate-chain');
  const { body } = await bench.call('GET', 'pki/cert/ca');
  assert.equal(body['data']?.['certificate'], pem);
});
