/**
 * What the Vault client offers to the rest of the product.
 */
import type { LoginRequest, Validity, VaultToken } from '../contracts/index.ts';
import type {
  Clock,
  JsonText,
  Logger,
  Metrics,
  Random,
  Secret,
  VaultDependency,
} from '../core/index.ts';
import type { LookupFunction } from 'node:net';
import type { AnswerShape, OpenedAnswer } from './answer.ts';

/** Opens answers that hold values: parses them, and finds out how long the values are good. */
export interface AnswerOpener {
  /** `path` is for messages; `nowMs` the wall time. Rejects with the signal's reason on abort. */
  open(answer: UnopenedAnswer, signal: AbortSignal): Promise<OpenedAnswer>;
}

/** The body of an answer, as it came. */
export interface UnopenedAnswer {
  readonly body: Uint8Array;
  readonly shape: AnswerShape;
  readonly path: string;
  readonly nowMs: number;
}

/** Settings of {@link VaultConnections}. */
export interface VaultConnectionsOptions {
  /** PEM of the trusted CAs, asked for at each request, so that a changed CA holds for new connections. */
  readonly ca: () => string | undefined;
  /** The name that Vault's certificate must be for; undefined takes the host of the address. */
  readonly tlsServerName: string | undefined;
  /** Hosts that redirects may lead to, beside that of a client's address. */
  readonly redirectHosts: readonly string[];
  /** Deadline of one request, in milliseconds; what Vault makes something for has three times as long for its answer. */
  readonly timeoutMs: number;
  /** Most connections to one Vault node. */
  readonly maxSockets: number;
  /** Tells how old a connection is: it serves for five minutes, give or take a fifth. */
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Connections that several clients share. They carry requests and remember nothing of them; one that presents a
 * client certificate is used again for that certificate alone. Whoever makes them closes them.
 */
export interface VaultConnections {
  close(): void;
}

/** Where answers are counted while they are in memory, from before they are read until they have been opened. */
export interface AnswerRoom {
  /** Takes room for bytes of the answer for a path. @throws VouchsafeError where there is none; nothing is taken then. */
  take(bytes: number, path: string): void;
  giveBack(bytes: number): void;
}

/** Runs a request when it may begin. Rejects with the signal's reason when aborted before. */
export type RequestTurns = <T>(signal: AbortSignal, request: () => Promise<T>) => Promise<T>;

/** Settings of a Vault client. */
export interface VaultClientOptions {
  /** `https://vault.example:8200`; a path before `/v1` is kept. */
  readonly address: string;
  /** Vault namespace, sent with every request. */
  readonly namespace?: string;
  /** Connections shared with other clients, with their own `ca`, `tlsServerName`, `redirectHosts` and `timeoutMs`. Default: own ones. */
  readonly connections?: VaultConnections;
  /** When requests may begin; they wait for as long as for an answer. Default: at once. */
  readonly turns?: RequestTurns;
  /** PEM of the trusted CAs, asked for at each request, so that a changed CA holds for new connections. */
  readonly ca?: () => string | undefined;
  /** The name that Vault's certificate must be for. Default: the host of the address. */
  readonly tlsServerName?: string;
  /** Hosts that redirects may lead to, beside that of the address; a login never does. Default: none. */
  readonly redirectHosts?: readonly string[];
  /** Resolves the names of hosts. Default: as the system does. */
  readonly lookup?: LookupFunction;
  /** Deadline of one request, in milliseconds; what Vault makes something for has three times as long for its answer. */
  readonly timeoutMs: number;
  /** What opens answers that hold values. Default: {@link OPENER}, at once. */
  readonly opener?: AnswerOpener;
  /** Where answers that hold values are counted. Default: nowhere. */
  readonly room?: AnswerRoom;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** The token of a login. */
export interface LoginToken extends VaultToken {
  /** Names of the token's policies. */
  readonly policies: readonly string[];
}

/** A value from Vault. KV v2 is unwrapped; a list is `{ keys: string[] }`, or as JSON the names alone. */
export interface VaultAnswer {
  readonly data: Readonly<Record<string, unknown>> | JsonText;
  readonly validity: Validity;
  /** Vault's own remarks, fit for a log. */
  readonly warnings: readonly string[];
}

/** The new life of a token, in milliseconds. */
export interface TokenRenewal {
  readonly ttlMs: number;
  readonly renewable: boolean;
}

/** The new life of a lease, in milliseconds. */
export interface LeaseRenewal {
  readonly durationMs: number;
  readonly renewable: boolean;
}

/**
 * One connection to one Vault. Every call is one try (but for HTTP 412, which is Vault asking for another),
 * rejects with a `VouchsafeError` of an `ERR_VAULT_…` code, and with the signal's reason on abort.
 * Whoever creates it closes it.
 */
export interface VaultClient {
  /** @throws `ERR_VAULT_LOGIN_REFUSED` with a hint, `ERR_VAULT_LOGIN_WRAPPED`, `ERR_VAULT_LOGIN_MFA`. */
  login(request: LoginRequest, signal: AbortSignal): Promise<LoginToken>;
  /** @throws `ERR_VAULT_DENIED`, `ERR_VAULT_TOKEN_INVALID`, `ERR_VAULT_NOT_FOUND`, `ERR_VAULT_BAD_REQUEST`, `ERR_VAULT_UNSUPPORTED`. */
  fetch(
    token: Secret<string>,
    dependency: VaultDependency,
    signal: AbortSignal,
  ): Promise<VaultAnswer>;
  /**
   * With `incrementMs` the token is to live for so long from now, which may be less than it had; Vault decides.
   *
   * @throws `ERR_VAULT_TOKEN_INVALID`, or `ERR_VAULT_DENIED` where the token may not renew itself.
   */
  renewToken(
    token: Secret<string>,
    signal: AbortSignal,
    incrementMs?: number,
  ): Promise<TokenRenewal>;
  /** False only when Vault says that the token is not valid. */
  tokenIsValid(token: Secret<string>, signal: AbortSignal): Promise<boolean>;
  /** A token that is gone already counts as revoked. */
  revokeToken(token: Secret<string>, signal: AbortSignal): Promise<void>;
  /**
   * Asks for `incrementMs` more (Vault decides; undefined asks for the default). A lease that Vault no longer
   * renews comes back with the life it has left and `renewable: false`.
   *
   * @throws `ERR_VAULT_LEASE_GONE` when Vault no longer knows the lease.
   */
  renewLease(
    token: Secret<string>,
    leaseId: string,
    incrementMs: number | undefined,
    signal: AbortSignal,
  ): Promise<LeaseRenewal>;
  /** A lease that is gone already counts as revoked. */
  revokeLease(token: Secret<string>, leaseId: string, signal: AbortSignal): Promise<void>;
  /** Closes its own connections; requests under way fail. */
  close(): void;
}
