/**
 * Converts connection failures to Vouchsafe's errors.
 * Only Node's stable codes are passed on, not its error texts.
 */
import { codeOf, VouchsafeError } from '../core/index.ts';

/** Node's code for a failed handshake -> what it means and what to do. */
const TLS_REASONS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed; set that certificate as the CA',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate was issued by a CA that is not trusted; set the CA',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its certificate was issued by a CA that is not trusted; set the CA',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate was issued by a CA that is not trusted; set the CA',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate was issued by a CA that is not trusted; set the CA',
  CERT_SIGNATURE_FAILURE: 'its certificate was not signed by the configured CA',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet; compare the clocks',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'its certificate is for another name; set the TLS server name to a name in it',
};

/** Errors of OpenSSL, of Node's TLS and of certificate checks; all others are socket or HTTP errors. */
const TLS_CODE =
  /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)|^EPROTO$/;

const SOCKET_REASONS: Readonly<Record<string, string>> = {
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was reset',
  ENOTFOUND: 'the host name does not resolve',
  EAI_AGAIN: 'the host name could not be resolved; the DNS server failed',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to the host',
  ETIMEDOUT: 'the connection attempt timed out',
};

/** What happened to a connection, by Node's code; `who` should have listened there. */
export function socketReason(code: string, who: string): string {
  if (code === 'ECONNREFUSED') return `the connection was refused; is ${who} running there?`;
  return SOCKET_REASONS[code] ?? 'the connection failed';
}

/** Whether a code is that of a connection, not of what is sent over it. */
export function isSocketCode(code: string): boolean {
  return code === 'ECONNREFUSED' || Object.hasOwn(SOCKET_REASONS, code);
}

/** Whether a code is that of a failed handshake. */
export function isTlsCode(code: string): boolean {
  return TLS_CODE.test(code);
}

/**
 * Converts what Node throws while connecting to `origin`, sending, or waiting for a response. `proxy` is the origin of
 * the proxy through which the connection goes.
 */
export function connectionError(caught: unknown, origin: string, proxy?: string): VouchsafeError {
  if (caught instanceof VouchsafeError) return caught;
  const code = errorCode(caught);
  const by = proxy === undefined ? '' : ` through the proxy ${proxy}`;
  const details = { address: origin, reason: code, ...(proxy !== undefined && { proxy }) };
  const options = { cause: caught, details };
  if (isTlsCode(code)) {
    const text = `no TLS connection to Vault at ${origin}${by}: ${tlsReason(caught, code)} (${code})`;
    return new VouchsafeError('ERR_VAULT_TLS', text, options);
  }
  if (code.startsWith('HPE_')) {
    const text = `the server at ${origin}${by} does not speak HTTP (${code}); check the address, and use https if Vault has TLS`;
    return new VouchsafeError('ERR_VAULT_MALFORMED', text, options);
  }
  if (code.startsWith('ERR_INVALID_') || code === 'ERR_UNESCAPED_CHARACTERS') {
    const text = `the request to Vault cannot be sent: a header or the path contains a character that HTTP does not allow`;
    return new VouchsafeError('ERR_VAULT_BAD_REQUEST', text, options);
  }
  const text = `cannot reach Vault at ${origin}${by}: ${socketReason(code, 'Vault')} (${code})`;
  return new VouchsafeError('ERR_VAULT_UNREACHABLE', text, options);
}

/** Node uses the code EPROTO for several failures, so OpenSSL's text is examined (but not shown). */
export function tlsReason(caught: unknown, code: string): string {
  const text = caught instanceof Error ? caught.message : '';
  if (/wrong version number|packet length too long|http request/.test(text)) {
    return 'it does not speak TLS; should the address be http instead of https?';
  }
  if (/alert.*certificate|certificate required/.test(text)) {
    return 'it rejected the client certificate, or requires one';
  }
  if (code.startsWith('ERR_OSSL_')) return 'the client certificate, its key or the CA is not valid';
  return TLS_REASONS[code] ?? 'the handshake failed';
}

/** The stable code of a Node error or of an error that it wraps; `unknown` if there is none. */
export function errorCode(caught: unknown): string {
  let error = caught;
  for (let depth = 0; depth < 4 && error instanceof Error; depth += 1) {
    const code = codeOf(error);
    if (code !== undefined) return code;
    error = error instanceof AggregateError ? error.errors[0] : error.cause;
  }
  return 'unknown';
}
