/**
 * Who may use which connection, role, auth mount and path. Ring: admission. Vault's own policies decide what a role
 * may read; these decide who may ask for which role.
 */
import type { Installation, ResolvedSettings, VaultPolicy } from '../config/index.ts';
import { isVaultDependency, type Problem } from '../core/index.ts';
import type { LiteralDependencies } from './contents.ts';
import { Globs } from './globs.ts';
import type { Pod } from './pod.ts';

/** What a decision goes by. */
export interface PolicyInput {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly settings: ResolvedSettings;
  readonly installation: Installation;
  readonly literals: LiteralDependencies;
}

/** One thing that a pod asks for. */
interface Asked {
  /** The annotation. */
  readonly path: string;
  readonly kind: 'connections' | 'roles' | 'authMounts' | 'paths';
  /** Undefined is the default role of the mount. */
  readonly value: string | undefined;
}

/** One of them, and several. */
const WORD = {
  connections: ['connection', 'connections'],
  roles: ['role', 'roles'],
  authMounts: ['auth mount', 'auth mounts'],
  paths: ['path', 'paths'],
} as const;

/** More that one policy allows is not listed. */
const MAX_LISTED = 10;
/** More refusals are not told: a person needs few of them. */
const MAX_REFUSALS = 20;
/** Most that all policies together may take to be looked at, in steps of some ten nanoseconds. */
const MAX_STEPS = 500_000;

/**
 * Why no policy allows what the pod asks for, by setting and policy; nothing where one allows everything, or where
 * there are none. What a policy allows is help, and no part of the message: whoever can reach the webhook reads that.
 * Values of annotations are not told, but for Vault paths.
 */
export function policyProblems(input: PolicyInput): readonly Problem[] {
  const { policies } = input.installation.vault;
  if (policies.length === 0) return [];
  const { namespace, serviceAccount: account } = input;
  const matching = policies.filter(
    (policy) =>
      Globs.of(policy.namespaces).matches(namespace) &&
      Globs.of(policy.serviceAccounts).matches(account),
  );
  const path = `${input.installation.annotationPrefix}/inject`;
  if (matching.length === 0) {
    const message = `no policy is for service account ${account} of namespace ${namespace}`;
    return [{ path, message }];
  }
  const asked = askedBy(input);
  const problems: Problem[] = [];
  let steps = 0;
  for (const policy of matching) {
    let refused = 0;
    for (const one of asked) {
      steps += Globs.of(policy[one.kind]).stepsFor(one.value ?? '');
      if (steps > MAX_STEPS) return [{ path, message: tooMany(asked, matching) }];
      if (isAllowed(policy, one)) continue;
      refused += 1;
      if (problems.length >= MAX_REFUSALS) break;
      problems.push(refusal(policy, one));
    }
    if (refused === 0) return [];
  }
  return problems;
}

function isAllowed(policy: VaultPolicy, { kind, value }: Asked): boolean {
  const globs = Globs.of(policy[kind]);
  return value === undefined ? globs.isAny : globs.matches(value);
}

function refusal(policy: VaultPolicy, { path, kind, value }: Asked): Problem {
  const listed = policy[kind].slice(0, MAX_LISTED).join(', ');
  const more = policy[kind].length > MAX_LISTED ? ' and more' : '';
  const [one, several] = WORD[kind];
  const what = kind === 'paths' ? `${value ?? ''}: ` : '';
  const message = `${what}policy "${policy.name}" does not allow this ${one}`;
  const allowed = listed === '' ? `no ${several}` : `${several} ${listed}${more}`;
  return { path, message, help: `it allows ${allowed}`, policy: policy.name };
}

function tooMany(asked: readonly unknown[], policies: readonly unknown[]): string {
  return `asks for too much to be compared with policies: ${asked.length} names and paths, and ${policies.length} policies for this service account; ask for fewer`;
}

function askedBy({
  settings: { settings, files },
  installation,
  literals,
}: PolicyInput): readonly Asked[] {
  const prefix = installation.annotationPrefix;
  const method = settings['auth-method'].value;
  const paths = files.flatMap(({ name, secret }): Asked[] => [
    ...pathsOf(`${prefix}/secret-${name}`, secret === undefined ? [] : [secret.value.path]),
    ...pathsOf(
      `${prefix}/template-${name}`,
      (literals.get(name) ?? []).filter(isVaultDependency).map(({ path }) => path),
    ),
  ]);
  return [
    {
      path: `${prefix}/vault`,
      kind: 'connections',
      value: settings.vault.value ?? installation.vault.default,
    },
    { path: `${prefix}/role`, kind: 'roles', value: settings.role.value },
    {
      path: `${prefix}/auth-mount`,
      kind: 'authMounts',
      value: settings['auth-mount'].value ?? method,
    },
    ...paths,
  ];
}

function pathsOf(path: string, values: readonly string[]): Asked[] {
  return values.map((value) => ({ path, kind: 'paths', value }));
}

/** The API server writes the name before it asks webhooks; manifests often leave it out. */
export function serviceAccountOf({ spec }: Pod): string {
  const { serviceAccountName } = spec;
  return typeof serviceAccountName === 'string' && serviceAccountName !== ''
    ? serviceAccountName
    : 'default';
}
