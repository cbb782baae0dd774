/**
 * Values for a template that is rendered without Vault.
 *
 * The document is the template's root context. A Vault path is looked up in it as a key, `"kvv2/app": {...}`,
 * at the top or below `secrets`; `jwtSvid` and `spiffeId` have keys of those names.
 */
import {
  dependencyLabel,
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
    if (found !== undefined) return { value: found };
    throw new VouchsafeError(
      'ERR_VAULT_NOT_FOUND',
      `the data has no value for ${dependencyLabel(dependency)}; add ${example(dependency)}`,
    );
  };
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
      if (typeof tokens === 'string') return tokens;
      return isManifest(tokens) ? tokens[dependency.audiences.join(',')] : undefined;
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

/** KV v2 paths match with and without `data/`, lists with and without a trailing slash. */
function pathVariants(path: string): readonly string[] {
  const [mount = '', ...rest] = path.split('/');
  const withData = [mount, 'data', ...rest].join('/');
  const withoutData = rest[0] === 'data' ? [mount, ...rest.slice(1)].join('/') : path;
  return [path, `${path}/`, withData, withoutData];
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
