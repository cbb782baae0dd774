import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createX509Printer } from '../../../src/agent/x509-files.ts';
import type { X509Files } from '../../../src/agent/index.ts';
import { Secret } from '../../../src/core/index.ts';
import { FIXED_CERTIFICATE, FIXED_KEY } from '../../helpers/every-template.ts';

const SVID: X509Files = {
  spiffeId: 'spiffe://example.org/web',
  svid: FIXED_CERTIFICATE,
  key: new Secret(FIXED_KEY),
  bundle: FIXED_CERTIFICATE,
  federated: [{ trustDomain: 'partner.example', pem: FIXED_CERTIFICATE }],
  expiresAtMs: 0,
};

test('PEM is printed as it is', () => {
  const printed = (['svid', 'key', 'bundle'] as const).map((part) =>
    createX509Printer({ kind: 'x509-svid', part }).print(SVID),
  );
  assert.deepEqual(printed, [FIXED_CERTIFICATE, FIXED_KEY, FIXED_CERTIFICATE]);
});

test('a PKCS#12 file is made once for an SVID, and again for the next one', () => {
  for (const part of ['svid', 'bundle'] as const) {
    const { print } = createX509Printer({ kind: 'x509-svid', part, password: 'changeit' });
    const bytes = print(SVID);
    assert.equal(print(SVID), bytes, 'the same object');
    const next = print({ ...SVID });
    assert.notEqual(next, bytes);
    assert.deepEqual(next, bytes);
  }
});

test('what cannot be in a key store is an error that names no part of it', () => {
  const { print } = createX509Printer({ kind: 'x509-svid', part: 'svid', password: 'changeit' });
  const broken = { ...SVID, key: new Secret('planted') };
  assert.throws(
    () => print(broken),
    (error: Error & { code?: unknown }) => {
      assert.equal(error.code, 'ERR_SPIFFE_SVID_INVALID');
      assert.match(
        error.message,
        /cannot be written as PKCS#12: the private key is not a PEM text/,
      );
      assert.ok(!error.message.includes('planted'));
      return true;
    },
  );
});
