/**
 * What goes wrong between two sockets, as errors of ours.
 * Node's error texts are not passed on; its stable codes are.
 */
import { codeOf, VouchsafeError } from '../core/index.ts';

/** Node's code of a failed handshake -> what it means and what to do. */
const TLS_REASONS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed; give that certificate as CA',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from a CA that is not trusted; set the CA',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its certificate comes from a CA that is not trusted; set the CA',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate comes from a CA that is not trusted; set the CA',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate comes from a CA that is not trusted; set the CA',
  CERT_SIGNATURE_FAILURE: 'its certificate was not signed by the CA that is set',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet; compare the clocks',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'its certificate is for another name; set the TLS server name to one that it holds',
};

/** Errors of OpenSSL, of Node's TLS and of certificate checks; the rest belongs to sockets or to HTTP. */
const TLS_CODE =
  /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)|^EPROTO$/;

const SOCKET_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused; is Vault running there?',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was reset',
  ENOTFOUND: 'the host name does not resolve',
  EAI_AGAIN: 'the host name could not be resolved just now',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to the host',
  ETIMEDOUT: 'the connection attempt timed out',
};

/** Converts what Node throws while connecting, sending or waiting for an answer from `origin`. */
export function connectionError(caught: unknown, origin: string): VouchsafeError {
  if (caught instanceof VouchsafeError) return caught;
  const code = errorCode(caught);
  const options = { cause: caught, details: { address: origin, reason: code } };
  if (TLS_CODE.test(code)) {
    const text = `no TLS connection to Vault at ${origin}: ${tlsReason(caught, code)} (${code})`;
    return new VouchsafeError('ERR_VAULT_TLS', text, options);
  }
  if (code.startsWith('HPE_')) {
    const text = `what answers at ${origin} does not speak HTTP (${code}); is the address right, and https where Vault has TLS?`;
    return new VouchsafeError('ERR_VAULT_MALFORMED', text, options);
  }
  if (code.startsWith('ERR_INVALID_') || code === 'ERR_UNESCAPED_CHARACTERS') {
    const text = `the request to Vault cannot be sent: a header or the path holds a character that HTTP does not allow`;
    return new VouchsafeError('ERR_VAULT_BAD_REQUEST', text, options);
  }
  const reason = SOCKET_REASONS[code] ?? 'the connection failed';
  const text = `cannot reach Vault at ${origin}: ${reason} (${code})`;
  return new VouchsafeError('ERR_VAULT_UNREACHABLE', text, options);
}

/** Node gives one code, EPROTO, for several failures, so OpenSSL's text is looked at (and not shown). */
function tlsReason(caught: unknown, code: string): string {
  const text = caught instanceof Error ? caught.message : '';
  if (/wrong version number|packet length too long|http request/.test(text)) {
    return 'it does not speak TLS; is the address http, not https?';
  }
  if (/alert.*certificate|certificate required/.test(text)) {
    return 'it does not accept the client certificate, or wants one';
  }
  if (code.startsWith('ERR_OSSL_')) return 'the client certificate, its key or the CA is not valid';
  return TLS_REASONS[code] ?? 'the handshake failed';
}

/** The stable code of a Node error, looking through what it wraps; `unknown` where there is none. */
function errorCode(caught: unknown): string {
  let error = caught;
  for (let depth = 0; depth < 4 && error instanceof Error; depth += 1) {
    const code = codeOf(error);
    if (code !== undefined) return code;
    error = error instanceof AggregateError ? error.errors[0] : error.cause;
  }
  return 'unknown';
}
