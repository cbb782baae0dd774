/**
 * What a file can depend on. Templates request dependencies, and the agent obtains them; neither imports the other.
 */

import type { ExactNumber } from './number-text.ts';
import { isPrintable } from './printable.ts';
import { isRecord } from './records.ts';

/** A parameter: JSON that a template made. Null occurs only inside of lists and objects. */
export type WriteParam =
  | string
  | boolean
  | ExactNumber
  | null
  | readonly WriteParam[]
  | { readonly [name: string]: WriteParam };

/** Parameters of a Vault write or certificate request. A template may compute them from secrets. */
export type WriteParams = Readonly<Record<string, WriteParam>>;

/**
 * The name of the login that a value is requested with; absent for that of files which name none. Templates do not know
 * it: what they request belongs to the login of their file.
 */
interface OfLogin {
  readonly login?: string;
}

/** Something whose value a file needs. */
export type Dependency =
  /**
   * A read of a Vault path, without `v1/` and without the `data/` of KV v2: `kvv2/app`, `database/creds/app`.
   * With `optional` the secret may be absent; its value is then null.
   */
  | (OfLogin & { readonly kind: 'read'; readonly path: string; readonly optional?: true })
  /** A write with parameters whose answer is the value: `transit/sign/key`. */
  | (OfLogin & { readonly kind: 'write'; readonly path: string; readonly params: WriteParams })
  /** The names below a path. */
  | (OfLogin & { readonly kind: 'list'; readonly path: string })
  /** A certificate from a PKI mount, kept until its renewal time: `pki/issue/web`. */
  | (OfLogin & { readonly kind: 'pki'; readonly path: string; readonly params: WriteParams })
  /** A JWT-SVID for these audiences. */
  | { readonly kind: 'jwt-svid'; readonly audiences: readonly string[] }
  /** The workload's X.509-SVID with its key and its trust bundles. */
  | { readonly kind: 'x509-svid' }
  /** The workload's own SPIFFE ID. */
  | { readonly kind: 'spiffe-id' };

/** Dependencies from Vault; the others come from the Workload API. */
export type VaultDependency = Extract<Dependency, { readonly path: string }>;

/**
 * A key that is equal exactly for equal dependencies, in any order of parameters. An optional read has the key of a
 * required one, so that both see the same value. Never log it, as a parameter may be computed from a secret; log
 * {@link dependencyLabel}.
 */
export function dependencyKey(dependency: Dependency): string {
  return `${keyPrefix(loginOf(dependency))}${keyWithoutLogin(dependency)}`;
}

/** The key that a value has in the templates of a login; undefined if it belongs to another login. */
export function keyInTemplates(
  dependency: Dependency,
  login: string | undefined,
): string | undefined {
  if (isVaultDependency(dependency) && dependency.login !== login) return undefined;
  return keyWithoutLogin(dependency);
}

/** No key without a login begins with a quotation mark. */
function keyPrefix(login: string | undefined): string {
  return login === undefined ? '' : `${JSON.stringify(login)}:`;
}

function keyWithoutLogin(dependency: Dependency): string {
  switch (dependency.kind) {
    case 'read':
    case 'list':
      return `${dependency.kind}:${dependency.path}`;
    case 'write':
    case 'pki':
      return `${dependency.kind}:${dependency.path}?${paramsKey(dependency.params)}`;
    case 'jwt-svid':
      return `jwt-svid:${JSON.stringify([...dependency.audiences].sort())}`;
    case 'x509-svid':
    case 'spiffe-id':
      return dependency.kind;
  }
}

/** Names a dependency in messages: paths and names of parameters, never their values. */
export function dependencyLabel(dependency: Dependency): string {
  const login = loginOf(dependency);
  const label = labelWithoutLogin(dependency);
  return login === undefined ? label : `${label} by login ${login}`;
}

