/**
 * The messages between the listener, the core and the mounts: requests, responses, errors.
 */
import type { X509Certificate } from 'node:crypto';

/** The operation of a request; capabilities of policies have the same names. */
export type Operation = 'create' | 'read' | 'update' | 'patch' | 'delete' | 'list';

/** A JSON object of a request or a response. */
export type Json = Record<string, unknown>;

/** The connection a request came over. */
export interface Peer {
  readonly address: string;
  readonly tls: boolean;
  /** The client's certificate; its chain is not verified here. */
  readonly certificate: X509Certificate | undefined;
}

/** A request as the core sees it. */
export interface VaultRequest {
  readonly operation: Operation;
  /** Below `v1/`; ends in a slash for `list`. Within a mount: below the mount. */
  readonly path: string;
  readonly body: Json;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly token: string | undefined;
  /** Without leading or trailing slashes; empty for the root namespace. */
  readonly namespace: string;
  readonly peer: Peer;
}

/** How long something lasts. Zero means: the default of the mount. Periods of time are in milliseconds. */
export interface Terms {
  readonly ttlMs: number;
  readonly maxTtlMs: number;
  readonly periodMs?: number;
  readonly explicitMaxTtlMs?: number;
}

/** The token that a login or a token creation requests. */
export interface TokenGrant extends Terms {
  readonly policies: readonly string[];
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly displayName: string;
  readonly type: 'service' | 'batch';
  readonly renewable: boolean;
  readonly numUses: number;
  readonly noDefaultPolicy: boolean;
  /** ID of the token whose end ends this one; undefined for an orphan. */
  readonly parent?: string;
  readonly entityId: string;
  /** An ID chosen by the caller instead of a random one. */
  readonly id?: string;
  /** Called at each renewal, because roles change; may reject. Default: the terms of the grant. */
  readonly renewal?: (request: VaultRequest) => Terms;
}

/** The lease that comes with a secret. */
export interface LeaseGrant extends Terms {
  readonly renewable: boolean;
  /** Undoes what was issued. */
  readonly revoke: () => void;
  /** Called at each renewal; may reject. Default: the terms of the grant. */
  readonly renewal?: () => Terms;
}

/** The response of a mount. Nothing means 204. */
export interface Answer {
  readonly status?: number;
  readonly data?: Json | null;
  readonly warnings?: readonly string[];
  readonly token?: TokenGrant;
  readonly lease?: LeaseGrant;
  /** A lease duration without a lease, as KV version 1 has it. */
  readonly leaseSeconds?: number;
  /** Envelope fields of another object: the renewed lease or token. */
  readonly envelope?: Json;
  /** Repeats the data at the top level, as `sys/` does. */
  readonly flat?: boolean;
  /** The `mount_type`, if it is not the type of the mount. */
  readonly mountType?: string;
  /** A response without the envelope. */
  readonly raw?: { readonly contentType: string; readonly body: string };
}

/** A response with an error status. The texts are those of Vault. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
  }
}

/** An error in the list form that Vault's core uses for several errors. */
export function listedRefusal(status: number, ...messages: readonly string[]): Refusal {
  const count = messages.length === 1 ? '1 error' : `${messages.length} errors`;
  return new Refusal(
    status,
    `${count} occurred:\n${messages.map((text) => `\t* ${text}\n`).join('')}\n`,
  );
}

/** The response for what does not exist: 404 without a text. */
export const NOTHING_FOUND: Answer = { status: 404 };
