/**
 * Converts Vault's error responses to errors.
 *
 * @see https://developer.hashicorp.com/vault/api-docs#http-status-codes
 */
import {
  VouchsafeError,
  type ErrorCode,
  type ErrorDetails,
  type ErrorOptions,
  type Secret,
} from '../core/index.ts';
import { stringAt, stringsAt, objectAt, type JsonObject } from './json.ts';
import { printable } from './printable.ts';

/** An unsuccessful response. */
export interface ErrorResponse {
  readonly status: number;
  /** Undefined if the body is not a JSON object: such a response is probably not Vault's. */
  readonly body: JsonObject | undefined;
  readonly retryAfterMs: number | undefined;
  /** Path of the request, for the message: `kvv2/data/app`. */
  readonly path: string;
  /** `https://vault.example:8200` */
  readonly address: string;
  /** Redacted from messages. */
  readonly secrets: readonly Secret<string>[];
}

/** Vault's error texts, safe to print; empty if it sent none. */
export function errorText(answer: ErrorResponse): string {
  return printable(rawText(answer), answer.secrets);
}

/** True if Vault says that it does not know the token; older versions only deny. */
function isInvalidToken(answer: ErrorResponse): boolean {
  return answer.status === 403 && /\b(invalid|bad) token\b/.test(rawText(answer));
}

/**
 * True for Vault's 404 without error or warning: the mount exists and has such paths, the secret does not exist. A 404
 * of another server, such as a gateway, has no list of errors.
 */
export function isPlainNotFound(answer: ErrorResponse): boolean {
  const { status, body } = answer;
  if (status !== 404 || !Array.isArray(body?.['errors'])) return false;
  return rawText(answer) === '' && stringsAt(body, 'warnings').length === 0;
}

/** An error that ends with Vault's own text and has the path in its details. */
export function errorQuotingVault(
  answer: ErrorResponse,
  code: ErrorCode,
  message: string,
  details: ErrorDetails = {},
): VouchsafeError {
  const vaultText = errorText(answer);
  const options: ErrorOptions = {
    details: { path: answer.path, status: answer.status, ...details },
    ...(answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs }),
  };
  const quote = vaultText === '' ? '' : `; Vault said: ${vaultText}`;
  return new VouchsafeError(code, `${message}${quote}`, options);
}

/** The error for the response to any request; logins and leases refine it. */
export function errorForResponse(answer: ErrorResponse): VouchsafeError {
  const { status, path, address } = answer;
  if (status >= 500 || status === 412 || status === 429) return serverError(answer);
  const rule = CLIENT_ERRORS[status];
  if (answer.body === undefined || rule === undefined) {
    const text = `${address} responded to ${path} with status ${status}, but not as Vault does; check the address, and use https if Vault has TLS`;
    return errorQuotingVault(answer, 'ERR_VAULT_MALFORMED', text);
  }
  if (isInvalidToken(answer)) {
    const text = `Vault no longer accepts the token (request for ${path})`;
    return errorQuotingVault(answer, 'ERR_VAULT_TOKEN_INVALID', text);
  }
  const details: ErrorDetails = isPlainNotFound(answer) ? { absent: true } : {};
  return errorQuotingVault(answer, rule.code, rule.text(path), details);
}

interface StatusRule {
  readonly code: ErrorCode;
  readonly text: (path: string) => string;
}

const CLIENT_ERRORS: Readonly<Record<number, StatusRule>> = {
  400: {
    code: 'ERR_VAULT_BAD_REQUEST',
    text: (path) => `Vault rejected the request for ${path} (400 Bad Request)`,
  },
  403: {
    code: 'ERR_VAULT_DENIED',
    text: (path) =>
      `no policy of the token allows ${path}; add the path to a policy of the Vault role`,
  },
  404: {
    code: 'ERR_VAULT_NOT_FOUND',
    text: (path) => `there is no secret at ${path}; check the mount and the name`,
  },
  405: {
    code: 'ERR_VAULT_UNSUPPORTED',
    text: (path) => `${path} does not support this operation`,
  },
};

function serverError(answer: ErrorResponse): VouchsafeError {
  const { status, path, address } = answer;
  if (status === 429) {
    return errorQuotingVault(
      answer,
      'ERR_VAULT_THROTTLED',
      `a rate limit quota of Vault rejected ${path}`,
    );
  }
  if (status === 503 && /sealed|active|standby|leader/i.test(rawText(answer))) {
    const text = `Vault at ${address} is sealed or has no active node`;
    return errorQuotingVault(answer, 'ERR_VAULT_SEALED', text);
  }
  const text =
    status === 412
      ? `this Vault node has not caught up with the active node yet (${path})`
      : `Vault at ${address} failed on ${path} with status ${status}; check its log and the system behind that path`;
  return errorQuotingVault(answer, 'ERR_VAULT_SERVER', text);
}

function rawText({ body }: ErrorResponse): string {
  const error = stringAt(objectAt(body, 'data'), 'error');
  const all = [...stringsAt(body, 'errors'), ...(error === '' ? [] : [error])];
  // Removes the heading and the bullets of Go's error lists.
  return all
    .join('; ')
    .replace(/\b\d{1,9} errors? occurred:\s*\* /g, '')
    .trim();
}
