/**
 * Turns an error into a gRPC status, whose text the kubelet puts into the pod's events.
 *
 * The kubelet treats most codes as final: it assumes that nothing is mounted or in progress, and does not unpublish. So
 * while a volume is still starting, only codes that are not final are used.
 *
 * @see https://github.com/container-storage-interface/spec/blob/master/spec.md#error-scheme
 */
import { toVouchsafeError, type ErrorCode, type VouchsafeError } from '../core/index.ts';

/** gRPC status codes by name. */
export const GRPC_STATUS = {
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

/** Longest text that fits into an event of a pod, with the kubelet's own text before it. */
const MAX_TEXT = 900;

/** Error code -> status. Other codes are UNAVAILABLE if a retry may help, FAILED_PRECONDITION if not. */
const STATUS: Partial<Record<ErrorCode, keyof typeof GRPC_STATUS>> = {
  ERR_BUG: 'INTERNAL',
  ERR_ADMISSION_DENIED: 'INVALID_ARGUMENT',
  ERR_POLICY_DENIED: 'PERMISSION_DENIED',
  ERR_CSI_REQUEST: 'INVALID_ARGUMENT',
  ERR_CSI_CONFLICT: 'ALREADY_EXISTS',
  ERR_CSI_PENDING: 'DEADLINE_EXCEEDED',
  ERR_CSI_ENDED: 'ABORTED',
  ERR_CSI_BUSY: 'RESOURCE_EXHAUSTED',
  ERR_CSI_NO_VOLUME: 'NOT_FOUND',
  ERR_CSI_TOKEN: 'FAILED_PRECONDITION',
  ERR_CSI_MOUNT: 'UNAVAILABLE',
};

/** A status to send. */
export interface CallStatus {
  readonly code: number;
  /** Holds no secret. */
  readonly details: string;
}

/** The status of anything thrown. */
export function statusOf(caught: unknown): CallStatus {
  const error = toVouchsafeError(caught);
  const text = `${error.code}: ${error.message}`;
  const details = text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
  return { code: GRPC_STATUS[statusName(error)], details };
}

function statusName(error: VouchsafeError): keyof typeof GRPC_STATUS {
  const isForbidden = error.details['forbidden'] === true;
  if (isForbidden) return 'PERMISSION_DENIED';
  return STATUS[error.code] ?? (error.retry === 'never' ? 'FAILED_PRECONDITION' : 'UNAVAILABLE');
}
