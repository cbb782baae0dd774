/**
 * The agent's settings after parsing: all present, typed, with units in their names, frozen.
 * `parse-agent-config.ts` makes it from the document whose JSON Schema is `agent-config.schema.json`.
 */
import type { Grants, LogLevel, WriteParams } from '../core/index.ts';

/** How the agent proves who it is to Vault. */
export const AUTH_METHODS = ['jwt', 'cert', 'spiffe', 'kubernetes'] as const;
/** One of {@link AUTH_METHODS}. */
export type AuthMethod = (typeof AUTH_METHODS)[number];

/** The shipped templates: `templates/<format>.hbs`. */
export const FORMATS = ['json', 'env', 'properties', 'yaml', 'raw'] as const;
/** One of {@link FORMATS}. */
export type Format = (typeof FORMATS)[number];

/** What tells the application that its files have changed. */
export type NotifyAction =
  /** `signal` is a name such as `SIGHUP`. */
  | { readonly kind: 'signal'; readonly signal: string; readonly container: string }
  /** `url` is on loopback. */
  | { readonly kind: 'http'; readonly method: 'GET' | 'POST' | 'PUT'; readonly url: string }
  | { readonly kind: 'restart'; readonly container: string };

/** A Vault path, perhaps with one key of its data: `kvv2/app#password`. */
export interface SecretRef {
  readonly path: string;
  readonly key?: string;
  /** Present where the value is the answer to a write. */
  readonly params?: WriteParams;
}

/** Where the bytes of a file come from. */
export type FileSource =
  /** `secret`, if given, is the context that the template starts with. */
  | { readonly kind: 'template'; readonly text: string; readonly secret?: SecretRef }
  | { readonly kind: 'template-file'; readonly path: string; readonly secret?: SecretRef }
  | { readonly kind: 'format'; readonly format: Format; readonly secret: SecretRef }
  | { readonly kind: 'jwt-svid'; readonly audiences: readonly string[] }
  | { readonly kind: 'x509-svid'; readonly part: 'svid' | 'key' | 'bundle' };

/** One delivered file. */
export interface FileConfig {
  /** Logical name, unique; logs and metrics speak of it. */
  readonly name: string;
  /** Path below the output directory. */
  readonly path: string;
  /** Permission bits, e.g. 0o440. */
  readonly mode: number;
  readonly source: FileSource;
  /** How often a value without a lease is read again. */
  readonly refreshMs: number;
  readonly onChange: readonly NotifyAction[];
}

/** Connection to Vault. */
export interface VaultConfig {
  /** `https://vault.example:8200` */
  readonly address: string;
  readonly namespace: string | undefined;
  /** PEM file, read again when it changes. */
  readonly caFile: string | undefined;
  /** PEM text. */
  readonly caPem: string | undefined;
  readonly tlsServerName: string | undefined;
  /** Hosts that redirects may lead to, beside that of the address. */
  readonly redirectHosts: readonly string[];
  /** Limit of one request; that of what Vault makes something for is three times as long. */
  readonly timeoutMs: number;
}

/** Login to Vault. */
export interface AuthConfig {
  readonly method: AuthMethod;
  /** Auth mount without `auth/`: `jwt`. */
  readonly mount: string;
  /** Undefined where the mount has a default role. */
  readonly role: string | undefined;
  /** Audience of the JWT-SVID. */
  readonly audience: string;
  /** A service-account token to log in with instead of a JWT-SVID; read anew at each login. */
  readonly tokenFile: string | undefined;
}

/** Identity from the Workload API. */
export interface SpiffeConfig {
  /** `unix:///path` or `tcp://IP:port`. */
  readonly socket: string;
  readonly spiffeId: string | undefined;
  readonly hint: string | undefined;
}

/** Everything that one agent is told. */
export interface AgentConfig {
  /** Undefined where no SVID is needed. */
  readonly spiffe: SpiffeConfig | undefined;
  /** Both undefined where only SVIDs are delivered. */
  readonly vault: VaultConfig | undefined;
  readonly auth: AuthConfig | undefined;
  /** What may be asked of Vault and for SVIDs; undefined is everything. */
  readonly grants: Grants | undefined;
  /** Directory that holds the delivered set. */
  readonly outputDirectory: string;
  readonly files: readonly FileConfig[];
  /** Once per changed set. */
  readonly onChange: readonly NotifyAction[];
  /** What a start does when the deadline passes: give up, or go on waiting. */
  readonly onMissingVault: 'fail' | 'wait';
  readonly initDeadlineMs: number;
  readonly revokeOnExit: boolean;
  /** How long a replaced credential stays valid after the application was notified. */
  readonly revokeGraceMs: number;
  /** How long leased credentials stay valid after the agent was told to stop; the application ends meanwhile. */
  readonly revokeDelayMs: number;
  /** Bytes of texts and items that one rendering may make. */
  readonly maxRenderBytes: number;
  /** Private directory for the hand-over to a successor; undefined keeps nothing. */
  readonly stateDirectory: string | undefined;
  /** `host:port` of health, metrics and status; undefined opens no port. Port 0 lets the system choose. */
  readonly listen: string | undefined;
  /** File for the reason of a failed start; undefined writes none. */
  readonly terminationLog: string | undefined;
  readonly logLevel: LogLevel;
}
