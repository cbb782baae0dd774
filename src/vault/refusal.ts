/**
 * What a status of Vault means.
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

/** An answer that is not a success. */
export interface RefusedAnswer {
  readonly status: number;
  /** Undefined where the body is not a JSON object: such an answer is probably not Vault's. */
  readonly body: JsonObject | undefined;
  readonly retryAfterMs: number | undefined;
  /** What was asked, for the message: `kvv2/data/app`. */
  readonly path: string;
  /** `https://vault.example:8200` */
  readonly address: string;
  /** What must not be in a message, whatever Vault says. */
  readonly secrets: readonly Secret<string>[];
}

/** Vault's error texts, fit for printing; empty where it gave none. */
export function refusalText(answer: RefusedAnswer): string {
  return printable(rawText(answer), answer.secrets);
}

/** True where Vault says that it does not know the token; older versions only deny. */
export function namesInvalidToken(answer: RefusedAnswer): boolean {
  return answer.status === 403 && /\b(invalid|bad) token\b/.test(rawText(answer));
}

/** True for a 404 without error or warning: the mount is there and knows such paths, the thing is not. */
export function isPlainNotFound(answer: RefusedAnswer): boolean {
  const { status, body } = answer;
  if (status !== 404 || body === undefined) return false;
  return rawText(answer) === '' && stringsAt(body, 'warnings').length === 0;
}

/** An error with Vault's own words at its end and the path in its details. */
export function refusal(
  answer: RefusedAnswer,
  code: ErrorCode,
  message: string,
  details: ErrorDetails = {},
): VouchsafeError {
  const said = refusalText(answer);
  const options: ErrorOptions = {
    details: { path: answer.path, status: answer.status, ...details },
    ...(answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs }),
  };
  const quote = said === '' ? '' : `; Vault said: ${said}`;
  return new VouchsafeError(code, `${message}${quote}`, options);
}

/** The error of an answer to any request; logins and leases refine it. */
export function refusalOf(answer: RefusedAnswer): VouchsafeError {
  const { status, path, address } = answer;
  if (status >= 500 || status === 412 || status === 429) return serverRefusal(answer);
  const rule = CLIENT_REFUSALS[status];
  if (answer.body === undefined || rule === undefined) {
    const text = `${address} answered ${path} with status ${status}, but not as Vault does; is the address right, and https where Vault has TLS?`;
    return refusal(answer, 'ERR_VAULT_MALFORMED', text);
  }
  if (namesInvalidToken(answer)) {
    const text = `Vault no longer accepts the token (asked for ${path})`;
    return refusal(answer, 'ERR_VAULT_TOKEN_INVALID', text);
  }
  return refusal(answer, rule.code, rule.text(path));
}

interface StatusRule {
  readonly code: ErrorCode;
  readonly text: (path: string) => string;
}

const CLIENT_REFUSALS: Readonly<Record<number, StatusRule>> = {
  400: {
    code: 'ERR_VAULT_BAD_REQUEST',
    text: (path) => `Vault calls the request for ${path} wrong`,
  },
  403: {
    code: 'ERR_VAULT_DENIED',
    text: (path) => `no policy of the token allows ${path}; add it to a policy of the Vault role`,
  },
  404: {
    code: 'ERR_VAULT_NOT_FOUND',
    text: (path) => `there is no secret at ${path}; check mount and name`,
  },
  405: {
    code: 'ERR_VAULT_UNSUPPORTED',
    text: (path) => `${path} does not support this operation`,
  },
};

function serverRefusal(answer: RefusedAnswer): VouchsafeError {
  const { status, path, address } = answer;
  if (status === 429) {
    return refusal(answer, 'ERR_VAULT_THROTTLED', `Vault's quota refuses ${path} for now`);
  }
  if (status === 503 && /sealed|active|standby|leader/i.test(rawText(answer))) {
    const text = `Vault at ${address} is sealed or has no active node`;
    return refusal(answer, 'ERR_VAULT_SEALED', text);
  }
  const text =
    status === 412
      ? `this Vault node has not caught up with the others yet (${path})`
      : `Vault at ${address} failed on ${path} with status ${status}; see its log and the server behind that path`;
  return refusal(answer, 'ERR_VAULT_SERVER', text);
}

function rawText({ body }: RefusedAnswer): string {
  const error = stringAt(objectAt(body, 'data'), 'error');
  const all = [...stringsAt(body, 'errors'), ...(error === '' ? [] : [error])];
  // Go's error lists come with a heading and bullets that add nothing.
  return all
    .join('; ')
    .replace(/\b\d{1,9} errors? occurred:\s*\* /g, '')
    .trim();
}
