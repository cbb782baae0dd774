import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VouchsafeError, type ErrorCode } from '../../../src/core/index.ts';
import { GRPC_STATUS, statusOf } from '../../../src/csi/grpc-status.ts';

/** Codes after which a kubelet still asks to unpublish: csi_client.go of Kubernetes, isFinalError. */
const NOT_FINAL: readonly number[] = [
  GRPC_STATUS.DEADLINE_EXCEEDED,
  GRPC_STATUS.UNAVAILABLE,
  GRPC_STATUS.RESOURCE_EXHAUSTED,
  GRPC_STATUS.ABORTED,
];

test('while a start goes on, no status is final', () => {
  for (const code of [
    'ERR_CSI_PENDING',
    'ERR_CSI_ENDED',
    'ERR_CSI_BUSY',
    'ERR_CSI_MOUNT',
  ] satisfies ErrorCode[]) {
    assert.ok(NOT_FINAL.includes(statusOf(new VouchsafeError(code, 'x')).code), code);
  }
});

test('a request that cannot succeed has a final status', () => {
  for (const code of [
    ...(['ERR_CSI_REQUEST', 'ERR_CSI_CONFLICT', 'ERR_CSI_TOKEN'] as const),
    ...(['ERR_ADMISSION_DENIED', 'ERR_VAULT_LOGIN_MFA', 'ERR_BUG'] as const),
  ]) {
    assert.ok(!NOT_FINAL.includes(statusOf(new VouchsafeError(code, 'x')).code), code);
  }
});

test('a text holds the code, is bounded, and says nothing of foreign errors', () => {
  const long = statusOf(new VouchsafeError('ERR_CSI_PENDING', 'x'.repeat(5000)));
  assert.match(long.details, /^ERR_CSI_PENDING: x+…$/);
  assert.ok(long.details.length <= 901);
  const foreign = statusOf(new Error('the password is hunter2'));
  assert.equal(foreign.code, GRPC_STATUS.INTERNAL);
  assert.doesNotMatch(foreign.details, /hunter2/);
});
