/**
 * Which workloads may use which connection, role, auth mount, path and audience. Vault's own policies decide what a
 * role may read; these decide who may use the role. What is not known at admission, such as a path that a template
 * computes, is checked by the engine (src/core/vault-grants.ts).
 */
import type { ResolvedSettings } from '../config/annotations/index.ts';
import type { Installation, VaultPolicy } from '../config/installation/index.ts';
import type { SecretRef } from '../config/schema/index.ts';
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
import { annotationOf } from './variables.ts';
import { allowsLogin, allowsRole, grantsOf, policiesFor, type Login } from './grants.ts';
import type { PodLogin } from './logins.ts';
import type { Pod } from './pod.ts';

/** Input of {@link decideByPolicies}. */
export interface PolicyInput {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly settings: ResolvedSettings;
  readonly installation: Installation;
  readonly literals: LiteralDependencies;
  /** The logins of agent or driver to Vault; empty if there are none. */
  readonly logins: readonly PodLogin[];
}

/** The decision of the policies on a pod. */
export interface PolicyDecision {
  /** Why no policy allows its requests; empty if they are allowed. */
  readonly problems: readonly Problem[];
  /** What the policies that allow its first login grant, if any; undefined if there are no policies. */
  readonly grants: Grants | undefined;
  /** The same for each login that has a name. */
  readonly named: ReadonlyMap<string, Grants>;
}

/** One request of a pod, and the annotation that it comes from. */
interface PolicyRequest {
  /** Undefined for a variable, which has the login of the pod. */
  readonly file: string | undefined;
  readonly path: string;
  readonly dependency: Dependency;
}

/** Maximum number of reported denials. */
const MAX_DENIALS = 20;
/** Maximum cost of evaluating all policies, in steps of some ten nanoseconds. */
const MAX_STEPS = 500_000;

/**
 * Decides on a pod. What a policy allows is only in `help`, not in the message, which every client of the webhook can
 * read. Of the values of annotations, only Vault paths and audiences are shown.
 */
export function decideByPolicies(input: PolicyInput): PolicyDecision {
  const { installation, logins } = input;
  const { policies } = installation.vault;
  const nothing = { problems: [], grants: undefined, named: new Map<string, Grants>() };
  if (policies.length === 0) return nothing;
  const requests = requestsOf(input);
  if (logins.length === 0 && requests.length === 0) return nothing;
  const matching = policiesFor(policies, input);
  const general = generalProblem(input, requests, matching);
  const [own, ...named] = logins;
  const others = new Set(named.flatMap(({ files }) => [...files]));
  const decisions = [
    // Also what needs no login, such as JWT-SVIDs.
    decide(input, {
      login: own,
      asked: requests.filter(({ file }) => file === undefined || !others.has(file)),
      matching,
    }),
    ...named.map((login) => {
      const asked = requests.filter(({ file }) => file !== undefined && login.files.has(file));
      return decide(input, { login, asked, matching });
    }),
  ];
  const all = general === undefined ? decisions.flatMap(({ problems }) => problems) : [general];
  return {
    problems: all.slice(0, MAX_DENIALS),
    grants: decisions[0]?.grants,
    named: new Map(named.map(({ name = '' }, index) => [name, decisions[index + 1]?.grants ?? []])),
  };
}

/** What a login and its requests are compared with. */
interface LoginRequests {
  readonly login: PodLogin | undefined;
  readonly asked: readonly PolicyRequest[];
  readonly matching: readonly VaultPolicy[];
}

/** Decides on one login and what is requested with it. */
function decide(
  input: PolicyInput,
  { login: podLogin, asked, matching }: LoginRequests,
): { readonly problems: readonly Problem[]; readonly grants: Grants } {
  const login = podLogin === undefined ? undefined : askedLogin(input, podLogin);
  const allowed = matching.filter((policy) => login === undefined || allowsLogin(policy, login));
  const grants = grantsOf(allowed);
  return { problems: problemsOf(input, { asked, matching, login, grants }), grants };
}

interface Found {
  readonly asked: readonly PolicyRequest[];
  readonly matching: readonly VaultPolicy[];
  readonly login: AskedLogin | undefined;
  readonly grants: Grants;
}

/** A login, and the annotations that choose its connection and role. */
type AskedLogin = Login & Pick<PodLogin, 'settings'>;

