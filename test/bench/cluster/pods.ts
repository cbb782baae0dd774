/** The pods that are measured: one application, three KV secrets, and two identities to get them with. */
import { annotations, shellContainer, Space, vault, world } from '../../cluster/parts/suite.ts';
import type { Pod } from '../../cluster/parts/objects.ts';

export const SECRETS = ['first', 'second', 'third'];

/** How many files an application is to see. */
export const FILES = SECRETS.length;

/** A namespace whose pods can log in, and the annotations by which they do. */
export interface Tenant extends AsyncDisposable {
  readonly space: Space;
  /** Annotations that ask for the files, with further settings. */
  readonly asks: (more?: Readonly<Record<string, string>>) => Readonly<Record<string, string>>;
}

/** What a pod says of itself. */
export interface Marked {
  readonly asked: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Pods that log in with their JWT-SVIDs. */
export async function spiffeTenant(): Promise<Tenant> {
  return tenant(await Space.create(), {}, {});
}

/** Pods that log in with tokens of their service accounts. */
export async function accountTenant(): Promise<Tenant> {
  const space = await Space.create();
  const made = await tenant(
    space,
    { identity: 'service-account', audience: 'vault' },
    { bound_subject: `system:serviceaccount:${space.name}:default` },
  );
  const { url, caPem } = world.accountKeys;
  await vault.write(`auth/${space.mount}/config`, { jwks_url: url, jwks_ca_pem: caPem });
  return made;
}

async function tenant(
  space: Space,
  identity: Readonly<Record<string, string>>,
  role: object,
): Promise<Tenant> {
  await space.grantSecret({}, role);
  const files: Record<string, string> = {};
  for (const name of SECRETS) {
    await vault.write(`secret/data/${space.name}/${name}`, { data: { value: `planted ${name}` } });
    files[`secret-${name}`] = `secret/${space.name}/${name}#value`;
  }
  const settings = { ...space.login, ...identity, ...files };
  return {
    space,
    asks: (more = {}) => annotations({ ...settings, ...more }),
    [Symbol.asyncDispose]: () => space[Symbol.asyncDispose](),
  };
}

/** A pod that is marked so, and runs a line of shell. */
export function benchPod(name: string, { asked, labels = {} }: Marked, line: string): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels, annotations: asked },
    spec: { containers: [shellContainer('app', line)], terminationGracePeriodSeconds: 2 },
  };
}
