import type { Validity } from '../../../src/contracts/index.ts';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { suite, test } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { classifyValidity, type LeaseFacts } from '../../../src/vault/validity.ts';

const NOW = Date.UTC(2026, 0, 1);
const STATIC: Validity = { kind: 'static' };
const certificate = createTestCa().issue().certPem;
const notBeforeMs = new X509Certificate(certificate).validFromDate.getTime();
const notAfterMs = new X509Certificate(certificate).validToDate.getTime();
const expiration = notBeforeMs / 1000 + 3600;
const expiresAtMs = expiration * 1000;

const TABLE: readonly [string, Partial<LeaseFacts>, Validity][] = [
  ['nothing said', {}, STATIC],
  ['KV v1: a duration without a lease', { leaseDurationMs: 2_764_800_000 }, STATIC],
  [
    'a lease',
    { leaseId: 'database/creds/a/1', leaseDurationMs: 60_000, renewable: true },
    { kind: 'lease', leaseId: 'database/creds/a/1', durationMs: 60_000, renewable: true },
  ],
  [
    'a leased certificate: the lease wins',
    { leaseId: 'pki/issue/a/1', leaseDurationMs: 60_000, data: { certificate, expiration } },
    { kind: 'lease', leaseId: 'pki/issue/a/1', durationMs: 60_000, renewable: false },
  ],
  [
    'a rotation period',
    { data: { ttl: 90, rotation_period: 3600, last_vault_rotation: '2026-01-01T00:00:00Z' } },
    { kind: 'rotation', ttlMs: 90_000 },
  ],
  [
    'a rotation schedule',
    { data: { ttl: 90, rotation_schedule: '0 0 * * SAT', rotation_window: 3600 } },
    { kind: 'rotation', ttlMs: 90_000 },
  ],
  [
    'a last rotation alone',
    { data: { ttl: 5, last_vault_rotation: '2026-01-01T00:00:00Z' } },
    { kind: 'rotation', ttlMs: 5000 },
  ],
  [
    'a rotation that is due',
    { data: { ttl: 0, rotation_period: 60 } },
    { kind: 'rotation', ttlMs: 0 },
  ],
  ['a rotation period without ttl', { data: { rotation_period: 60 } }, STATIC],
  ['a ttl alone', { data: { ttl: 60 } }, STATIC],
  [
    'a ttl without rotation',
    { data: { ttl: 60, rotation_period: 0, rotation_schedule: '' } },
    STATIC,
  ],
  [
    'a certificate',
    { data: { certificate, expiration } },
    { kind: 'expires', notBeforeMs, expiresAtMs },
  ],
  [
    'a certificate that cannot be read',
    { data: { certificate: 'MIIB…', expiration } },
    { kind: 'expires', expiresAtMs },
  ],
  [
    'a certificate that would end before it begins',
    { data: { certificate, expiration: 1000 } },
    { kind: 'expires', expiresAtMs: 1_000_000 },
  ],
  [
    'an expiration in digits',
    { data: { certificate: 'x', expiration: String(expiration) } },
    { kind: 'expires', expiresAtMs },
  ],
  [
    'a certificate without expiration: its own date, and Vault may hold it',
    { data: { certificate } },
    { kind: 'expires', notBeforeMs, expiresAtMs: notAfterMs, isStored: true },
  ],
  ['an expiration without certificate', { data: { expiration } }, STATIC],
  [
    'an expiration that is no date',
    { data: { certificate, expiration: 'soon' } },
    { kind: 'expires', notBeforeMs, expiresAtMs: notAfterMs, isStored: true },
  ],
  [
    'a secret id',
    { data: { secret_id: 'x', secret_id_ttl: 600 } },
    { kind: 'expires', expiresAtMs: NOW + 600_000 },
  ],
  ['a secret id for ever', { data: { secret_id: 'x', secret_id_ttl: 0 } }, STATIC],
];

suite('validity of', () => {
  for (const [name, facts, expected] of TABLE) {
    test(name, () => {
      const all = { leaseId: '', leaseDurationMs: 0, renewable: false, data: {}, ...facts };
      assert.deepEqual(classifyValidity(all, NOW), expected);
    });
  }
});
