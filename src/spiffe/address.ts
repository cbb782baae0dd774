/**
 * Addresses of the Workload API and its relatives.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md section 4
 */
import { isIP } from 'node:net';
import { VouchsafeError } from '../core/index.ts';

/** Longest path that fits into the kernel's socket address. */
const MAX_SOCKET_PATH_BYTES = 107;

/** RFC 3986, appendix B, with the authority split at its user information. */
const URI = /^([A-Za-z][A-Za-z0-9+.-]*):(\/\/(?:([^/?#@]*)@)?([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?$/;

/** What an address belongs to, for error messages. */
export interface Endpoint {
  readonly name: string;
  /** What to do when it is missing. */
  readonly remedy: string;
}

const WORKLOAD_ENDPOINT: Endpoint = {
  name: 'Workload API',
  remedy: 'set it in the configuration, or set SPIFFE_ENDPOINT_SOCKET',
};

/** An address that conforms to the specification. */
export interface WorkloadApiAddress {
  /** As configured: `unix:///run/spire/sockets/agent.sock`. */
  readonly uri: string;
  /** The same for gRPC: `unix:/run/…`, `ipv4:127.0.0.1:8081`, `ipv6:[::1]:8081`. */
  readonly target: string;
}

/**
 * Reads `unix:///absolute/path` or `tcp://IP:port`.
 *
 * @throws VouchsafeError `ERR_SPIFFE_ADDRESS` that names the broken rule.
 */
export function parseWorkloadApiAddress(
  text: string,
  endpoint: Endpoint = WORKLOAD_ENDPOINT,
): WorkloadApiAddress {
  if (text === '') throw problem(`the ${endpoint.name} address is not set: ${endpoint.remedy}`);
  const { scheme, slashes, authority, path, forbidden } = partsOf(text);
  const fail = (rule: string): VouchsafeError =>
    problem(`the ${endpoint.name} address "${text.slice(0, 256)}" ${rule}`);
  if (scheme !== 'unix' && scheme !== 'tcp') {
    throw fail('must begin with unix:// or tcp://');
  }
  for (const [part, value] of Object.entries(forbidden)) {
    if (value !== undefined) throw fail(`must not have ${part}`);
  }
  const target =
    scheme === 'unix'
      ? unixTarget(authority, path, fail)
      : tcpTarget(slashes === undefined ? '' : authority, path, fail);
  return { uri: text, target };
}

/** The parts of a URI; `forbidden` are those that an address must not have. */
function partsOf(text: string) {
  const [, scheme, slashes, userInfo, authority = '', path = '', query, fragment] =
    URI.exec(text) ?? [];
  const forbidden = { 'user information': userInfo, 'a query': query, 'a fragment': fragment };
  return { scheme, slashes, authority, path, forbidden };
}

type Fail = (rule: string) => VouchsafeError;

function unixTarget(authority: string, path: string, fail: Fail): string {
  if (authority !== '') throw fail(`must not have a host; use unix:///${authority}${path}`);
  if (!path.startsWith('/') || path === '/') {
    throw fail(
      'must have the absolute path of a socket, such as unix:///run/spire/sockets/agent.sock',
    );
  }
  const decoded = percentDecode(path);
  if (decoded === undefined || /[\u0000-\u001f\u007f]/.test(decoded)) {
    throw fail('has a path with control characters or invalid percent-encoding');
  }
  if (Buffer.byteLength(decoded) > MAX_SOCKET_PATH_BYTES) {
    throw fail(`has a path longer than ${MAX_SOCKET_PATH_BYTES} bytes, the limit for sockets`);
  }
  return `unix:${decoded}`;
}

function tcpTarget(authority: string, path: string, fail: Fail): string {
  if (path !== '') throw fail('must not have a path');
  const [, host = '', port = ''] = /^(.*?)(?::(\d*))?$/.exec(authority) ?? [];
  const bracketed = /^\[(.*)\]$/.exec(host)?.[1];
  const isHost = bracketed === undefined ? isIP(host) === 4 : isIP(bracketed) === 6;
  if (!isHost) throw fail('must have an IP address as its host, not a name');
  if (!isPort(port)) throw fail('must have a port from 1 to 65535');
  return `${bracketed === undefined ? 'ipv4' : 'ipv6'}:${host}:${port}`;
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;
}

function percentDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function problem(message: string): VouchsafeError {
  return new VouchsafeError('ERR_SPIFFE_ADDRESS', message);
}
