/**
 * Who may use which connection, role, auth mount and path, and ask for SVIDs for whom. Vault's own
 * policies decide what a role may read; these decide who may ask for which role. What is not known yet, as a path that a
 * template makes of values, is for the engine to refuse (src/core/access.ts).
 */
import type { Installation, ResolvedSettings, SecretRef, VaultPolicy } from '../config/index.ts';
import {
  dependencyLabel,
  denialsOf,
  Globs,
  isVaultDependency,
  describeAllowed,
  type Dependency,
  type Grants,
  type Problem,
} from '../core/index.ts';
import type { LiteralDependencies } from './file-checks.ts';
import { allowsLogin, allowsRole, grantsOf, policiesFor, type Login } from './grants.ts';
import type { Pod } from './pod.ts';

/** What a decision goes by. */
export interface PolicyInput {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly settings: ResolvedSettings;
  readonly installation: Installation;
  readonly literals: LiteralDependencies;
  /** Whether anything logs in to Vault. */
  readonly usesVault: boolean;
}

/** What the policies make of a pod. */
export interface PolicyDecision {
  /** Why no policy allows what it asks for; empty where it is allowed. */
  readonly problems: readonly Problem[];
  /** What the policies that allow its login let it ask for later; undefined where there are no policies. */
  readonly grants: Grants | undefined;
}

/** One thing that a pod asks for, and the annotation that says so. */
interface Asked {
  readonly path: string;
  readonly dependency: Dependency;
}

/** More refusals are not reported: a person needs few of them. */
const MAX_REFUSALS = 20;
/** Most that all policies together may take to be looked at, in steps of some ten nanoseconds. */
const MAX_STEPS = 500_000;

/**
 * Decides on a pod, by setting and policy. What a policy allows is help, and no part of the message: whoever can reach
 * the webhook reads that. Values of annotations are not told, but for Vault paths and audiences.
 */
export function decideByPolicies(input: PolicyInput): PolicyDecision {
  const { installation, usesVault } = input;
  const { policies } = installation.vault;
  if (policies.length === 0) return { problems: [], grants: undefined };
  const asked = askedBy(input);
  if (!usesVault && asked.length === 0) return { problems: [], grants: undefined };
  const matching = policiesFor(policies, input);
  const login = usesVault ? loginOf(input) : undefined;
  const allowed = matching.filter((policy) => login === undefined || allowsLogin(policy, login));
  const grants = grantsOf(allowed);
  return { problems: problemsOf(input, { asked, matching, login, grants }), grants };
}

interface Found {
  readonly asked: readonly Asked[];
  readonly matching: readonly VaultPolicy[];
  readonly login: Login | undefined;
  readonly grants: Grants;
}

/** {@link PolicyDecision.problems} of what was found. */
function problemsOf(input: PolicyInput, { asked, matching, login, grants }: Found): Problem[] {
  const { namespace, serviceAccount, installation } = input;
  const path = `${installation.annotationPrefix}/inject`;
  if (matching.length === 0) {
    const message = `no policy is for service account ${serviceAccount} of namespace ${namespace}`;
    return [{ path, message }];
  }
  if (stepsOf(asked, grantsOf(matching)) > MAX_STEPS) {
    return [{ path, message: tooMany(asked, matching) }];
  }
  const refused = asked.filter(({ dependency }) => denialsOf(grants, dependency).length > 0);
  if (grants.length > 0 && refused.length === 0) return [];
  // Where the login of one policy is refused, and a request by that of another one, either may be what was meant.
  const requests = grants.length > 0 ? refused : asked;
  const problems = matching.flatMap((policy) => [
    ...loginProblems(policy, login, installation.annotationPrefix),
    ...requests.flatMap((one) => requestProblems(one, policy)),
  ]);
  return problems.slice(0, MAX_REFUSALS);
}

/** Why a policy does not allow a request. */
function requestProblems({ path, dependency }: Asked, by: VaultPolicy): readonly Problem[] {
  return denialsOf(grantsOf([by]), dependency).map(({ message, help, policy }) => ({
    ...{ path, help, policy },
    message: `${dependencyLabel(dependency)}: ${message}`,
  }));
}

/** What of a login a policy does not allow. */
function loginProblems(policy: VaultPolicy, login: Login | undefined, prefix: string): Problem[] {
  if (login === undefined) return [];
  const { name, connections, roles, authMounts } = policy;
  const refuse = (setting: string, what: string, allowed: string): Problem => ({
    path: `${prefix}/${setting}`,
    message: `policy "${name}" does not allow this ${what}`,
    help: `it allows ${allowed}`,
    policy: name,
  });
  const isConnected = login.connections.some((one) => Globs.of(connections).matches(one));
  const isMounted = Globs.of(authMounts).matches(login.mount);
  return [
    ...(isConnected
      ? []
      : [refuse('vault', 'connection', describeAllowed('connections', connections))]),
    ...(allowsRole(policy, login.role)
      ? []
      : [refuse('role', 'role', describeAllowed('roles', roles))]),
    ...(isMounted
      ? []
      : [refuse('auth-mount', 'auth mount', describeAllowed('auth mounts', authMounts))]),
  ];
}

function loginOf({ settings: { settings }, installation }: PolicyInput): Login {
  return {
    connections: [settings.vault.value ?? installation.vault.default],
    role: settings.role.value,
    mount: settings['auth-mount'].value ?? settings['auth-method'].value,
  };
}

function askedBy({ settings: { files }, installation, literals }: PolicyInput): readonly Asked[] {
  const prefix = installation.annotationPrefix;
  return files.flatMap(({ name, secret, 'jwt-svid': audiences }): Asked[] => [
    ...(secret === undefined ? [] : [ask(`${prefix}/secret-${name}`, dependencyOf(secret.value))]),
    ...(literals.get(name) ?? []).map((one) => ask(`${prefix}/template-${name}`, one)),
    ...(audiences === undefined
      ? []
      : [ask(`${prefix}/jwt-svid-${name}`, { kind: 'jwt-svid', audiences: audiences.value })]),
  ]);
}

function ask(path: string, dependency: Dependency): Asked {
  return { path, dependency };
}

function dependencyOf({ path, params }: SecretRef): Dependency {
  return params === undefined ? { kind: 'read', path } : { kind: 'write', path, params };
}

/** What comparing takes at most: a path can be taken in a few ways, each is looked up. */
function stepsOf(asked: readonly Asked[], grants: Grants): number {
  let steps = 0;
  for (const { dependency } of asked) {
    const names = isVaultDependency(dependency)
      ? [dependency.path]
      : dependency.kind === 'jwt-svid'
        ? dependency.audiences
        : [];
    for (const { paths, audiences } of grants) {
      const globs = Globs.of(isVaultDependency(dependency) ? paths : audiences);
      for (const name of names) steps += globs.stepsFor(name);
    }
  }
  return steps;
}

function tooMany(asked: readonly unknown[], policies: readonly unknown[]): string {
  return `asks for too much to be compared with policies: ${asked.length} names and paths, and ${policies.length} policies for this service account; ask for fewer`;
}

/** The API server writes the name before it asks webhooks; manifests often leave it out. */
export function serviceAccountOf({ spec }: Pod): string {
  const { serviceAccountName } = spec;
  return typeof serviceAccountName === 'string' && serviceAccountName !== ''
    ? serviceAccountName
    : 'default';
}
