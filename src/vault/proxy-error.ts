/**
 * What went wrong with a proxy on the way to Vault. No text of the proxy is shown.
 */
import { VouchsafeError } from '../core/index.ts';
import {
  connectionError,
  errorCode,
  isSocketCode,
  isTlsCode,
  socketReason,
  tlsReason,
} from './connection-error.ts';

/** The origins of a proxy and of Vault. */
export interface ProxyPlace {
  readonly proxy: string;
  readonly origin: string;
}

/** What a status of the proxy means and what to do. */
const STATUS_PROBLEMS: Readonly<Record<number, string>> = {
  403: 'does not allow connections to it (403): allow its host and port in the rules of the proxy',
  407: 'requires credentials (407), and a connection cannot have any: let the proxy allow this network or this address without',
  502: 'cannot connect to it (502)',
  503: 'cannot connect to it (503)',
  504: 'cannot connect to it in time (504)',
};

/** What is wrong with the proxy's response to CONNECT; undefined if the tunnel is open. */
export function proxyStatusProblem(status: number, hasBytesAfterHead: boolean): string | undefined {
  // Some proxies send another success than 200; a tunnel is open after each (RFC 9110, 9.3.6).
  const isOpen = status >= 200 && status < 300;
  if (!isOpen) return STATUS_PROBLEMS[status] ?? `responded to CONNECT with status ${status}`;
  // In TLS the client speaks first.
  return hasBytesAfterHead ? 'sent bytes before the first ones for Vault' : undefined;
}

/** The error of a proxy that did not open a connection; `problem` is a predicate. */
export function proxyProblem(problem: string, place: ProxyPlace, cause?: unknown): VouchsafeError {
  const { proxy, origin } = place;
  const text = `cannot reach Vault at ${origin}: the proxy ${proxy} ${problem}`;
  return new VouchsafeError('ERR_VAULT_UNREACHABLE', text, {
    cause,
    details: { address: origin, proxy, reason: errorCode(cause) },
  });
}

/**
 * Converts what Node throws for a request over a connection to Vault or, if the proxy forwards requests to a Vault
 * without TLS, to the proxy.
 */
export function viaProxyError(caught: unknown, place: ProxyPlace): VouchsafeError {
  const { proxy, origin } = place;
  const code = errorCode(caught);
  const isOfProxy = origin.startsWith('http:') && (isSocketCode(code) || isTlsCode(code));
  return isOfProxy ? proxyError(caught, place) : connectionError(caught, origin, proxy);
}

/** Converts what Node throws while connecting to a proxy, or waiting for its response. */
export function proxyError(caught: unknown, place: ProxyPlace): VouchsafeError {
  if (caught instanceof VouchsafeError) return caught;
  const { proxy, origin } = place;
  const code = errorCode(caught);
  if (isTlsCode(code)) {
    const text = `no TLS connection to the proxy ${proxy} of Vault at ${origin}: ${tlsReason(caught, code)} (${code})`;
    const details = { address: origin, proxy, reason: code };
    return new VouchsafeError('ERR_VAULT_TLS', text, { cause: caught, details });
  }
  return proxyProblem(`cannot be used: ${reasonOf(code)} (${code})`, place, caught);
}

function reasonOf(code: string): string {
  if (code === 'HPE_HEADER_OVERFLOW') return 'the head of its response is too long';
  if (code.startsWith('HPE_')) return 'it does not speak HTTP';
  return socketReason(code, 'the proxy');
}
