/**
 * The messages between the server, the core and the mounts: requests, responses, errors.
 */
import type { X509Certificate } from 'node:crypto';

/** The operation of a request. Creating is an `update`, too. */
export type Operation = 'read' | 'update' | 'delete' | 'list';

/** A JSON object of a request or a response. */
export type Json = Record<string, unknown>;

/** A request as the core sees it. */
export interface VaultRequest {
  readonly operation: Operation;
  /** Below `v1/`, without a trailing slash; within a mount: below the mount. */
  readonly path: string;
  readonly body: Json;
  readonly query: URLSearchParams;
  readonly token: string | undefined;
  /** Credential in the header `Authorization`. */
  readonly bearer: string | undefined;
  /** The client's certificate over TLS; its chain is not verified here. */
  readonly certificate: X509Certificate | undefined;
}

/** How long something lasts, in milliseconds. 0: the system's default. */
export interface Terms {
  readonly ttlMs: number;
  readonly maxTtlMs: number;
}

/** The token that a login requests. */
export interface TokenGrant extends Terms {
  readonly policies: readonly string[];
}

/** The lease that comes with a secret. */
export interface LeaseGrant extends Terms {
  /** Called at each renewal, because roles change; may reject. */
  readonly renew: () => Terms;
  /** Undoes what was issued. */
  readonly revoke: () => void;
}

/** The response of a mount. Nothing means 204. */
export interface Answer {
  readonly status?: number;
  readonly data?: Json | null;
  readonly token?: TokenGrant;
  readonly lease?: LeaseGrant;
  /** Further fields of the envelope: a renewed lease or token. */
  readonly envelope?: Json;
  /** A response without the envelope. */
  readonly plain?: Json;
}

/** A response with an error status. The texts are those of Vault. */
export class VaultError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'VaultError';
    this.status = status;
  }
}

/** An error in the list form that Vault's core uses. */
export function listedError(status: number, ...messages: readonly string[]): VaultError {
  const count = messages.length === 1 ? '1 error' : `${messages.length} errors`;
  const items = messages.map((text) => `\t* ${text}\n`).join('');
  return new VaultError(status, `${count} occurred:\n${items}\n`);
}

/** The response for what does not exist: 404 without a text. */
export const NOT_FOUND: Answer = { status: 404 };
