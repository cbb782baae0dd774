/**
 * Digests by which a successor recognizes what of a state is its own.
 */
import { createHash } from 'node:crypto';
import type { AgentConfig, LoginConfig } from '../config/agent/index.ts';
import { named } from './value-files.ts';

/** The settings of one login, those of the document itself included. */
export type LoginTarget = Partial<Pick<LoginConfig, 'vault' | 'auth'>> | AgentConfig;

/** Fingerprint of the settings that determine the identity behind a token. */
export function identityOf({ spiffe }: AgentConfig, { vault, auth }: LoginTarget): string {
  const parts = [vault?.address, vault?.namespace, auth, spiffe?.spiffeId, spiffe?.hint];
  return digestOf(parts);
}

/** Fingerprint of the Vault server where a token can be revoked. */
export function connectionOf({ vault }: LoginTarget): string {
  return digestOf([vault?.address, vault?.namespace]);
}

/** A digest of a JSON value. Long values are represented by their names, which are equal only for the same value. */
export function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value, named)).digest('hex');
}
