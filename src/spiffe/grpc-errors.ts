/**
 * Turns gRPC failures into errors of ours, by status code alone.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md section 5 (error codes)
 */
import { VouchsafeError, type ErrorCode } from '../core/index.ts';
import { BROKER_API } from './proto/broker.ts';
import { DELEGATED_IDENTITY_API } from './proto/delegated-identity.ts';
import { SERVICE } from './proto/messages.ts';

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

/** What to say of a service. */
interface Peer {
  readonly name: string;
  readonly denied: string;
  readonly notFound?: string;
  /** For what Node, OpenSSL and gRPC say when one end does not take the certificate of the other. */
  readonly untrusted?: string;
}

const WORKLOAD_PEER: Peer = {
  name: 'Workload API',
  denied:
    'the Workload API has no identity for this workload. Its registration entry may be missing, match other selectors, or still be on its way',
};

/** Service -> what to say of it. */
const PEERS: ReadonlyMap<string, Peer> = new Map([
  [SERVICE, WORKLOAD_PEER],
  [
    BROKER_API.service,
    {
      name: 'Broker API',
      denied:
        'the Broker API gives nothing for this pod. Its registration entry may be missing, select a container or still be on its way; the verb impersonate-via-spire on the pod may not be granted to the SPIFFE ID of this driver; or broker.brokers of the agent may not allow it Kubernetes references',
      notFound:
        'the agent of this node does not know the pod. It may not have heard of it yet, or the pod is gone',
      untrusted:
        'one end does not take the X.509-SVID of the other. Does broker.brokers of the agent list the SPIFFE ID of this driver?',
    },
  ],
  [
    DELEGATED_IDENTITY_API.service,
    {
      name: 'Delegated Identity API',
      denied:
        'the Delegated Identity API gives nothing for this pod. Its registration entry may be missing, use other selectors than those of the pod or still be on its way; or authorized_delegates of the agent may not list the SPIFFE ID of this driver',
    },
  ],
]);

const NOT_TRUSTED = /certificate|Failed to connect|alert/;

/** Why a connection failed, as the operating system says it -> what to do. */
const CONNECT_ADVICE: Readonly<Record<string, string>> = {
  ENOENT:
    'there is no such socket. Is the SPIRE agent running on this node, and its socket directory mounted?',
  EACCES:
    'access to the socket is forbidden. Check its permissions and those of its directories, the user that this process runs as, and SELinux',
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
  // Node prints the causes of an error that ends the process, so one that may hold a secret goes no further.
  const cause = SENSITIVE.test(text) ? undefined : error;
  return new VouchsafeError(code, message, { cause, details: { method, status } });
}

/** The error for a stream that tells of no SVID, which is how some servers say what others refuse. */
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
      return `the ${peer.name} calls the request invalid`;
    case 'ERR_SPIFFE_UNIMPLEMENTED':
      return `what listens there does not offer this call. Is it a SPIFFE ${peer.name}?`;
    default: {
      const known = status === 'NOT_FOUND' ? peer.notFound : undefined;
      const untrusted = NOT_TRUSTED.test(text) ? peer.untrusted : undefined;
      return known ?? untrusted ?? `the ${peer.name} does not answer`;
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

/** A peer's text, made fit for a log; nothing of it when it may hold a secret. */
function quote(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]+/g, ' ').trim();
  if (printable === '' || SENSITIVE.test(printable)) return '';
  return `: ${JSON.stringify(printable.slice(0, MAX_QUOTED))}`;
}
