/**
 * Turns gRPC failures into errors of ours, by status code alone. Ring: spiffe.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md section 5 (error codes)
 */
import { VouchsafeError, type ErrorCode } from '../core/index.ts';
import type { Method } from './proto/messages.ts';

const MAX_QUOTED = 200;

/** What could be a token, a key or a certificate, whole or in part. */
const SENSITIVE = /eyJ|-----BEGIN|[\w-]{16,}\.[\w-]{16,}|[A-Za-z0-9+/=_-]{64,}/;

const STATUS_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** Every other status counts as unavailable: waiting and trying again is right for them all. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  INVALID_ARGUMENT: 'ERR_SPIFFE_REJECTED',
  PERMISSION_DENIED: 'ERR_SPIFFE_DENIED',
  UNIMPLEMENTED: 'ERR_SPIFFE_UNIMPLEMENTED',
};

/** Why a connection failed, as the operating system says it -> what to do. */
const CONNECT_ADVICE: Readonly<Record<string, string>> = {
  ENOENT:
    'there is no such socket. Is the SPIRE agent running on this node, and its socket directory mounted?',
  EACCES:
    'access to the socket is forbidden. Check its permissions and those of its directories, the user that this process runs as, and SELinux',
  ECONNREFUSED: 'nothing listens there. The SPIRE agent may be starting or restarting',
  ECONNRESET: 'the connection was cut. The SPIRE agent may be restarting',
};

/** The error for a failed call. */
export function fromGrpc(error: unknown, method: Method, uri: string): VouchsafeError {
  const { status, text } = readStatus(error);
  const code = CODES[status] ?? 'ERR_SPIFFE_UNAVAILABLE';
  const errno = /\b(?:connect|read|write) (E[A-Z]+)\b/.exec(text)?.[1];
  const evidence = errno ?? `gRPC ${status}${quote(text)}`;
  const message = `${method} at ${uri}: ${explain(code, errno)} (${evidence})`;
  // Node prints the causes of an error that ends the process, so one that may hold a secret goes no further.
  const cause = SENSITIVE.test(text) ? undefined : error;
  return new VouchsafeError(code, message, { cause, details: { method, status } });
}

function explain(code: ErrorCode, errno = ''): string {
  switch (code) {
    case 'ERR_SPIFFE_DENIED':
      return 'the Workload API has no identity for this workload. Its registration entry may be missing, match other selectors, or still be on its way';
    case 'ERR_SPIFFE_REJECTED':
      return 'the Workload API calls the request invalid';
    case 'ERR_SPIFFE_UNIMPLEMENTED':
      return 'what listens there does not offer this call. Is it a SPIFFE Workload API?';
    default:
      return CONNECT_ADVICE[errno] ?? 'the Workload API does not answer';
  }
}

function readStatus(error: unknown): { status: string; text: string } {
  if (!(error instanceof Error)) return { status: 'UNKNOWN', text: '' };
  const code = 'code' in error && typeof error.code === 'number' ? error.code : 2;
  const text = 'details' in error && typeof error.details === 'string' ? error.details : '';
  return { status: STATUS_NAMES[code] ?? 'UNKNOWN', text };
}

/** A peer's text, made fit for a log; nothing of it when it may hold a secret. */
function quote(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]+/g, ' ').trim();
  if (printable === '' || SENSITIVE.test(printable)) return '';
  return `: ${JSON.stringify(printable.slice(0, MAX_QUOTED))}`;
}
