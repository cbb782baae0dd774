/**
 * The agent's configuration after parsing: every setting present and typed, units in the names, frozen.
 * `parse-agent-config.ts` parses it from the document whose JSON Schema is `agent-config.schema.json`.
 */
import type { Grants, LogLevel } from '../../core/index.ts';
import type {
  AuthMethod,
  EnvOnChange,
  Format,
  NotifyAction,
  SecretRef,
  StartGateKind,
} from '../schema/index.ts';

/** Where the bytes of a file come from. */
export type FileSource =
  /** `secret`, if present, is the root context of the template. */
  | { readonly kind: 'template'; readonly text: string; readonly secret?: SecretRef }
  | { readonly kind: 'template-file'; readonly path: string; readonly secret?: SecretRef }
  | { readonly kind: 'format'; readonly format: Format; readonly secret: SecretRef }
  | { readonly kind: 'jwt-svid'; readonly audiences: readonly string[] }
  | {
      readonly kind: 'x509-svid';
      readonly part: 'svid' | 'key' | 'bundle';
      /** Present if the file is PKCS#12: then `svid` holds the key as well. */
      readonly password?: string;
    };

/** One delivered file. */
export interface FileConfig {
  /** Logical name, unique; used in logs and metrics. */
  readonly name: string;
  /** Path below the output directory, or `variablePath` of a variable. */
  readonly path: string;
  /** Present if the bytes are the value of this environment variable, in the syntax that the kubelet reads. */
  readonly variable?: string;
  /** Permission bits, e.g. 0o440. */
  readonly mode: number;
  readonly source: FileSource;
  /** Name of the login that its values are requested with; absent for `auth` of the config. */
  readonly login?: string;
  /** How often a value without a lease is read again. */
  readonly refreshMs: number;
  /** Present if the file sets its own refresh: then writes are repeated at it as well. */
  readonly isRefreshSet?: true;
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
  /** Hosts that Vault may redirect to, besides the host of the address. */
  readonly redirectHosts: readonly string[];
  /** Origin of the HTTP(S) proxy, `http://proxy.example:3128`; undefined connects directly. */
  readonly proxy: string | undefined;
  /** Timeout of one request; three times as long for requests that make Vault create something. */
  readonly timeoutMs: number;
}

/** Login to Vault. */
export interface AuthConfig {
  readonly method: AuthMethod;
  /** Auth mount without `auth/`: `jwt`. */
  readonly mount: string;
  /** Undefined for the default role of the mount. */
  readonly role: string | undefined;
  /** Audience of the JWT-SVID. */
  readonly audience: string;
  /** Present if the method `spiffe` uses the X.509-SVID; without it, the JWT-SVID. */
  readonly svid?: 'x509';
  /** A service-account token to log in with instead of a JWT-SVID; read again at each login. */
  readonly tokenFile: string | undefined;
}

/** Whether a login presents the X.509-SVID as the client certificate of TLS. */
export function presentsX509({ method, svid }: Pick<AuthConfig, 'method' | 'svid'>): boolean {
  return method === 'cert' || svid === 'x509';
}

/** A further login, for the files that name it. */
export interface LoginConfig {
  readonly name: string;
  readonly vault: VaultConfig;
  readonly auth: AuthConfig;
  /** What may be requested with it; undefined allows everything. */
  readonly grants: Grants | undefined;
}

/** Identity from the Workload API. */
export interface SpiffeConfig {
  /** `unix:///path` or `tcp://IP:port`. */
  readonly socket: string;
  readonly spiffeId: string | undefined;
  readonly hint: string | undefined;
}

/** Environment variables of other containers, in files that the kubelet reads. */
export interface EnvConfig {
  readonly directory: string;
  /** Undefined: `restart` for values that end, `none` for others. */
  readonly onChange: EnvOnChange | undefined;
  /** Containers with the variables whose processes the agent can see and signal. */
  readonly containers: readonly string[];
}

/** The configuration of one agent. */
export interface AgentConfig {
  /** Undefined if no SVID is needed. */
  readonly spiffe: SpiffeConfig | undefined;
  /** Both undefined if only SVIDs are delivered. */
  readonly vault: VaultConfig | undefined;
  readonly auth: AuthConfig | undefined;
  /** The other logins, each with a session of its own; none without `vault` and `auth`. */
  readonly logins: readonly LoginConfig[];
  /** What may be requested of Vault by `auth`, and of the Workload API; undefined allows everything. */
  readonly grants: Grants | undefined;
  /** Directory of the delivered files. */
  readonly outputDirectory: string;
  /** The delivered files, and those with variables. */
  readonly files: readonly FileConfig[];
  /** Undefined without variables. */
  readonly env: EnvConfig | undefined;
  /** Actions that run once per changed generation. */
  readonly onChange: readonly NotifyAction[];
  /** What happens when the start exceeds the deadline: fail, or go on waiting. */
  readonly onMissingVault: 'fail' | 'wait';
  readonly initDeadlineMs: number;
  /** What holds the application back: the kubelet's hook, which the agent answers, or its probe. */
  readonly startGate: StartGateKind;
  readonly revokeOnExit: boolean;
  /** How long a replaced credential stays valid after the application was notified. */
  readonly revokeGraceMs: number;
  /** How long leased credentials stay valid after the agent received SIGTERM, while the application ends. */
  readonly revokeDelayMs: number;
  /** Memory that one rendering may allocate for text and items. */
  readonly maxRenderBytes: number;
  /** Private directory for the hand-over to a successor; undefined disables it. */
  readonly stateDirectory: string | undefined;
  /** `host:port` of health, metrics and status; undefined opens no port, port 0 picks a free one. */
  readonly listen: string | undefined;
  /** File for the reason of a failed start; undefined disables it. */
  readonly terminationLog: string | undefined;
  readonly logLevel: LogLevel;
}
