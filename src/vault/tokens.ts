/**
 * Tokens and leases: renewing, checking, revoking.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/system/leases
 */
import { hasCode, type Secret, type VouchsafeError } from '../core/index.ts';
import type { VaultApi } from './api.ts';
import { isObject, objectAt, secondsAt, type JsonObject } from './json.ts';
import { refusal, refusalOf, refusalText, type RefusedAnswer } from './refusal.ts';
import type { LeaseRenewal, TokenRenewal } from './types.ts';

/** Vault's texts for a lease that it no longer has. */
const GONE =
  /lease not found|lease expired|lease is expired|invalid lease|no valid associated token|does not correspond to a secret/;

/** The request was right, but the engine could not do its part: its database is away. */
const ENGINE_FAILED = /failed to renew entry/;

/** Vault's texts for a lease that lives on but cannot be prolonged. */
const NOT_RENEWABLE = /not renewable|past the max ttl/i;

/** Renews the token that asks; with an increment for so long from now, which may be less than it had. */
export async function renewToken(
  api: VaultApi,
  token: Secret<string>,
  signal: AbortSignal,
  incrementMs?: number,
): Promise<TokenRenewal> {
  const path = 'auth/token/renew-self';
  const asked = incrementOf(incrementMs);
  const body = await api.call({ operation: 'token-renew', path, token, body: asked }, signal);
  const auth = body?.['auth'];
  if (!isObject(auth)) throw api.malformed(path, 'holds no auth');
  return { ttlMs: secondsAt(auth, 'lease_duration'), renewable: auth['renewable'] === true };
}

/**
 * Whether Vault knows the token. Older versions deny `lookup-self` with the same words for an unknown token
 * and for a missing policy. Then Vault is asked about a mount that every token has: it tells a token it knows,
 * but whose policies do not suffice, by a text of its own.
 */
export async function tokenIsValid(
  api: VaultApi,
  token: Secret<string>,
  signal: AbortSignal,
): Promise<boolean> {
  for (const path of ['auth/token/lookup-self', 'sys/internal/ui/mounts/cubbyhole']) {
    const verdict = await askAbout(api, path, token, signal);
    if (verdict !== 'unclear') return verdict === 'valid';
  }
  return false;
}

async function askAbout(
  api: VaultApi,
  path: string,
  token: Secret<string>,
  signal: AbortSignal,
): Promise<'valid' | 'invalid' | 'unclear'> {
  const refuse = (answer: RefusedAnswer): VouchsafeError | JsonObject =>
    /preflight capability check/.test(refusalText(answer)) ? {} : refusalOf(answer);
  try {
    await api.call({ operation: 'token-lookup', path, token, refuse }, signal);
    return 'valid';
  } catch (error) {
    if (hasCode(error, 'ERR_VAULT_TOKEN_INVALID')) return 'invalid';
    if (hasCode(error, 'ERR_VAULT_DENIED')) return 'unclear';
    // A Vault that does not have the path has let the token pass all the same.
    if (hasCode(error, 'ERR_VAULT_NOT_FOUND', 'ERR_VAULT_UNSUPPORTED')) return 'valid';
    throw error;
  }
}

/** Revokes the token that asks; a token that Vault no longer knows is revoked already. */
export async function revokeToken(
  api: VaultApi,
  token: Secret<string>,
  signal: AbortSignal,
): Promise<void> {
  const path = 'auth/token/revoke-self';
  try {
    await api.call({ operation: 'token-revoke', path, token, body: {} }, signal);
  } catch (error) {
    if (!hasCode(error, 'ERR_VAULT_TOKEN_INVALID')) throw error;
  }
}

/** Renews a lease; one that lives on but cannot be renewed comes back with what is left of its life. */
export async function renewLease(
  api: VaultApi,
  token: Secret<string>,
  lease: { readonly id: string; readonly incrementMs: number | undefined },
  signal: AbortSignal,
): Promise<LeaseRenewal> {
  const path = 'sys/leases/renew';
  const refuse = (answer: RefusedAnswer): VouchsafeError | JsonObject =>
    answer.status === 400 && NOT_RENEWABLE.test(refusalText(answer))
      ? { renewable: false }
      : leaseRefusal(answer, lease.id);
  const body = { lease_id: lease.id, ...incrementOf(lease.incrementMs) };
  const answer = await api.call({ operation: 'lease-renew', path, token, body, refuse }, signal);
  const durationMs = secondsAt(answer, 'lease_duration');
  if (answer?.['renewable'] === true || durationMs > 0) {
    return { durationMs, renewable: answer?.['renewable'] === true };
  }
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
  const refuse = (answer: RefusedAnswer): VouchsafeError => leaseRefusal(answer, leaseId);
  const path = 'sys/leases/lookup';
  const body = { lease_id: leaseId };
  const answer = await api.call({ operation: 'lease-lookup', path, token, body, refuse }, signal);
  return secondsAt(objectAt(answer, 'data'), 'ttl');
}

/** Revokes a lease; one that Vault no longer knows is revoked already. */
export async function revokeLease(
  api: VaultApi,
  token: Secret<string>,
  leaseId: string,
  signal: AbortSignal,
): Promise<void> {
  const refuse = (answer: RefusedAnswer): VouchsafeError => leaseRefusal(answer, leaseId);
  const path = 'sys/leases/revoke';
  const body = { lease_id: leaseId };
  try {
    await api.call({ operation: 'lease-revoke', path, token, body, refuse }, signal);
  } catch (error) {
    if (!hasCode(error, 'ERR_VAULT_LEASE_GONE')) throw error;
  }
}

/** A lease id names the path of its secret before its last segment, which is what people know. */
function leaseRefusal(answer: RefusedAnswer, leaseId: string): VouchsafeError {
  if (answer.status !== 400) return refusalOf(answer);
  const path = leaseId.replace(/\/[^/]*$/, '');
  const about = { ...answer, path };
  const said = refusalText(answer);
  if (GONE.test(said)) {
    return refusal(about, 'ERR_VAULT_LEASE_GONE', `Vault no longer has the lease of ${path}`);
  }
  if (!ENGINE_FAILED.test(said)) return refusalOf(answer);
  const text = `Vault could not renew the lease of ${path}; see to the server behind it`;
  return refusal(about, 'ERR_VAULT_SERVER', text);
}
