/**
 * Addresses of listeners and of their callers.
 */
import { isIPv4 } from 'node:net';

/** Where a server listens. */
export interface Address {
  /** Empty means all addresses. */
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port`, with an IPv6 address in brackets. */
export function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host, port: Number(text.slice(colon + 1)) };
}

/** `host:port` */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Source address of kubelet probes in an ambient mesh (Istio). */
const AMBIENT_PROBE = '169.254.7.127';

/**
 * The key of a caller: its IPv4 address (also where it is mapped into IPv6), or the /64 network of its IPv6 address,
 * because one machine can use all addresses of that network.
 */
export function peerOf(address: string | undefined): string {
  const [text = ''] = (address ?? '').toLowerCase().split('%', 1);
  if (!text.includes(':')) return text;
  const groups = groupsOf(text);
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) return groups.slice(6).flatMap(bytesOf).join('.');
  if (groups.slice(0, 7).every((group) => group === 0)) return text;
  const network = groups.slice(0, 4).map((group) => group.toString(16));
  return `${network.join(':')}::/64`;
}

/**
 * Whether a caller may have any number of connections: loopback, including the proxy of a mesh (127.0.0.6), and `own`,
 * the addresses of the node, from which its kubelet calls.
 */
export function isExemptFromPeerLimit(peer: string, own: readonly string[]): boolean {
  if (peer === '::1' || peer === AMBIENT_PROBE) return true;
  if (isIPv4(peer) && peer.startsWith('127.')) return true;
  return own.some((address) => peerOf(address) === peer);
}

/** The eight groups of an IPv6 address. */
function groupsOf(text: string): number[] {
  const [head = '', tail] = text.split('::', 2);
  const [left, right] = [numbersOf(head), numbersOf(tail ?? '')];
  const missing = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array<number>(missing).fill(0), ...right];
}

function numbersOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!isIPv4(group)) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

function bytesOf(group: number): number[] {
  return [group >> 8, group & 0xff];
}
