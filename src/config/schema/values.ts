/**
 * Values that several documents share.
 */
import type { WriteParams } from '../../core/index.ts';

/** How the agent authenticates to Vault. */
export const AUTH_METHODS = ['jwt', 'cert', 'spiffe', 'kubernetes'] as const;
/** One of {@link AUTH_METHODS}. */
export type AuthMethod = (typeof AUTH_METHODS)[number];

/** The SVIDs that the method `spiffe` takes. */
export const AUTH_SVIDS = ['jwt', 'x509'] as const;

/** What holds the containers of a pod back until the files are there: a `postStart` hook or a startup probe. */
export const START_GATES = ['hook', 'probe'] as const;
/** One of {@link START_GATES}. */
export type StartGateKind = (typeof START_GATES)[number];

/** The shipped templates: `templates/<format>.hbs`. */
export const FORMATS = ['json', 'env', 'properties', 'yaml', 'raw'] as const;
/** One of {@link FORMATS}. */
export type Format = (typeof FORMATS)[number];

/** How the X.509-SVID is written. */
export const X509_FORMATS = ['pem', 'pkcs12'] as const;
/** One of {@link X509_FORMATS}. */
export type X509Format = (typeof X509_FORMATS)[number];

/** Whether containers restart when their variables change. */
export const ENV_ON_CHANGE = ['restart', 'none'] as const;
/** One of {@link ENV_ON_CHANGE}. */
export type EnvOnChange = (typeof ENV_ON_CHANGE)[number];

/** How the application is notified of changed files. */
export type NotifyAction =
  /** `signal` is a name such as `SIGHUP`. */
  | { readonly kind: 'signal'; readonly signal: string; readonly container: string }
  /** `url` is on loopback. */
  | { readonly kind: 'http'; readonly method: 'GET' | 'POST' | 'PUT'; readonly url: string }
  | { readonly kind: 'restart'; readonly container: string };

/** A Vault path, optionally with one key of its data: `kvv2/app#password`. */
export interface SecretRef {
  readonly path: string;
  readonly key?: string;
  /** Present if the value is the response to a write. */
  readonly params?: WriteParams;
  /** Whether there is no file while the secret or its key is absent. Not with `params`. */
  readonly optional?: true;
}
