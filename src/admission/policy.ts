/**
 * Who may use which connection, role, auth mount and path. Ring: admission. Vault's own policies decide what a role
 * may read; these decide who may ask for which role.
 */
import type { Installation, ResolvedSettings, VaultPolicy } from '../config/index.ts';
import { isVaultDependency, type Dependency, type Problem } from '../core/index.ts';
import type { Pod } from './pod.ts';

/** Finds what is wrong with a template, and what its literal calls ask for, without running it. */
export type CheckTemplate = (
  source: string,
  name: string,
) => { readonly problems: readonly Problem[]; readonly dependencies: readonly Dependency[] };

/** What a decision goes by. */
export interface PolicyInput {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly settings: ResolvedSettings;
  readonly installation: Installation;
  readonly checkTemplate: CheckTemplate;
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

/**
 * Why no policy allows what the pod asks for, by setting and policy; nothing where one allows everything, or where
 * there are none. What a policy allows is help, and no part of the message: whoever can reach the webhook reads that.
 * Values of annotations are not told, but for Vault paths.
 */
export function policyProblems(input: PolicyInput): readonly Problem[] {
  const { policies } = input.installation.vault;
  if (policies.length === 0) return [];
  const account = input.serviceAccount;
  const matching = policies.filter(
    (policy) =>
      allows(policy.namespaces, input.namespace) && allows(policy.serviceAccounts, account),
  );
  if (matching.length === 0) {
    const message = `no policy is for service account ${account} of namespace ${input.namespace}`;
    return [{ path: `${input.installation.annotationPrefix}/inject`, message }];
  }
  const asked = askedBy(input);
  const problems = matching.map((policy) => refusals(policy, asked));
  return problems.some((one) => one.length === 0) ? [] : problems.flat();
}

function refusals(policy: VaultPolicy, asked: readonly Asked[]): readonly Problem[] {
  return asked
    .filter(({ kind, value }) => !isAllowed(policy[kind], value))
    .map(({ path, kind, value }) => {
      const listed = policy[kind].slice(0, MAX_LISTED).join(', ');
      const more = policy[kind].length > MAX_LISTED ? ' and more' : '';
      const [one, several] = WORD[kind];
      const what = kind === 'paths' ? `${value ?? ''}: ` : '';
      const message = `${what}policy "${policy.name}" does not allow this ${one}`;
      const allowed = listed === '' ? `no ${several}` : `${several} ${listed}${more}`;
      return { path, message, help: `it allows ${allowed}`, policy: policy.name };
    });
}

function isAllowed(globs: readonly string[], value: string | undefined): boolean {
  return value === undefined ? globs.includes('*') : allows(globs, value);
}

function askedBy({
  settings: { settings, files },
  installation,
  checkTemplate,
}: PolicyInput): readonly Asked[] {
  const prefix = installation.annotationPrefix;
  const method = settings['auth-method'].value;
  const paths = files.flatMap(({ name, secret, template }): Asked[] => [
    ...pathsOf(`${prefix}/secret-${name}`, secret === undefined ? [] : [secret.value.path]),
    ...pathsOf(
      `${prefix}/template-${name}`,
      template === undefined
        ? []
        : checkTemplate(template.value, name)
            .dependencies.filter(isVaultDependency)
            .map(({ path }) => path),
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

function allows(globs: readonly string[], value: string): boolean {
  return globs.some((glob) => matches(glob, value));
}

/** `*` stands for any characters. Without backtracking: the first place where a part fits is as good as any. */
function matches(glob: string, value: string): boolean {
  const [head = '', ...parts] = glob.split('*');
  const tail = parts.pop();
  if (tail === undefined) return glob === value;
  if (!value.startsWith(head)) return false;
  let position = head.length;
  for (const part of parts) {
    const found = value.indexOf(part, position);
    if (found < 0) return false;
    position = found + part.length;
  }
  return value.length - tail.length >= position && value.endsWith(tail);
}
