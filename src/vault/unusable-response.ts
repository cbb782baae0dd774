/**
 * The errors for successful responses that are not usable.
 */
import { jsonPathOf, likelyJsonPathOf, VouchsafeError, type ErrorCode } from '../core/index.ts';
import type { ResponseProblem } from './response-problem.ts';

interface Verdict {
  readonly code: ErrorCode;
  readonly remedy: (path: string) => string;
}

const VERDICTS: Readonly<Record<ResponseProblem['kind'], Verdict>> = {
  malformed: { code: 'ERR_VAULT_MALFORMED', remedy: () => 'is that address Vault?' },
  'no-value': { code: 'ERR_VAULT_NO_VALUE', remedy: noValueRemedy },
  wrapped: {
    code: 'ERR_VAULT_WRAPPED',
    remedy: () => 'exempt this path for the role of the pod: approvals are not waited for',
  },
};

/** The error for a response that lacks a value, or what Vault always sends. `origin` is the address of Vault. */
export function problemError(
  path: string,
  origin: string,
  { kind, what }: ResponseProblem,
): VouchsafeError {
  const { code, remedy } = VERDICTS[kind];
  const text = `the response of ${origin} for ${path} ${what}; ${remedy(path)}`;
  return new VouchsafeError(code, text, { details: { path } });
}

/** The error for an endpoint that responds with a certificate or a key instead of JSON; `kind` says with what. */
export function notJsonError(path: string, kind: string): VouchsafeError {
  const inJson = jsonPathOf(path);
  const remedy = inJson === undefined ? 'read a path that responds with JSON' : `read ${inJson}`;
  const text = `${path} responds with ${kind}, not with JSON; ${remedy} instead`;
  return new VouchsafeError('ERR_VAULT_NOT_JSON', text, { details: { path } });
}

function noValueRemedy(path: string): string {
  const inJson = likelyJsonPathOf(path);
  return inJson === undefined ? 'check the path, and that the address is Vault' : `read ${inJson}`;
}