function labelWithoutLogin(dependency: Dependency): string {
  switch (dependency.kind) {
    case 'read':
      return dependency.path;
    case 'list':
      return `${dependency.path}/`;
    case 'write':
    case 'pki': {
      const names = Object.keys(dependency.params).sort();
      return names.length === 0 ? dependency.path : `${dependency.path} (${names.join(', ')})`;
    }
    case 'jwt-svid':
      return `jwt-svid for ${[...dependency.audiences].sort().join(', ')}`;
    case 'x509-svid':
    case 'spiffe-id':
      return dependency.kind;
  }
}

/** True for a read whose secret may be absent. */
export function isOptional(dependency: Dependency): boolean {
  return dependency.kind === 'read' && dependency.optional === true;
}

/** The same dependency as an optional or as a required one; other dependencies than reads are always required. */
export function withOptional(dependency: Dependency, optional: boolean): Dependency {
  if (dependency.kind !== 'read' || isOptional(dependency) === optional) return dependency;
  const { optional: _, ...required } = dependency;
  return optional ? { ...required, optional } : required;
}

/** The name of the login that a dependency is requested with; undefined for the usual one, and for SVIDs. */
export function loginOf(dependency: Dependency): string | undefined {
  return isVaultDependency(dependency) ? dependency.login : undefined;
}

/** What a template requests, as a dependency of the login of its file. SVIDs belong to no login. */
export function withLogin(dependency: Dependency, login: string | undefined): Dependency {
  return login === undefined || !isVaultDependency(dependency)
    ? dependency
    : { ...dependency, login };
}

/** True for dependencies from Vault. */
export function isVaultDependency(dependency: Dependency): dependency is VaultDependency {
  return 'path' in dependency;
}

/**
 * Normalizes a Vault path: no `v1/`, no leading, trailing or double slashes. Idempotent.
 * Returns undefined for an invalid path: empty, blanks at the ends, `.` or `..` segments, unprintable characters,
 * or over 1024 bytes.
 */
export function normalizeVaultPath(text: string): string | undefined {
  const path = text
    .trim()
    .replace(/\/{2,}/g, '/')
    .replace(/^\//, '')
    .replace(/^(v1\/)+/, '')
    .replace(/\/$/, '');
  if (path === '' || path !== path.trim() || Buffer.byteLength(path) > 1024) return undefined;
  if (!isPrintable(path)) return undefined;
  if (path.split('/').some((segment) => segment === '.' || segment === '..')) return undefined;
  return path;
}

/**
 * Splits `path#key` at the first `#` of the path that is not escaped. In the path `\#` is a `#`; the key is taken as it is, and
 * undefined if there is no separator.
 */
export function splitSecretRef(text: string): {
  readonly path: string;
  readonly key: string | undefined;
} {
  const at = text.search(/(?<!\\)#/);
  if (at < 0) return { path: unescapePath(text), key: undefined };
  return { path: unescapePath(text.slice(0, at)), key: text.slice(at + 1) };
}

/** The path with a `#` for each `\#`; other backslashes are part of it. */
export function unescapePath(text: string): string {
  return text.replaceAll('\\#', '#');
}

/** Splits `?version=N` off a path and normalizes the rest; undefined as {@link normalizeVaultPath}. */
export function parseVaultPath(
  text: string,
): { readonly path: string; readonly version: string | undefined } | undefined {
  const match = /^(.*)\?version=(\d{1,9})$/.exec(text);
  const path = normalizeVaultPath(match?.[1] ?? text);
  return path === undefined ? undefined : { path, version: match?.[2] };
}

function paramsKey(params: WriteParams): string {
  return JSON.stringify(sortedEntries(params).map(([name, value]) => [name, sorted(value)]));
}

/** The value with the keys of all objects in one order. */
function sorted(value: WriteParam): WriteParam {
  if (isParamList(value)) return value.map(sorted);
  if (!isParamObject(value)) return value;
  return Object.fromEntries(sortedEntries(value).map(([name, item]) => [name, sorted(item)]));
}

function sortedEntries(params: WriteParams): [name: string, value: WriteParam][] {
  return Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1));
}

function isParamList(value: WriteParam): value is readonly WriteParam[] {
  return Array.isArray(value);
}

function isParamObject(value: WriteParam): value is WriteParams {
  return isRecord(value);
}
