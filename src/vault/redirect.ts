/**
 * Which redirects of Vault are followed: those to the connection's own host, on any port, and to the hosts that it
 * lists. The request carries a token, so a server must not choose freely who receives it.
 */
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { printableLine, VouchsafeError } from '../core/index.ts';

/** A standby node redirects to the active one; a second step covers a proxy in front of it. */
const MAX_REDIRECTS = 2;
/** Longest host name in a message, in characters: the longest that DNS knows. */
const MAX_HOST_LENGTH = 253;

/** Addresses that differ by machine or network. */
export type LocalKind = 'loopback' | 'link-local';

/** One redirect. */
export interface Redirect {
  /** The connection's own address. */
  readonly own: URL;
  readonly from: URL;
  /** The `Location` header; empty if there is none. */
  readonly location: string;
  /** Number of redirects followed before. */
  readonly followed: number;
  /** Further hosts that the connection allows. */
  readonly hosts: readonly string[];
  /** Kind of the connection's own address, if it is local. */
  readonly ownKind: LocalKind | undefined;
  /** Login credentials are never sent to another host, which could use them. */
  readonly isLogin: boolean;
}

/**
 * The address that a redirect leads to.
 *
 * @throws VouchsafeError `ERR_VAULT_REDIRECT` if it must not be followed.
 */
export function redirectTarget(redirect: Redirect): URL {
  const { from, location } = redirect;
  const to = location === '' ? null : URL.parse(location, from);
  const problem =
    to === null ? 'to an invalid address; check its api_addr' : redirectProblem(to, redirect);
  if (to !== null && problem === undefined) return to;
  throw redirectError(from.origin, problem ?? '');
}

/** Whether a redirect stays on the connection's own host. */
export function isSameHost(one: URL, other: URL): boolean {
  return hostOf(one) === hostOf(other);
}

function redirectProblem(to: URL, redirect: Redirect): string | undefined {
  const { own, from, followed } = redirect;
  if (to.protocol !== 'https:' && to.protocol !== from.protocol) {
    return 'to an address without TLS; check its api_addr';
  }
  if (to.username !== '' || to.password !== '') {
    return 'to an address with a password in it; check its api_addr';
  }
  if (followed >= MAX_REDIRECTS) return `more than ${MAX_REDIRECTS} times; check its api_addr`;
  return isSameHost(to, own) ? undefined : otherHostProblem(to, redirect);
}

function otherHostProblem(to: URL, { hosts, ownKind, isLogin }: Redirect): string | undefined {
  const host = quoteHost(hostOf(to));
  if (isLogin) {
    return (
      `a login to another host, ${host}, which would receive the credentials: set the address of the active node or of a ` +
      `load balancer in front of it as vault.connections.<name>.address`
    );
  }
  if (!hosts.includes(hostOf(to))) {
    return (
      `to ${host}, a host that the connection does not allow: add it to vault.connections.<name>.redirectHosts, or ` +
      `set the address of the active node or of a load balancer`
    );
  }
  const kind = localKindOf(hostOf(to));
  return kind === undefined || kind === ownKind ? undefined : localProblem(host, kind);
}

/**
 * A lookup for hosts that a redirect names: fails before connecting if a name resolves to a local address of another
 * kind than `ownKind`.
 */
export function guardedLookup(
  lookup: LookupFunction,
  { own, ownKind }: { readonly own: URL; readonly ownKind: LocalKind | undefined },
): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, options, (error, found, family) => {
      if (error !== null) {
        callback(error, found, family);
        return;
      }
      for (const address of typeof found === 'string' ? [found] : found) {
        const kind = localKindOf(typeof address === 'string' ? address : address.address);
        if (kind === undefined || kind === ownKind) continue;
        callback(redirectError(own.origin, localProblem(quoteHost(hostname), kind)), []);
        return;
      }
      callback(null, found, family);
    });
  };
}

/** The kind of a local address; undefined for all others and for names. */
export function localKindOf(text: string): LocalKind | undefined {
  const address = text.replace(/^\[|\]$|%.*$/g, '');
  const version = isIP(address);
  if (version === 0) return undefined;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  if (LOOPBACK.check(address, family)) return 'loopback';
  return LINK_LOCAL.check(address, family) ? 'link-local' : undefined;
}

/** Unspecified addresses lead to this machine, too. IPv4 rules also apply to addresses mapped into IPv6. */
const LOOPBACK = blockList(['127.0.0.0', 8], ['0.0.0.0', 8]);
const LINK_LOCAL = blockList(['169.254.0.0', 16]);
LINK_LOCAL.addSubnet('fe80::', 10, 'ipv6');

/** Includes the IPv6 forms of IPv4 addresses: compatible (obsolete), and translated (RFC 6052). */
function blockList(...subnets: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of subnets) {
    list.addSubnet(network, prefix, 'ipv4');
    list.addSubnet(`64:ff9b::${network}`, 96 + prefix, 'ipv6');
    // For 0.0.0.0/8 this is ::/104, which includes :: and ::1.
    list.addSubnet(`::${network}`, 96 + prefix, 'ipv6');
  }
  return list;
}

/** Normalised: `URL` has lower-cased names and expanded numbers. */
function hostOf(url: URL): string {
  return url.hostname.replace(/\.$/, '');
}

function quoteHost(host: string): string {
  const text = printableLine(host);
  return text.length <= MAX_HOST_LENGTH ? `"${text}"` : `"${text.slice(0, MAX_HOST_LENGTH)}…"`;
}

function localProblem(host: string, kind: LocalKind): string {
  return `to ${host}, a ${kind} address, unlike the configured one; check its api_addr`;
}

function redirectError(origin: string, problem: string): VouchsafeError {
  const text = `Vault at ${origin} redirects ${problem}`;
  return new VouchsafeError('ERR_VAULT_REDIRECT', text, { details: { address: origin } });
}
