/**
 * The installation's policies: what a workload may request from Vault and its identity provider. Admission checks what is
 * known early, the engine checks each request.
 */
import { isVaultDependency, parseVaultPath, type Dependency } from './dependency.ts';
import { Globs } from './globs.ts';

/** Operations at a Vault path. A certificate request is a write. */
export const OPERATIONS = ['read', 'list', 'write'] as const;
/** One of {@link OPERATIONS}. */
export type Operation = (typeof OPERATIONS)[number];

/** What one policy allows after a login. `*` in a list matches any characters, including slashes. */
export interface Grant {
  /** Name of the policy. */
  readonly policy: string;
  /** Vault paths; those of KV version 2 without `data/`. */
  readonly paths: readonly string[];
  readonly operations: readonly Operation[];
  /** Audiences of JWT-SVIDs that are delivered, not that of the login. */
  readonly audiences: readonly string[];
}

/** A request is allowed if one grant allows it. An empty list does not limit anything: see {@link denialsOf}. */
export type Grants = readonly Grant[];

/** Why a policy does not allow a request. */
export interface Denial {
  /** Name of the policy. */
  readonly policy: string;
  /** Names the policy, not what it allows. */
  readonly message: string;
  /** What the policy allows, for readers who may see the values of the installation. */
  readonly help: string;
}

/**
 * Roots of Vault's system paths, where a token can read itself, create tokens or list identities. A policy that limits
 * paths must name them: `*` does not match them.
 */
const SYSTEM_ROOTS: readonly string[] = ['auth', 'sys', 'identity'];

/** API segments of KV version 2 after the mount: `kvv2/data/app` is `kvv2/app`. */
const KV_V2_SEGMENTS: readonly string[] = [
  'data',
  'metadata',
  'subkeys',
  'delete',
  'undelete',
  'destroy',
];
/** Paths with more such segments are denied. */
const MAX_KV_V2_SEGMENTS = 4;

/** Limit of names in a message. */
const MAX_LISTED = 10;

/** Why no grant allows a request, one denial for each grant; empty if one allows it, or if there are no grants. */
export function denialsOf(grants: Grants, dependency: Dependency): readonly Denial[] {
  const denials: Denial[] = [];
  for (const grant of grants) {
    const denial = denialOf(grant, dependency);
    if (denial === undefined) return [];
    denials.push(denial);
  }
  return denials;
}

/** True if a grant allows everything. */
export function isUnlimited({ paths, operations, audiences }: Grant): boolean {
  const isAnyOperation = OPERATIONS.every((one) => operations.includes(one));
  return isAnyOperation && Globs.of(paths).matchesAll && Globs.of(audiences).matchesAll;
}

/** A list of names or globs for a message: `roles a-*, b`. */
export function describeAllowed(what: string, names: readonly string[]): string {
  if (names.length === 0) return `no ${what}`;
  const more = names.length > MAX_LISTED ? ' and more' : '';
  return `${what} ${names.slice(0, MAX_LISTED).join(', ')}${more}`;
}

function denialOf(grant: Grant, dependency: Dependency): Denial | undefined {
  if (isVaultDependency(dependency)) {
    const operation = operationOf(dependency.kind);
    return pathDenial(grant, dependency.path) ?? operationDenial(grant, operation);
  }
  if (dependency.kind !== 'jwt-svid') return undefined;
  const globs = Globs.of(grant.audiences);
  if (dependency.audiences.every((audience) => globs.matches(audience))) return undefined;
  return denial(grant, 'this audience', describeAllowed('audiences', grant.audiences));
}

function pathDenial(grant: Grant, text: string): Denial | undefined {
  const path = parseVaultPath(text)?.path;
  if (path !== undefined && allowsPath(grant.paths, path)) return undefined;
  return denial(grant, 'this path', describeAllowed('paths', grant.paths));
}

function operationDenial(grant: Grant, operation: Operation): Denial | undefined {
  if (grant.operations.includes(operation)) return undefined;
  return denial(
    grant,
    `to ${operation} this path`,
    describeAllowed('operations', grant.operations),
  );
}

function denial({ policy }: Grant, what: string, allowed: string): Denial {
  return {
    policy,
    message: `policy "${policy}" does not allow ${what}`,
    help: `it allows ${allowed}`,
  };
}

function operationOf(kind: 'read' | 'list' | 'write' | 'pki'): Operation {
  return kind === 'pki' ? 'write' : kind;
}

/**
 * Whether a list of globs allows a path in every way that Vault may read it: an API path of KV version 2 must be allowed
 * both as it is and without its API segments.
 */
function allowsPath(globs: readonly string[], path: string): boolean {
  const all = Globs.of(globs);
  // A path that is listed literally is allowed.
  if (all.matchesAll || globs.includes(path)) return true;
  const segments = path.split('/');
  const readings = possiblePathsOf(segments);
  if (readings === undefined) return false;
  if (!segments.some((segment) => SYSTEM_ROOTS.includes(segment)))
    return readings.every((reading) => all.matches(reading));
  // A glob for a path with a system root must contain the first segment literally: the root itself, a mount, or the
  // Vault namespace of the root.
  const beginning = `${segments[0] ?? ''}/`;
  return readings.every((reading) => all.matchesFrom(beginning, reading));
}

/** The path, and the path without each possible API segment of KV; undefined if there are too many. */
function possiblePathsOf(segments: readonly string[]): readonly string[] | undefined {
  const places = segments.flatMap((segment, at) =>
    at > 0 && KV_V2_SEGMENTS.includes(segment) ? [at] : [],
  );
  if (places.length > MAX_KV_V2_SEGMENTS) return undefined;
  const without = places.map((at) => segments.toSpliced(at, 1).join('/'));
  return [segments.join('/'), ...without];
}
