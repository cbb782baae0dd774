/**
 * Converts gRPC failures to Vouchsafe's errors, by status code only.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md section 5 (error codes)
 */
import { VouchsafeError, type ErrorCode } from '../core/index.ts';
import { BROKER_API } from './proto/broker.ts';
import { DELEGATED_IDENTITY_API } from './proto/delegated-identity.ts';
import { SERVICE } from './proto/messages.ts';

const MAX_QUOTED = 200;

/** Text that may be (part of) a token, a key or a certificate. */
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

/** Every other status means unavailable: all of them are retried. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  INVALID_ARGUMENT: 'ERR_SPIFFE_REJECTED',
  PERMISSION_DENIED: 'ERR_SPIFFE_DENIED',
  UNIMPLEMENTED: 'ERR_SPIFFE_UNIMPLEMENTED',
};

/** Texts for a service. */
interface Peer {
  readonly name: string;
  readonly denied: string;
  readonly notFound?: string;
  /** For failures of Node, OpenSSL and gRPC when one end rejects the certificate of the other. */
  readonly untrusted?: string;
}

const WORKLOAD_PEER: Peer = {
  name: 'Workload API',
  denied:
    'the Workload API has no identity for this workload. Its registration entry may be missing, have other selectors, or not have reached this node yet',
};

/** Service -> its texts. */
const PEERS: ReadonlyMap<string, Peer> = new Map([
  [SERVICE, WORKLOAD_PEER],
  [
    BROKER_API.service,
    {
      name: 'Broker API',
      denied:
        'the Broker API issued no identity for this pod. Its registration entry may be missing, select a container, or not have reached this node yet; the verb impersonate-via-spire on the pod may not be granted to the SPIFFE ID of this driver; or broker.brokers of the agent may not allow Kubernetes references for it',
      notFound:
        'the SPIRE agent of this node does not know the pod. It may not have seen the pod yet, or the pod is gone',
      untrusted:
        'one end rejected the X.509-SVID of the other. Check that broker.brokers of the agent lists the SPIFFE ID of this driver',
    },
  ],
  [
    DELEGATED_IDENTITY_API.service,
    {
      name: 'Delegated Identity API',
      denied:
        'the Delegated Identity API issued no identity for this pod. Its registration entry may be missing, have selectors that the pod does not have, or not have reached this node yet; or authorized_delegates of the agent may not list the SPIFFE ID of this driver',
    },
  ],
]);

const NOT_TRUSTED = /certificate|Failed to connect|alert/;

/** Error code of the operating system -> what to do. */
const CONNECT_ADVICE: Readonly<Record<string, string>> = {
  ENOENT:
    'the socket does not exist. Check that the SPIRE agent runs on this node and that its socket directory is mounted',
  EACCES:
    'access to the socket is denied. Check its permissions and those of its directories, the user of this process, and SELinux',
  ECONNREFUSED: 'nothing listens there. The SPIRE agent may be starting or restarting',
  ECONNRESET: 'the connection was cut. The SPIRE agent may be restarting',
};

/** The error for a failed call of a service, by default of the Workload API. */
export function fromGrpc(
  error: unknown,
  method: string,
  uri: string,
  service: string = SERVICE,
): VouchsafeError {
  const { status, text } = readStatus(error);
  const peer = PEERS.get(service) ?? WORKLOAD_PEER;
  const code = CODES[status] ?? 'ERR_SPIFFE_UNAVAILABLE';
  const errno = /\b(?:connect|read|write) (E[A-Z]+)\b/.exec(text)?.[1];
  const evidence = errno ?? `gRPC ${status}${quote(text)}`;
  const advice = errno === undefined ? undefined : CONNECT_ADVICE[errno];
  const why = advice ?? explain(code, peer, { status, text });
  const message = `${method} at ${uri}: ${why} (${evidence})`;
  // Node prints the causes of an uncaught error, so a cause that may contain a secret is dropped.
  const cause = SENSITIVE.test(text) ? undefined : error;
  return new VouchsafeError(code, message, { cause, details: { method, status } });
}

/** The error for a list without SVIDs, which some servers send instead of PERMISSION_DENIED. */
export function nothingIssued(method: string, uri: string, service: string): VouchsafeError {
  const { denied } = PEERS.get(service) ?? WORKLOAD_PEER;
  const message = `${method} at ${uri}: ${denied} (no identity issued: an empty list of SVIDs)`;
  return new VouchsafeError('ERR_SPIFFE_DENIED', message, { details: { method } });
}

function explain(code: ErrorCode, peer: Peer, { status, text }: Failure): string {
  switch (code) {
    case 'ERR_SPIFFE_DENIED':
      return peer.denied;
    case 'ERR_SPIFFE_REJECTED':
      return `the ${peer.name} rejected the request as invalid`;
    case 'ERR_SPIFFE_UNIMPLEMENTED':
      return `the server there does not implement this call. Is it a SPIFFE ${peer.name}?`;
    default: {
      const known = status === 'NOT_FOUND' ? peer.notFound : undefined;
      const untrusted = NOT_TRUSTED.test(text) ? peer.untrusted : undefined;
      return known ?? untrusted ?? `the ${peer.name} is not available`;
    }
  }
}

interface Failure {
  readonly status: string;
  readonly text: string;
}

function readStatus(error: unknown): Failure {
  if (!(error instanceof Error)) return { status: 'UNKNOWN', text: '' };
  const code = 'code' in error && typeof error.code === 'number' ? error.code : 2;
  const text = 'details' in error && typeof error.details === 'string' ? error.details : '';
  return { status: STATUS_NAMES[code] ?? 'UNKNOWN', text };
}

/** A peer's text, made safe to log; empty if it may contain a secret. */
function quote(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]+/g, ' ').trim();
  if (printable === '' || SENSITIVE.test(printable)) return '';
  return `: ${JSON.stringify(printable.slice(0, MAX_QUOTED))}`;
}
