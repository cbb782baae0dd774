/**
 * What the installation's policies allow one workload: written into an agent's document, and evaluated by the driver
 * from the installation itself.
 */
import type { AgentConfig, RawAgentConfig } from '../config/agent/index.ts';
import type { Installation, VaultPolicy } from '../config/installation/index.ts';
import { Globs, isUnlimited, OPERATIONS, type Grant, type Grants } from '../core/index.ts';

/** The workload that requests. */
export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A login to Vault. */
export interface Login {
  /** Names of the connection; several if a document has only the address. */
  readonly connections: readonly string[];
  /** Undefined for the default role of the mount. */
  readonly role: string | undefined;
  readonly mount: string;
}

/** The policies that apply to a workload. */
export function policiesFor(
  policies: readonly VaultPolicy[],
  { namespace, serviceAccount }: Workload,
): readonly VaultPolicy[] {
  return policies.filter(
    (policy) =>
      Globs.of(policy.namespaces).matches(namespace) &&
      Globs.of(policy.serviceAccounts).matches(serviceAccount),
  );
}

/** Whether a policy allows a role; undefined is the default role of the mount. */
export function allowsRole({ roles }: VaultPolicy, role: string | undefined): boolean {
  return role === undefined ? Globs.of(roles).matchesAll : Globs.of(roles).matches(role);
}

/** Whether a policy allows a login. */
export function allowsLogin(policy: VaultPolicy, { connections, role, mount }: Login): boolean {
  const allowed = Globs.of(policy.connections);
  return (
    (allowed.matchesAll || connections.some((name) => allowed.matches(name))) &&
    Globs.of(policy.authMounts).matches(mount) &&
    allowsRole(policy, role)
  );
}

/** What policies allow after an allowed login. */
export function grantsOf(policies: readonly VaultPolicy[]): Grants {
  return policies.map(({ name, paths, operations, audiences }) => ({
    policy: name,
    paths,
    operations,
    audiences,
  }));
}

/** What the policies of an installation allow a volume with this config; undefined allows everything. */
export function volumeGrants(
  installation: Installation,
  workload: Workload,
  config: AgentConfig,
): Grants | undefined {
  const { policies } = installation.vault;
  if (policies.length === 0) return undefined;
  const login = loginOf(installation, config);
  const matching = policiesFor(policies, workload);
  return limitingGrants(
    grantsOf(matching.filter((policy) => login === undefined || allowsLogin(policy, login))),
  );
}

/** Grants as in a document, without fields that allow any; undefined if nothing is limited. */
export function documentGrants(grants: Grants): RawAgentConfig['grants'] {
  return limitingGrants(grants)?.map(({ policy, paths, operations, audiences }) => ({
    policy,
    ...(!Globs.of(paths).matchesAll && { paths }),
    ...(operations.length < OPERATIONS.length && { operations }),
    ...(!Globs.of(audiences).matchesAll && { audiences }),
  }));
}

function limitingGrants(grants: Grants): readonly Grant[] | undefined {
  return grants.some(isUnlimited) ? undefined : grants;
}

function loginOf(
  { vault: { connections } }: Installation,
  { vault, auth }: AgentConfig,
): Login | undefined {
  if (vault === undefined || auth === undefined) return undefined;
  const names = Object.entries(connections).flatMap(([name, { address, namespace }]) =>
    address === vault.address && namespace === vault.namespace ? [name] : [],
  );
  return { connections: names, role: auth.role, mount: auth.mount };
}
