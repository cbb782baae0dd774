/**
 * Values for a template that is rendered without Vault.
 *
 * The document is the template's root context. A Vault path is looked up in it as a key, `"kvv2/app": {...}`,
 * at the top or below `secrets`; `jwtSvid` and `spiffeId` have keys of those names.
 */
import {
  dependencyLabel,
  isOptional,
  VouchsafeError,
  type Dependency,
  type WriteParam,
  type WriteParams,
} from '../core/index.ts';
import { isManifest, type Manifest } from './manifest.ts';

/** The lookup for `vouchsafe render --data`. */
export function offlineLookup(
  data: unknown,
): (dependency: Dependency) => { readonly value: unknown } {
  const root = isManifest(data) ? data : {};
  const places = [root, root['secrets'], root['secret']].filter(isManifest);
  return (dependency) => {
    const found = valueOf(dependency, root, places);
    if (isOptional(dependency) && isAbsent(found)) return { value: null };
    if (found !== undefined) return { value: usable(dependency, found) };
    throw new VouchsafeError(
      'ERR_VAULT_NOT_FOUND',
      `the data has no value for ${dependencyLabel(dependency)}; add ${example(dependency)}`,
    );
  };
}

/**
 * The value as the agent would have it: an object, or the names of a list. A version of KV v2 that was copied with its metadata is
 * unwrapped.
 *
 * @throws VouchsafeError for what no answer of Vault can hold.
 */
function usable(dependency: Dependency, found: unknown): unknown {
  switch (dependency.kind) {
    case 'list':
      return namesIn(dependency, found);
    case 'read':
      return unwrapped(dependency, found);
    case 'write':
    case 'pki':
      return isManifest(found) ? found : noValue(dependency, 'is not an object');
    case 'jwt-svid':
    case 'spiffe-id':
    case 'x509-svid':
      return typeof found === 'string' ? found : noValue(dependency, 'is not text');
  }
}

/** True for a secret that is not in the data, is null, or is a deleted version. */
function isAbsent(found: unknown): boolean {
  if (found === undefined || found === null) return true;
  return isManifest(found) && isVersion(found) && found['data'] === null;
}

/** True for an answer of KV v2: data beside the metadata of its version. */
function isVersion(found: Manifest): boolean {
  const { metadata } = found;
  return (
    'data' in found && isManifest(metadata) && 'created_time' in metadata && 'version' in metadata
  );
}

function unwrapped(dependency: Dependency, found: unknown): Manifest {
  if (!isManifest(found)) return noValue(dependency, 'is not an object');
  if (!isVersion(found)) return found;
  const { data } = found;
  return isManifest(data) ? data : noValue(dependency, 'is a version without data');
}

function namesIn(dependency: Dependency, found: unknown): readonly string[] {
  const names: unknown = isManifest(found) ? found['keys'] : found;
  const isList = Array.isArray(names) && names.every((name) => typeof name === 'string');
  return isList ? names : noValue(dependency, 'is not a list of names');
}

function noValue(dependency: Dependency, what: string): never {
  const text = `the data for ${dependencyLabel(dependency)} ${what}; set it as ${example(dependency)}`;
  throw new VouchsafeError('ERR_VAULT_NO_VALUE', text);
}

function valueOf(dependency: Dependency, root: Manifest, places: readonly Manifest[]): unknown {
  switch (dependency.kind) {
    case 'read':
    case 'list':
      return firstOf(places, pathVariants(dependency.path));
    case 'write':
    case 'pki':
      return firstOf(places, [...withParams(dependency.path, dependency.params), dependency.path]);
    case 'jwt-svid': {
      const tokens = root['jwtSvid'];
      return isManifest(tokens) ? tokens[dependency.audiences.join(',')] : tokens;
    }
    case 'spiffe-id':
      return root['spiffeId'];
    case 'x509-svid':
      return undefined;
  }
}

function firstOf(places: readonly Manifest[], keys: readonly string[]): unknown {
  for (const place of places) {
    for (const key of keys) if (Object.hasOwn(place, key)) return place[key];
  }
  return undefined;
}

/**
 * KV v2 paths match with and without `data/`, lists with and without a trailing slash, and a `#` also as it is written in a
 * reference.
 */
function pathVariants(path: string): readonly string[] {
  const segments = path.split('/');
  const withData = segments.slice(1).map((_, at) => segments.toSpliced(at + 1, 0, 'data'));
  const withoutData = segments.flatMap((segment, at) =>
    at > 0 && segment === 'data' ? [segments.toSpliced(at, 1)] : [],
  );
  const paths = [path, `${path}/`, ...[...withData, ...withoutData].map((one) => one.join('/'))];
  return [...paths, ...paths.map((one) => one.replaceAll('#', '\\#'))];
}

function withParams(path: string, params: WriteParams): readonly string[] {
  const pairs = Object.entries(params).map(([key, value]) => `${key}=${textOf(value)}`);
  return [pairs, pairs.toSorted()].map((one) => [path, ...one].join(' '));
}

/** Lists and objects as JSON. */
function textOf(value: WriteParam): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function example(dependency: Dependency): string {
  switch (dependency.kind) {
    case 'list':
      return `"${dependency.path}": ["name"]`;
    case 'jwt-svid':
      return '"jwtSvid": "token"';
    case 'spiffe-id':
      return '"spiffeId": "spiffe://example.org/web"';
    default:
      return `"${'path' in dependency ? dependency.path : ''}": {"key": "value"}`;
  }
}
