/**
 * Signs JSON Web Tokens with a key that can be rotated: JWT-SVIDs and service account tokens.
 */
import { generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto';
import { SignJWT, type JWK } from 'jose';
import type { Clock } from '../../core/index.ts';
import { systemClock } from '../../platform/index.ts';

const DEFAULT_TTL_MS = 300_000;

/** Content of a token. */
interface TokenRequest {
  /** Omitted if undefined, as by SPIRE without `jwt_issuer`. */
  readonly issuer?: string | undefined;
  readonly subject: string;
  /** Always an array in the token, as SPIRE and Kubernetes write it. */
  readonly audience: string | readonly string[];
  /** Default five minutes. Negative values make an expired token. */
  readonly ttlMs?: number | undefined;
  /** Further claims; they take precedence over the ones above. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Mints tokens and publishes the keys that verify them. */
export interface TokenIssuer {
  /** Public keys (ES256) with `kid`, the current one first; older ones stay. Without `use`, which depends on the publisher. */
  jwks(): { readonly keys: readonly JWK[] };
  mint(request: TokenRequest): Promise<string>;
  /** Signs with a new key from now on. */
  rotate(): void;
}

interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: JWK;
}

/** An issuer with a new key. Mints service account tokens with an `issuer` and a subject `system:serviceaccount:…`. */
export function createTokenIssuer(clock: Clock = systemClock): TokenIssuer {
  let current = makeKey();
  const keys = [current.jwk];
  return {
    jwks: () => ({ keys: [...keys] }),
    async mint({ issuer, subject, audience, ttlMs = DEFAULT_TTL_MS, claims = {} }) {
      const issuedAt = Math.floor(clock.now() / 1000);
      const payload = {
        ...(issuer === undefined ? {} : { iss: issuer }),
        sub: subject,
        aud: typeof audience === 'string' ? [audience] : [...audience],
        iat: issuedAt,
        exp: issuedAt + Math.floor(ttlMs / 1000),
        ...claims,
      };
      return await new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', kid: current.kid, typ: 'JWT' })
        .sign(current.privateKey);
    },
    rotate() {
      current = makeKey();
      keys.unshift(current.jwk);
    },
  };
}

function makeKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = randomUUID();
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' } };
}
