/**
 * The interfaces that the engine uses. Their implementations depend neither on each other nor on the engine;
 * `src/agent-runtime` passes them in.
 */
import type {
  ClientCertificate,
  LoginRequest,
  OutputFile,
  Validity,
  VaultToken,
} from '../contracts/index.ts';
import type {
  Dependency,
  JsonText,
  Secret,
  SpiffeId,
  VaultDependency,
  VouchsafeError,
} from '../core/index.ts';
import type { AuthConfig } from '../config/agent/index.ts';
import type { Format, NotifyAction } from '../config/schema/index.ts';

/** The size of all values of an engine, in bytes: without and with their copies in the saved state. */
export interface ValuesSize {
  readonly valueBytes: number;
  readonly heldBytes: number;
}

/** The memory budget for values that many engines share. */
export interface ValuesRoom {
  /**
   * Reserves the size that the engine will have with a new value; `label` names the value in the error.
   *
   * @throws VouchsafeError if the engine grows and there is no room: the value is not kept then.
   */
  hold(size: ValuesSize, label: string): void;
  /** Records the current size, whether it fits or not. */
  adopt(size: ValuesSize): void;
}

/** The kubelet's hook, which holds the application back until the files are there. */
export interface StartGatePort {
  /** Rejects with `ERR_AGENT_START_PENDING` when the hook ends unanswered; never resolves. */
  readonly lost: Promise<never>;
  /** How long a token has to live until the next try of the start can renew it, in milliseconds. */
  readonly lifeBetweenTriesMs: number;
  /** Begins a try; returns how long it may take, and whether the deadline is at its end. */
  begin(deadlineMs: number): { readonly ms: number; readonly isLast: boolean };
  /** The files are there: the hook succeeds. */
  open(): void;
  /** The start has ended, and no other try follows. */
  endStart(): void;
}

/** Vault, one try per call. */
export interface VaultPort {
  /** Presents a client certificate with each request from now on. */
  present(certificate: ClientCertificate): void;
  login(request: LoginRequest, signal: AbortSignal): Promise<VaultToken>;
  /** Rejects with an error for which `isAbsence` is true if the secret of a read does not exist. */
  fetch(
    token: Secret<string>,
    dependency: VaultDependency,
    signal: AbortSignal,
  ): Promise<{
    /** As JSON if another process parses it; of a list it is then only the names. */
    readonly data: Readonly<Record<string, unknown>> | JsonText;
    readonly validity: Validity;
  }>;
  /** `incrementMs` is the requested TTL from now on, which may be less than the token has. */
  renewToken(
    token: Secret<string>,
    signal: AbortSignal,
    incrementMs?: number,
  ): Promise<{ readonly ttlMs: number; readonly renewable: boolean }>;
  revokeToken(token: Secret<string>, signal: AbortSignal): Promise<void>;
  renewLease(
    token: Secret<string>,
    leaseId: string,
    incrementMs: number | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly durationMs: number; readonly renewable: boolean }>;
  revokeLease(token: Secret<string>, leaseId: string, signal: AbortSignal): Promise<void>;
}

/** A JWT-SVID. */
interface JwtSvid {
  readonly spiffeId: SpiffeId;
  readonly token: Secret<string>;
  readonly issuedAtMs: number | undefined;
  readonly expiresAtMs: number;
}

/** An X.509-SVID as PEM. */
export interface X509Files {
  readonly spiffeId: string;
  readonly svid: string;
  readonly key: Secret<string>;
  /** Authorities of the own trust domain. */
  readonly bundle: string;
  /** Authorities of each federated trust domain, sorted by its name. */
  readonly federated: readonly { readonly trustDomain: string; readonly pem: string }[];
  readonly expiresAtMs: number;
}

/** The identity of the workload, one try per call. */
export interface IdentityPort {
  jwtSvid(audiences: readonly string[], signal: AbortSignal): Promise<JwtSvid>;
  /** The newest X.509-SVID, waiting for the first one. */
  x509Svid(signal: AbortSignal): Promise<X509Files>;
  /** Each newer X.509-SVID. */
  x509Updates(signal: AbortSignal): AsyncIterable<X509Files>;
  /** Why there is no X.509-SVID; undefined if there is one. */
  readonly lastError: VouchsafeError | undefined;
}

/** The values that templates are rendered with, by `dependencyKey`. Null: the secret does not exist. */
export type KnownValues = ReadonlyMap<string, { readonly value: unknown }>;

/** One template to render. */
export interface TemplateJob<T> {
  readonly template: T;
  /** The root context: a dependency, or one key of its data. Default: an empty object. */
  readonly context?: { readonly dependency: Dependency; readonly key?: string };
}

/** The result of a rendering: a text, or the dependencies that are missing. */
export interface TemplateOutput {
  readonly text: string | undefined;
  /** Instead of `text`, if the template printed bytes that are not UTF-8. */
  readonly binary: Uint8Array | undefined;
  /** SHA-256 of the bytes in base64, if the renderer has computed it. */
  readonly digest?: string | undefined;
  /** True if there is to be no file, because the context is optional and absent. */
  readonly isAbsent?: boolean;
  readonly missing: readonly Dependency[];
  readonly used: readonly Dependency[];
}

/** Parses and renders templates. `T` is a parsed template, or a handle of one that another process parses. */
export interface TemplatePort<T> {
  /** Throws for a syntax error, or leaves that to the rendering. */
  parseTemplate(source: string, name: string): T;
  formatTemplate(format: Format): T;
  /**
   * Renders the templates independently, in their order: an output, or the error of the template. Rejects with the
   * signal's reason on abort, and with an error if nothing can be rendered.
   */
  renderTemplates(
    jobs: readonly TemplateJob<T>[],
    values: KnownValues,
    signal: AbortSignal,
  ): Promise<readonly (TemplateOutput | VouchsafeError)[]>;
}

/** Swaps in a whole set of files. */
export interface WriterPort {
  write(
    files: readonly OutputFile[],
    signal: AbortSignal,
  ): Promise<{
    readonly changed: readonly string[];
    readonly swapped: boolean;
    /** Version of the environment variables in the set, if there are any. */
    readonly version?: number;
  }>;
}

/** The environment of other containers of the pod. */
export interface EnvPort {
  /** The version of the variables that the main process of a container started with; undefined if it cannot be seen. */
  versionOf(container: string): Promise<number | undefined>;
}

/** Notifies the application. Rejects only on abort. */
export interface NotifierPort {
  notify(actions: readonly NotifyAction[], signal: AbortSignal): Promise<void>;
}

/** Reads mounted templates and token files. */
export interface FilesPort {
  /** The text of a file of at most `maxBytes`. Rejects with the system's error. */
  read(path: string, maxBytes: number): Promise<string>;
  /** Yields at the start and each time one of the files may have changed. */
  watch(paths: readonly string[], signal: AbortSignal): AsyncIterable<void>;
}

/** A service-account token that the kubelet keeps fresh. */
export interface TokenPort {
  /** The newest token for this login, waiting for one that is valid. */
  token(auth: AuthConfig, signal: AbortSignal): Promise<Secret<string>>;
}
