import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonPathOf, likelyJsonPathOf } from '../../../src/core/index.ts';

const SERIAL = '77:ec:a8';
const IN_JSON: readonly [path: string, inJson: string][] = [
  ['pki/ca', 'pki/cert/ca#certificate'],
  ['pki/ca/pem', 'pki/cert/ca#certificate'],
  ['team/pki/ca/pem', 'team/pki/cert/ca#certificate'],
  ['pki/ca_chain', 'pki/cert/ca_chain#certificate'],
  ['pki/crl', 'pki/cert/crl#certificate'],
  ['pki/crl/pem', 'pki/cert/crl#certificate'],
  ['pki/crl/delta', 'pki/cert/delta-crl#certificate'],
  ['pki/crl/delta/pem', 'pki/cert/delta-crl#certificate'],
  ['pki/unified-crl', 'pki/cert/unified-crl#certificate'],
  ['pki/unified-crl/delta/pem', 'pki/cert/unified-delta-crl#certificate'],
  ['pki/issuer/default/pem', 'pki/issuer/default/json#certificate'],
  ['pki/issuer/default/der', 'pki/issuer/default/json#certificate'],
  ['pki/issuer/default/crl/pem', 'pki/issuer/default/crl#crl'],
  ['pki/issuer/default/crl/delta/der', 'pki/issuer/default/crl/delta#crl'],
  [`pki/cert/${SERIAL}/raw`, `pki/cert/${SERIAL}#certificate`],
  ['pki/cert/ca/raw/pem', 'pki/cert/ca#certificate'],
  ['ssh-signer/public_key', 'ssh-signer/config/ca#public_key'],
];

for (const [path, inJson] of IN_JSON) {
  test(`${path} has its JSON at ${inJson}`, () => {
    assert.equal(jsonPathOf(path), inJson);
    assert.equal(likelyJsonPathOf(path), inJson);
    const [readable = ''] = inJson.split('#');
    assert.equal(jsonPathOf(readable), undefined, 'the remedy needs no remedy');
  });
}

for (const path of ['pki/issue/web', 'pki/cert/ca_chain', 'pki/issuer/x/crl', 'ca', 'public_key']) {
  test(`${path} is not such an endpoint`, () => assert.equal(jsonPathOf(path), undefined));
}

for (const path of ['kvv2/ca', 'secret/ca/pem', 'kv/apps/public_key', 'apps/web/ca', 'db/crl']) {
  test(`${path} is more likely a secret`, () => assert.equal(likelyJsonPathOf(path), undefined));
}
