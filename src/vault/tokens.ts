/**
 * Tokens and leases: renewing, checking, revoking.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/system/leases
 */
import { hasCode, type Secret, type VouchsafeError } from '../core/index.ts';
import type { VaultApi } from './api.ts';
import { secondsAt, type JsonObject } from './json.ts';
import { hasNumber, wrappingProblem } from './response-problem.ts';
import {
  errorQuotingVault,
  errorForResponse,
  errorText,
  type ErrorResponse,
} from './error-response.ts';
import type { LeaseRenewal, TokenRenewal } from './types.ts';

/** Vault's texts for a lease that no longer exists. */
const GONE =
  /lease not found|lease expired|lease is expired|invalid lease|no valid associated token|does not correspond to a secret/;

/** The request was valid, but the engine failed: its database is unreachable, say. */
const ENGINE_FAILED = /failed to renew entry/;

/** Vault's texts for a lease that is valid but cannot be renewed. */
const NOT_RENEWABLE = /not renewable|past the max ttl/i;

/** Renews the token itself; `incrementMs` is its TTL from now, which may be shorter than what it had left. */
export async function renewToken(
  api: VaultApi,
  token: Secret<string>,
  signal: AbortSignal,
  incrementMs?: number,
): Promise<TokenRenewal> {
  const path = 'auth/token/renew-self';
  const increment = incrementOf(incrementMs);
  const body = await api.call({ operation: 'token-renew', path, token, body: increment }, signal);
  const auth = api.member(path, body, 'auth');
  // Without a duration the token would seem to live for ever.
  if (!hasNumber(auth, 'lease_duration')) throw api.malformed(path, 'has no lease_duration');
  return { ttlMs: secondsAt(auth, 'lease_duration'), renewable: auth['renewable'] === true };
}

/**
 * Whether Vault knows the token. OpenBao and older versions of Vault deny `lookup-self` with the same text for an
 * unknown token and for a missing policy. Then a mount that every token has is looked up: Vault denies that with a text of
 * its own to a token that it knows.
 */
export async function tokenIsValid(
  api: VaultApi,
  token: Secret<string>,
  signal: AbortSignal,
): Promise<boolean> {
  for (const path of ['auth/token/lookup-self', 'sys/internal/ui/mounts/cubbyhole']) {
    const verdict = await probeToken(api, path, token, signal);
    if (verdict !== 'unclear') return verdict === 'valid';
  }
  return false;
}

async function probeToken(
  api: VaultApi,
  path: string,
  token: Secret<string>,
  signal: AbortSignal,
): Promise<'valid' | 'invalid' | 'unclear'> {
  const onErrorResponse = (answer: ErrorResponse): VouchsafeError | JsonObject =>
    /preflight capability check/.test(errorText(answer)) ? {} : errorForResponse(answer);
  try {
    await api.call({ operation: 'token-lookup', path, token, onErrorResponse }, signal);
    return 'valid';
  } catch (error) {
    if (hasCode(error, 'ERR_VAULT_TOKEN_INVALID')) return 'invalid';
    if (hasCode(error, 'ERR_VAULT_DENIED')) return 'unclear';
    // A Vault without this path has still accepted the token.
    if (hasCode(error, 'ERR_VAULT_NOT_FOUND', 'ERR_VAULT_UNSUPPORTED')) return 'valid';
    throw error;
  }
}

/** Revokes the token itself. */
export async function revokeToken(
  api: VaultApi,
  token: Secret<string>,
  signal: AbortSignal,
): Promise<void> {
  await api.call(
    { operation: 'token-revoke', path: 'auth/token/revoke-self', token, body: {} },
    signal,
  );
}

/** Renews a lease; for one that is valid but not renewable, returns the remaining time. */
export async function renewLease(
  api: VaultApi,
  token: Secret<string>,
  lease: { readonly id: string; readonly incrementMs: number | undefined },
  signal: AbortSignal,
): Promise<LeaseRenewal> {
  const path = 'sys/leases/renew';
  const onErrorResponse = (answer: ErrorResponse): VouchsafeError | JsonObject =>
    answer.status === 400 && NOT_RENEWABLE.test(errorText(answer))
      ? { renewable: false }
      : leaseError(answer, lease.id);
  const body = { lease_id: lease.id, ...incrementOf(lease.incrementMs) };
  const answer = await api.call(
    { operation: 'lease-renew', path, token, body, onErrorResponse },
    signal,
  );
  const wrapping = wrappingProblem(answer);
  if (wrapping !== undefined) throw api.problem(path, wrapping);
  if (answer === undefined) throw api.malformed(path, 'is empty');
  const durationMs = secondsAt(answer, 'lease_duration');
  // Without a duration the answer does not tell what is left, renewable or not.
  if (durationMs > 0) return { durationMs, renewable: answer['renewable'] === true };
  return { durationMs: await remainingLife(api, token, lease.id, signal), renewable: false };
}

function incrementOf(incrementMs: number | undefined): { readonly increment?: number } {
  return incrementMs === undefined ? {} : { increment: Math.ceil(incrementMs / 1000) };
}

async function remainingLife(
  api: VaultApi,
  token: Secret<string>,
  leaseId: string,
  signal: AbortSignal,
): Promise<number> {
  const onErrorResponse = (answer: ErrorResponse): VouchsafeError => leaseError(answer, leaseId);
  const path = 'sys/leases/lookup';
  const body = { lease_id: leaseId };
  const answer = await api.call(
    { operation: 'lease-lookup', path, token, body, onErrorResponse },
    signal,
  );
  const data = api.member(path, answer, 'data');
  // Without a TTL a lease that is still valid would seem to have ended.
  if (!hasNumber(data, 'ttl')) throw api.malformed(path, 'has no ttl');
  return secondsAt(data, 'ttl');
}

/** Revokes a lease; succeeds if Vault no longer knows it. */
export async function revokeLease(
  api: VaultApi,
  token: Secret<string>,
  leaseId: string,
  signal: AbortSignal,
): Promise<void> {
  const onErrorResponse = (answer: ErrorResponse): VouchsafeError => leaseError(answer, leaseId);
  const path = 'sys/leases/revoke';
  const body = { lease_id: leaseId };
  try {
    await api.call({ operation: 'lease-revoke', path, token, body, onErrorResponse }, signal);
  } catch (error) {
    if (!hasCode(error, 'ERR_VAULT_LEASE_GONE')) throw error;
  }
}

/** A lease ID is the path of the secret and one more segment; messages show the path. */
function leaseError(answer: ErrorResponse, leaseId: string): VouchsafeError {
  if (answer.status !== 400) return errorForResponse(answer);
  const path = leaseId.replace(/\/[^/]*$/, '');
  const forPath = { ...answer, path };
  const vaultText = errorText(answer);
  if (GONE.test(vaultText)) {
    return errorQuotingVault(
      forPath,
      'ERR_VAULT_LEASE_GONE',
      `the lease of ${path} no longer exists in Vault`,
    );
  }
  if (!ENGINE_FAILED.test(vaultText)) return errorForResponse(answer);
  const text = `Vault could not renew the lease of ${path}; check the system behind it`;
  return errorQuotingVault(forPath, 'ERR_VAULT_SERVER', text);
}
