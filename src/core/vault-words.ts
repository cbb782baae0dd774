/**
 * What the engine and the Vault client say to each other; neither knows the other, both know this.
 */
import type { Secret } from './secret.ts';

/** A login. `mount` is without `auth/`; `role` may be missing where the mount has a default one. */
export type LoginRequest =
  | {
      readonly method: 'jwt' | 'kubernetes' | 'spiffe';
      readonly mount: string;
      readonly role?: string;
      readonly jwt: Secret<string>;
    }
  | {
      /** The client keeps presenting the certificate on later requests: Vault binds renewal to it. */
      readonly method: 'cert';
      readonly mount: string;
      readonly role?: string;
      readonly certificatePem: string;
      readonly keyPem: Secret<string>;
    };

/** What Vault said about how long a value is good. */
export type Validity =
  /** Nothing, as for KV: read it again from time to time. */
  | { readonly kind: 'static' }
  /** A lease, to be renewed or replaced. */
  | {
      readonly kind: 'lease';
      readonly leaseId: string;
      readonly durationMs: number;
      readonly renewable: boolean;
    }
  /** Vault changes the value by itself after `ttlMs`, as for static database roles. */
  | { readonly kind: 'rotation'; readonly ttlMs: number }
  /** An end within the value, as for certificates without a lease. Times are milliseconds since the epoch. */
  | { readonly kind: 'expires'; readonly notBeforeMs?: number; readonly expiresAtMs: number };