/** Why a pod is denied whatever its login is. */
function generalProblem(
  { namespace, serviceAccount, installation }: PolicyInput,
  asked: readonly PolicyRequest[],
  matching: readonly VaultPolicy[],
): Problem | undefined {
  const path = `${installation.annotationPrefix}/inject`;
  if (matching.length === 0) {
    const message = `no policy applies to service account ${serviceAccount} of namespace ${namespace}`;
    return { path, message };
  }
  if (stepsOf(asked, grantsOf(matching)) > MAX_STEPS) {
    return { path, message: tooMany(asked, matching) };
  }
  return undefined;
}

/** Why no policy allows a login and its requests; empty if they are allowed. */
function problemsOf(
  { installation }: PolicyInput,
  { asked, matching, login, grants }: Found,
): readonly Problem[] {
  const denied = asked.filter(({ dependency }) => denialsOf(grants, dependency).length > 0);
  if (grants.length > 0 && denied.length === 0) return [];
  // If one policy denies the login and another one a request, either may be the intended policy.
  const requests = grants.length > 0 ? denied : asked;
  const problems = matching.flatMap((policy) => [
    ...loginProblems(policy, login, installation.annotationPrefix),
    ...requests.flatMap((one) => requestProblems(one, policy)),
  ]);
  return problems;
}

/** Why a policy does not allow a request. */
function requestProblems({ path, dependency }: PolicyRequest, by: VaultPolicy): readonly Problem[] {
  return denialsOf(grantsOf([by]), dependency).map(({ message, help, policy }) => ({
    path,
    help,
    policy,
    message: `${dependencyLabel(dependency)}: ${message}`,
  }));
}

/** The parts of a login that a policy does not allow. */
function loginProblems(
  policy: VaultPolicy,
  login: AskedLogin | undefined,
  prefix: string,
): Problem[] {
  if (login === undefined) return [];
  const { name, connections, roles, authMounts } = policy;
  const denial = (setting: string, what: string, allowed: string): Problem => ({
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
      : [denial(login.settings.vault, 'connection', describeAllowed('connections', connections))]),
    ...(allowsRole(policy, login.role)
      ? []
      : [denial(login.settings.role, 'role', describeAllowed('roles', roles))]),
    ...(isMounted
      ? []
      : [denial('auth-mount', 'auth mount', describeAllowed('auth mounts', authMounts))]),
  ];
}

function askedLogin(
  { settings: { settings } }: PolicyInput,
  { chosen, role, settings: names }: PodLogin,
): AskedLogin {
  const mount = settings['auth-mount'].value ?? settings['auth-method'].value;
  return { connections: [chosen], role, mount, settings: names };
}

function requestsOf({
  settings: { files, variables },
  installation,
  literals,
}: PolicyInput): readonly PolicyRequest[] {
  const prefix = installation.annotationPrefix;
  const ofVariables = variables.flatMap((variable) => {
    const path = `${prefix}/${annotationOf(variable)}`;
    const { env } = variable;
    const own = env === undefined ? [] : [dependencyOf(env.value)];
    return [...own, ...(literals.get(path) ?? [])].map((dependency) => ({
      file: undefined,
      path,
      dependency,
    }));
  });
  const ofFiles = files.flatMap(({ name, secret, 'jwt-svid': audiences }): PolicyRequest[] => {
    const ask = (setting: string, dependency: Dependency): PolicyRequest => ({
      file: name,
      path: `${prefix}/${setting}-${name}`,
      dependency,
    });
    return [
      ...(secret === undefined ? [] : [ask('secret', dependencyOf(secret.value))]),
      ...(literals.get(`${prefix}/template-${name}`) ?? []).map((one) => ask('template', one)),
      ...(audiences === undefined
        ? []
        : [ask('jwt-svid', { kind: 'jwt-svid', audiences: audiences.value })]),
    ];
  });
  return [...ofFiles, ...ofVariables];
}

function dependencyOf({ path, params }: SecretRef): Dependency {
  return params === undefined ? { kind: 'read', path } : { kind: 'write', path, params };
}

/** Upper bound of the cost of the comparison. */
function stepsOf(asked: readonly PolicyRequest[], grants: Grants): number {
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
  return `requests too many paths and audiences (${asked.length}) for the number of policies of this service account (${policies.length}): request fewer`;
}

/** The API server sets the name before it calls webhooks; manifests often leave it out. */
export function serviceAccountOf({ spec }: Pod): string {
  const { serviceAccountName } = spec;
  return typeof serviceAccountName === 'string' && serviceAccountName !== ''
    ? serviceAccountName
    : 'default';
}
