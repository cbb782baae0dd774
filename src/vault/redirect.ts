/**
 * Where a redirect of Vault may lead: to the connection's own host, on any port, and to hosts that it names. What
 * travels along is a token, so the answer of one host alone must not choose who gets it.
 */
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { printableLine, VouchsafeError } from '../core/index.ts';

/** A standby node redirects to the active one; a second step covers a proxy in front of it. */
const MAX_REDIRECTS = 2;
/** Longest host name in a message, in characters: the longest that DNS knows. */
const MAX_HOST_LENGTH = 253;

/** An address that means something else on each machine or each network. */
export type LocalKind = 'loopback' | 'link-local';

/** One redirect. */
export interface Redirect {
  /** The connection's own address. */
  readonly own: URL;
  readonly from: URL;
  /** The header, as it came; empty where there is none. */
  readonly location: string;
  /** How many were followed before. */
  readonly followed: number;
  /** Hosts that the connection names, beside its own. */
  readonly hosts: readonly string[];
  /** What the connection's own address leads to, where that is local. */
  readonly ownKind: LocalKind | undefined;
  /** A login shows who somebody is, and another host could use it: it does not leave its own. */
  readonly isLogin: boolean;
}

/**
 * The address that a redirect leads to.
 *
 * @throws VouchsafeError `ERR_VAULT_REDIRECT` where it must not be followed.
 */
export function redirectTarget(redirect: Redirect): URL {
  const { from, location } = redirect;
  const to = location === '' ? null : URL.parse(location, from);
  const problem = to === null ? 'to no address; check its api_addr' : redirectProblem(to, redirect);
  if (to !== null && problem === undefined) return to;
  throw redirectError(from.origin, problem ?? '');
}

/** Whether a redirect stays on the connection's own host. */
export function isSameHost(one: URL, other: URL): boolean {
  return hostOf(one) === hostOf(other);
}

function redirectProblem(to: URL, redirect: Redirect): string | undefined {
  const { own, from, followed, hosts, ownKind, isLogin } = redirect;
  if (to.protocol !== 'https:' && to.protocol !== from.protocol) {
    return 'to an address without TLS; check its api_addr';
  }
  if (to.username !== '' || to.password !== '') {
    return 'to an address with a password in it; check its api_addr';
  }
  if (followed >= MAX_REDIRECTS) return `more than ${MAX_REDIRECTS} times; check its api_addr`;
  if (isSameHost(to, own)) return undefined;
  const host = shown(hostOf(to));
  if (isLogin) {
    return (
      `a login to another host, ${host}, which would get the identity: set the address of the active node or of a ` +
      `load balancer in front of it as vault.connections.<name>.address`
    );
  }
  if (!hosts.includes(hostOf(to))) {
    return (
      `to ${host}, a host that the connection does not name: add it to vault.connections.<name>.redirectHosts, or ` +
      `set the address of the active node or of a load balancer`
    );
  }
  const kind = localKindOf(hostOf(to));
  return kind === undefined || kind === ownKind ? undefined : localProblem(host, kind);
}

/**
 * A look-up for hosts that a redirect names: fails for a name that stands for a local address of another kind than
 * `ownKind`, before anything is connected.
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
        callback(redirectError(own.origin, localProblem(shown(hostname), kind)), []);
        return;
      }
      callback(null, found, family);
    });
  };
}

/** What kind of local address a text is; undefined for all others, names too. */
export function localKindOf(text: string): LocalKind | undefined {
  const address = text.replace(/^\[|\]$|%.*$/g, '');
  const version = isIP(address);
  if (version === 0) return undefined;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  if (LOOPBACK.check(address, family)) return 'loopback';
  return LINK_LOCAL.check(address, family) ? 'link-local' : undefined;
}

/** Unspecified addresses lead to this machine, too. Rules of IPv4 hold for its addresses mapped into IPv6. */
const LOOPBACK = blockList(['127.0.0.0', 8], ['0.0.0.0', 8]);
const LINK_LOCAL = blockList(['169.254.0.0', 16]);
LINK_LOCAL.addSubnet('fe80::', 10, 'ipv6');

/** With the forms of IPv6 that hold an address of IPv4: compatible (obsolete), and translated (RFC 6052). */
function blockList(...subnets: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of subnets) {
    list.addSubnet(network, prefix, 'ipv4');
    list.addSubnet(`64:ff9b::${network}`, 96 + prefix, 'ipv6');
    // With 0.0.0.0/8 this is ::/104, in which :: and ::1 are.
    list.addSubnet(`::${network}`, 96 + prefix, 'ipv6');
  }
  return list;
}

/** Of one spelling: `URL` has written names in small letters and numbers in full. */
function hostOf(url: URL): string {
  return url.hostname.replace(/\.$/, '');
}

function shown(host: string): string {
  const text = printableLine(host);
  return text.length <= MAX_HOST_LENGTH ? `"${text}"` : `"${text.slice(0, MAX_HOST_LENGTH)}…"`;
}

function localProblem(host: string, kind: LocalKind): string {
  return `to ${host}, a ${kind} address, which its own is not; check its api_addr`;
}

function redirectError(origin: string, problem: string): VouchsafeError {
  const text = `Vault at ${origin} redirects ${problem}`;
  return new VouchsafeError('ERR_VAULT_REDIRECT', text, { details: { address: origin } });
}
