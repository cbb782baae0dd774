/**
 * Types that the agent's engine and the Vault client exchange. Types only: neither imports the other.
 */
import type { Secret } from '../core/index.ts';

/** A client certificate of TLS. */
export interface ClientCertificate {
  readonly certificatePem: string;
  readonly keyPem: Secret<string>;
}

/** A login. `mount` is without `auth/`; `role` may be missing where the mount has a default role. */
export type LoginRequest =
  | {
      readonly method: 'jwt' | 'kubernetes' | 'spiffe';
      readonly mount: string;
      readonly role?: string;
      readonly jwt: Secret<string>;
    }
  | {
      /** With `cert`, later requests present the certificate, too: Vault binds renewal to it. */
      readonly method: 'cert' | 'spiffe';
      readonly mount: string;
      readonly role?: string;
      readonly certificate: ClientCertificate;
    };

/** How long a value stays valid, by Vault's answer. */
export type Validity =
  /** No limit, as for KV: read it again from time to time. */
  | { readonly kind: 'static' }
  /** A lease, which is renewed or replaced. */
  | {
      readonly kind: 'lease';
      readonly leaseId: string;
      /** 0: Vault does not say how long it lasts. */
      readonly durationMs: number;
      readonly renewable: boolean;
      /** The end of the value itself, which no renewal moves. Milliseconds since the epoch. */
      readonly endsAtMs?: number;
    }
  /** Vault itself changes the value after `ttlMs`, as for static database roles. */
  | { readonly kind: 'rotation'; readonly ttlMs: number }
  /** The value itself expires, as certificates without a lease do. */
  | ({ readonly kind: 'expires' } & OwnEnd);

/** When a value ends by what it says itself. Milliseconds since the epoch. */
export interface OwnEnd {
  readonly notBeforeMs?: number;
  readonly expiresAtMs: number;
  /** Present if a read may have answered with a value that Vault holds, rather than made: it may be replaced before its end. */
  readonly isStored?: true;
  /** Present if the value is a Vault token that is revoked with the one that made it. */
  readonly isChild?: true;
}

/** A Vault token after a login or a renewal. */
export interface VaultToken {
  readonly token: Secret<string>;
  /** Batch tokens have none. */
  readonly accessor: string | undefined;
  /** Remaining life in milliseconds; 0 never expires. */
  readonly ttlMs: number;
  readonly renewable: boolean;
  /** Batch tokens can be neither renewed nor revoked. */
  readonly type: 'service' | 'batch';
  /** Remaining uses; 0 is unlimited. */
  readonly numUses: number;
}
