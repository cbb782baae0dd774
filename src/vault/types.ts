/**
 * The public types of the Vault client.
 */
import type { ClientCertificate, LoginRequest, Validity, VaultToken } from '../contracts/index.ts';
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
import type { ResponseShape, ParsedResponse } from './response.ts';

/** Parses responses with values, and determines how long the values are valid. */
export interface ResponseParser {
  /** Rejects with the signal's reason on abort. */
  parse(answer: RawResponse, signal: AbortSignal): Promise<ParsedResponse>;
}

/** The unparsed body of a response. */
interface RawResponse {
  readonly body: Uint8Array;
  readonly shape: ResponseShape;
  /** For messages. */
  readonly path: string;
  /** Wall time. */
  readonly nowMs: number;
}

/** Settings of {@link VaultConnections}. */
export interface VaultConnectionsOptions {
  /** PEM of the trusted CAs, called for each request: a changed CA takes effect for new connections. */
  readonly ca: () => string | undefined;
  /** The name that Vault's certificate must be for; undefined: the host of the address. */
  readonly tlsServerName: string | undefined;
  /** Further hosts that redirects may lead to. */
  readonly redirectHosts: readonly string[];
  /** The HTTP(S) proxy that everything goes through: `http://proxy.example:3128`. Default: none. */
  readonly proxy?: string | undefined;
  /** Deadline of one request, in milliseconds; three times as long if Vault may create a token or a lease for it. */
  readonly timeoutMs: number;
  /** Most connections to one Vault node. */
  readonly maxSockets: number;
  /** Measures the age of connections: each is used for five minutes, ±20 %. */
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Connections that several clients share. A connection that presents a client certificate is reused only for
 * that certificate. The caller closes them.
 */
export interface VaultConnections {
  close(): void;
}

/** Limits the memory of responses, from before they are read until they are parsed. */
export interface ResponseBudget {
  /** Reserves bytes for the response for a path. @throws VouchsafeError if the budget is exhausted; nothing is reserved then. */
  reserve(bytes: number, path: string): void;
  release(bytes: number): void;
}

/** Runs a request as soon as it may start. Rejects with the signal's reason when aborted before. */
export type RequestLimiter = <T>(signal: AbortSignal, request: () => Promise<T>) => Promise<T>;

/** Settings of a Vault client. */
export interface VaultClientOptions {
  /** `https://vault.example:8200`; a path prefix is kept. */
  readonly address: string;
  /** Vault namespace, sent with every request. */
  readonly namespace?: string;
  /** Connections shared with other clients; they have their own `ca`, `tlsServerName`, `redirectHosts`, `proxy` and `timeoutMs`. Default: its own. */
  readonly connections?: VaultConnections;
  /** Decides when a request may start, within `timeoutMs`. Default: immediately. */
  readonly limiter?: RequestLimiter;
  /** PEM of the trusted CAs, called for each request: a changed CA takes effect for new connections. */
  readonly ca?: () => string | undefined;
  /** The name that Vault's certificate must be for. Default: the host of the address. */
  readonly tlsServerName?: string;
  /** Further hosts that redirects may lead to, except those of logins. Default: none. */
  readonly redirectHosts?: readonly string[];
  /** The HTTP(S) proxy that everything goes through, which then also resolves host names. Default: none. */
  readonly proxy?: string | undefined;
  /** Resolves host names. Default: the system's resolver. */
  readonly lookup?: LookupFunction;
  /** Deadline of one request, in milliseconds; three times as long if Vault may create a token or a lease for it. */
  readonly timeoutMs: number;
  /** Parses responses with values. Default: in this process. */
  readonly parser?: ResponseParser;
  /** Limits the memory of responses with values. Default: no limit. */
  readonly budget?: ResponseBudget;
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

/** A value from Vault. KV v2 is unwrapped; a list is `{ keys: string[] }`, or, as JSON, only the names. */
export interface VaultValue {
  readonly data: Readonly<Record<string, unknown>> | JsonText;
  readonly validity: Validity;
  /** Vault's own warnings, safe to log. */
  readonly warnings: readonly string[];
}

/** A renewed token. */
export interface TokenRenewal {
  readonly ttlMs: number;
  readonly renewable: boolean;
}

/** A renewed lease. */
export interface LeaseRenewal {
  readonly durationMs: number;
  readonly renewable: boolean;
}

/**
 * A client of one Vault. Every call is one attempt (except after HTTP 412, with which Vault requests another),
 * and rejects with a `VouchsafeError` of an `ERR_VAULT_…` code, or with the signal's reason on abort.
 * The caller closes it.
 */
export interface VaultClient {
  /** Presents a client certificate with each request from now on. */
  present(certificate: ClientCertificate): void;
  /** @throws `ERR_VAULT_LOGIN_REFUSED` with a hint, `ERR_VAULT_LOGIN_WRAPPED`, `ERR_VAULT_LOGIN_MFA`. */
  login(request: LoginRequest, signal: AbortSignal): Promise<LoginToken>;
  /**
   * @throws `ERR_VAULT_DENIED`, `ERR_VAULT_TOKEN_INVALID`, `ERR_VAULT_NOT_FOUND`, `ERR_VAULT_BAD_REQUEST`,
   * `ERR_VAULT_UNSUPPORTED`. For an optional read `isAbsence` distinguishes a secret that is absent from a wrong path.
   */
  fetch(
    token: Secret<string>,
    dependency: VaultDependency,
    signal: AbortSignal,
  ): Promise<VaultValue>;
  /**
   * `incrementMs` requests a TTL from now, which may be shorter than what the token had left; Vault decides.
   *
   * @throws `ERR_VAULT_TOKEN_INVALID`, or `ERR_VAULT_DENIED` if the token may not renew itself.
   */
  renewToken(
    token: Secret<string>,
    signal: AbortSignal,
    incrementMs?: number,
  ): Promise<TokenRenewal>;
  /** False only when Vault says that the token is not valid. */
  tokenIsValid(token: Secret<string>, signal: AbortSignal): Promise<boolean>;
  /** Succeeds if the token no longer exists. */
  revokeToken(token: Secret<string>, signal: AbortSignal): Promise<void>;
  /**
   * Requests `incrementMs` from now (Vault decides; undefined: its default). For a lease that cannot be renewed any
   * more the result is its remaining time and `renewable: false`.
   *
   * @throws `ERR_VAULT_LEASE_GONE` when Vault no longer knows the lease.
   */
  renewLease(
    token: Secret<string>,
    leaseId: string,
    incrementMs: number | undefined,
    signal: AbortSignal,
  ): Promise<LeaseRenewal>;
  /** Succeeds if the lease no longer exists. */
  revokeLease(token: Secret<string>, leaseId: string, signal: AbortSignal): Promise<void>;
  /** Closes its own connections; requests in progress fail. */
  close(): void;
}
