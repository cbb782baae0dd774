/**
 * What one workload may ask of Vault and of its identity provider, as the installation's policies have it. Admission asks
 * about what can be known early, the engine before each request.
 */
import { isVaultDependency, parseVaultPath, type Dependency } from './dependency.ts';
import { Globs } from './globs.ts';

/** What can be done at a path of Vault. A certificate request is a write. */
export const OPERATIONS = ['read', 'list', 'write'] as const;
/** One of {@link OPERATIONS}. */
export type Operation = (typeof OPERATIONS)[number];

/** What one policy allows to a login that it allows. `*` in a list stands for any characters, slashes too. */
export interface Grant {
  /** Name of the policy. */
  readonly policy: string;
  /** Vault paths; those of KV version 2 without `data/`. */
  readonly paths: readonly string[];
  readonly operations: readonly Operation[];
  /** Audiences of JWT-SVIDs that are delivered; that of the login is not meant. */
  readonly audiences: readonly string[];
}

/** A request is allowed where one of them allows it; none of them allows nothing. */
export type Grants = readonly Grant[];

/** Why a policy does not allow a request. */
export interface Denial {
  /** Name of the policy. */
  readonly policy: string;
  /** Names the policy, not what it allows. */
  readonly message: string;
  /** What it allows, for those who have the values of the installation. */
  readonly help: string;
}

/**
 * Roots of Vault's own paths. Through them a token reads itself, makes others, or lists who there is: a policy that limits
 * paths must name them, no `*` stands for them.
 */
const SYSTEM_ROOTS: readonly string[] = ['auth', 'sys', 'identity'];

/** What KV version 2 puts after its mount: `kvv2/data/app` is `kvv2/app`. */
const KV_V2_SEGMENTS: readonly string[] = [
  'data',
  'metadata',
  'subkeys',
  'delete',
  'undelete',
  'destroy',
];
/** A path of more such parts is none that people have. */
const MAX_KV_V2_SEGMENTS = 4;

/** More that one policy allows is not listed. */
const MAX_LISTED = 10;

/** Why none of the grants allows a request, one reason for each; empty where one does, or where nothing is limited. */
export function denialsOf(grants: Grants, dependency: Dependency): readonly Denial[] {
  const denials: Denial[] = [];
  for (const grant of grants) {
    const denial = denialOf(grant, dependency);
    if (denial === undefined) return [];
    denials.push(denial);
  }
  return denials;
}

/** True where a grant leaves nothing out. */
export function isUnlimited({ paths, operations, audiences }: Grant): boolean {
  const isAnyOperation = OPERATIONS.every((one) => operations.includes(one));
  return isAnyOperation && Globs.of(paths).matchesAll && Globs.of(audiences).matchesAll;
}

/** What a list of names or globs allows, in words: `roles a-*, b`. */
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
 * Whether a list of globs allows a path, however Vault may take it: what stands in the API of KV version 2 for a place is
 * allowed where the place itself is, too.
 */
function allowsPath(globs: readonly string[], path: string): boolean {
  const all = Globs.of(globs);
  // What is written out is meant, whatever it is a part of.
  if (all.matchesAll || globs.includes(path)) return true;
  const segments = path.split('/');
  const readings = possiblePathsOf(segments);
  if (readings === undefined) return false;
  if (!segments.some((segment) => SYSTEM_ROOTS.includes(segment)))
    return readings.every((reading) => all.matches(reading));
  // What may stand for a path with a system root in it must write the beginning of the path out: that is the root
  // itself, or else a mount, or the Vault namespace that the root is in.
  const beginning = `${segments[0] ?? ''}/`;
  return readings.every((reading) => all.matchesFrom(beginning, reading));
}

/** The path, and the path without each part that may be one of KV's API; undefined where those are too many. */
function possiblePathsOf(segments: readonly string[]): readonly string[] | undefined {
  const places = segments.flatMap((segment, at) =>
    at > 0 && KV_V2_SEGMENTS.includes(segment) ? [at] : [],
  );
  if (places.length > MAX_KV_V2_SEGMENTS) return undefined;
  const without = places.map((at) => segments.toSpliced(at, 1).join('/'));
  return [segments.join('/'), ...without];
}
