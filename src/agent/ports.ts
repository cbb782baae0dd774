/**
 * What the engine needs from the parts around it. The parts know nothing of each other nor of the engine;
 * `src/agent-runtime` hands them in.
 */
import type { LoginRequest, OutputFile, Validity, VaultToken } from '../contracts/index.ts';
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

/** All values of an engine, in bytes: by themselves, and with the copies of them that a successor is to find. */
export interface ValuesSize {
  readonly valueBytes: number;
  readonly heldBytes: number;
}

/** Where values are counted, where many engines share the memory. */
export interface ValuesRoom {
  /**
   * What there is to be from now on; `label` is the value that comes.
   *
   * @throws VouchsafeError where that is more than before, and does not fit: the value is not kept then.
   */
  hold(size: ValuesSize, label: string): void;
  /** What there is already, whether it fits or not. */
  adopt(size: ValuesSize): void;
}

/** Vault, one try a call. */
export interface VaultPort {
  login(request: LoginRequest, signal: AbortSignal): Promise<VaultToken>;
  fetch(
    token: Secret<string>,
    dependency: VaultDependency,
    signal: AbortSignal,
  ): Promise<{
    /** As JSON where whoever reads it is another process; of a list then the names alone. */
    readonly data: Readonly<Record<string, unknown>> | JsonText;
    readonly validity: Validity;
  }>;
  /** With `incrementMs` the token is to live for so long from now, which may be less than it had. */
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
export interface JwtSvid {
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
  readonly bundle: string;
  readonly expiresAtMs: number;
}

/** The workload's own identity, one try a call. */
export interface IdentityPort {
  jwtSvid(audiences: readonly string[], signal: AbortSignal): Promise<JwtSvid>;
  /** The newest X.509-SVID, waiting for the first one. */
  x509Svid(signal: AbortSignal): Promise<X509Files>;
  /** Each newer X.509-SVID. */
  x509Updates(signal: AbortSignal): AsyncIterable<X509Files>;
  /** Why there is no X.509-SVID, while there is none. */
  readonly lastError: VouchsafeError | undefined;
}

/** What templates are rendered over: the values at hand, by `dependencyKey`. */
export type KnownValues = ReadonlyMap<string, { readonly value: unknown }>;

/** One template that is to be rendered. */
export interface TemplateJob<T> {
  readonly template: T;
  /** The dependency, and perhaps the key of its data, that is the root context. Default: an empty object. */
  readonly context?: { readonly dependency: Dependency; readonly key?: string };
}

/** What a rendering gave: a text, or what is still missing. */
export interface TemplateOutput {
  readonly text: string | undefined;
  /** Instead of a text, where the template printed bytes that are none. */
  readonly binary: Uint8Array | undefined;
  /** SHA-256 of the bytes in base64, where whoever has rendered them has it. */
  readonly digest?: string | undefined;
  readonly missing: readonly Dependency[];
  readonly used: readonly Dependency[];
}

/** Templates; `T` is what one becomes before it is rendered: parsed, or only named to whoever parses it. */
export interface TemplatePort<T> {
  /** May throw what is wrong with the text, or leave that to the rendering. */
  parseTemplate(source: string, name: string): T;
  formatTemplate(format: Format): T;
  /**
   * Renders each template by itself, in their order: one that cannot be rendered gives its error, and the others
   * their output. Rejects with the signal's reason on abort, and with an error where none can be rendered.
   */
  renderTemplates(
    jobs: readonly TemplateJob<T>[],
    values: KnownValues,
    signal: AbortSignal,
  ): Promise<readonly (TemplateOutput | VouchsafeError)[]>;
}

/** Swaps a whole set of files in. */
export interface WriterPort {
  write(
    files: readonly OutputFile[],
    signal: AbortSignal,
  ): Promise<{ readonly changed: readonly string[]; readonly swapped: boolean }>;
}

/** Tells the application. Never rejects but on abort. */
export interface NotifierPort {
  notify(actions: readonly NotifyAction[], signal: AbortSignal): Promise<void>;
}

/** Small files of the machine: mounted templates, token files. */
export interface FilesPort {
  /** The text of a file of at most `maxBytes`. Rejects with the system's error. */
  read(path: string, maxBytes: number): Promise<string>;
  /** Yields at the start and each time one of the files may have changed. */
  watch(paths: readonly string[], signal: AbortSignal): AsyncIterable<void>;
}

/** A service-account token that somebody else keeps fresh. */
export interface TokenPort {
  /** The newest token for this login, waiting for one that is valid. */
  token(auth: AuthConfig, signal: AbortSignal): Promise<Secret<string>>;
}
