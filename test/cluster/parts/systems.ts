/** The seed systems with their own names and values, as their Vault is set up for the pods of manifests/examples. */
import { readExample } from '../../helpers/example.ts';
import type { Pod } from './objects.ts';
import { shellContainer, Space, vault, world } from './suite.ts';

/** How Vault is set up for a system, and what a pod of it sees. */
export interface System {
  /** Its manifest. */
  readonly example: string;
  /** Of the mount `auth/jwt`. */
  readonly config: object;
  readonly role: readonly [name: string, settings: object];
  readonly policy: readonly [name: string, text: string];
  readonly secret: readonly [path: string, data: object];
  /** A file in the pod. */
  readonly file: readonly [name: string, content: string];
}

const { url, caPem } = world.issuer;
const SPIRE = { oidc_discovery_url: url, oidc_discovery_ca_pem: caPem };
const JWT = { role_type: 'jwt', user_claim: 'sub' };

/** Its SPIFFE ID is not one of a service account. */
export const YOUR_WORKLOAD = 'spiffe://example.org/your-workload';

function reads(path: string): string {
  return `path "${path}" { capabilities = ["read"] }`;
}

function json(data: object): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

export const SYSTEMS = {
  spireOidc: {
    example: '01-spire-oidc',
    config: { ...SPIRE, default_role: 'dev' },
    role: [
      'dev',
      {
        ...JWT,
        bound_audiences: 'TESTING',
        bound_subject: 'spiffe://example.org/ns/default/sa/default',
        token_ttl: '24h',
        token_policies: 'my-dev-policy',
      },
    ],
    policy: ['my-dev-policy', reads('secret/my-super-secret')],
    secret: ['secret/my-super-secret', { test: '123' }],
    file: ['my-super-secret', 'test=123\n'],
  },
  serviceAccount: {
    example: '02-service-account',
    config: {
      oidc_discovery_url: world.accountKeys.issuer,
      oidc_discovery_ca_pem: world.accountKeys.caPem,
      default_role: 'k8s-dev',
    },
    role: [
      'k8s-dev',
      {
        ...JWT,
        bound_audiences: 'vault-dev',
        bound_subject: 'system:serviceaccount:default:vault-writer',
        policies: 'k8s-dev-writer',
        ttl: '1h',
      },
    ],
    policy: [
      'k8s-dev-writer',
      [
        'path "kvv2/metadata/k8s-dev/*" { capabilities = ["list"] }',
        'path "kvv2/data/k8s-dev/*" { capabilities = ["create", "read", "update"] }',
      ].join('\n'),
    ],
    secret: ['kvv2/data/k8s-dev/foo', { data: { bar: 'baz' } }],
    file: ['foo', json({ bar: 'baz' })],
  },
  openShift: {
    example: '04-federation-azure',
    config: { ...SPIRE, default_role: 'ztwim-role' },
    role: [
      'ztwim-role',
      {
        ...JWT,
        bound_audiences: 'client',
        bound_claims_type: 'glob',
        bound_claims: { sub: 'spiffe://example.org/ns/demo/sa/client' },
        token_ttl: '24h',
        token_policies: 'ztwim-policy',
      },
    ],
    policy: ['ztwim-policy', reads('secret/ztwim')],
    secret: ['secret/ztwim', { version: 'v0.1.0' }],
    file: ['ztwim', json({ version: 'v0.1.0' })],
  },
  vaultAgent: {
    example: '05-vault-agent-spiffe',
    config: { jwks_url: `${url}/keys`, jwks_ca_pem: caPem },
    role: [
      'my-spiffe-role',
      {
        ...JWT,
        bound_claims: { sub: [YOUR_WORKLOAD] },
        bound_audiences: 'vault',
        policies: 'your-policy',
      },
    ],
    policy: ['your-policy', reads('secret/your-workload')],
    secret: ['secret/your-workload', { password: 'one' }],
    file: ['config', json({ password: 'one' })],
  },
} as const satisfies Record<string, System>;

/** Sets Vault up for a system for as long as a test runs. */
export async function establish(system: System): Promise<AsyncDisposable> {
  const [[role, settings], [policy, text]] = [system.role, system.policy];
  await vault.write('sys/auth/jwt', { type: 'jwt' });
  await vault.write('auth/jwt/config', system.config);
  await vault.write(`auth/jwt/role/${role}`, settings);
  await vault.write(`sys/policies/acl/${policy}`, { policy: text });
  await vault.write(...system.secret);
  return { [Symbol.asyncDispose]: () => vault.remove('sys/auth/jwt') };
}

/** A pod of an example. */
export interface RunningExample extends AsyncDisposable {
  readonly space: Space;
  readonly name: string;
  readonly container: string;
}

/** Runs an example's pod with a line of shell as its application, and more annotations. */
export async function runExample(
  name: string,
  line: string,
  settings: Readonly<Record<string, string>>,
  more: object = {},
): Promise<RunningExample> {
  const found = await readExample(name);
  const pod = found.pod as unknown as Pod; // an example is a valid one
  const { metadata, spec } = pod;
  const space = Space.of(found.namespace);
  const container = spec.containers[0]?.name ?? '';
  await space.create({
    ...pod,
    metadata: { ...metadata, annotations: { ...metadata.annotations, ...settings } },
    spec: {
      ...spec,
      ...more,
      containers: [shellContainer(container, line)],
      terminationGracePeriodSeconds: 5,
    },
  });
  const podName = metadata.name ?? '';
  return {
    space,
    name: podName,
    container,
    [Symbol.asyncDispose]: () => space.remove(podName),
  };
}
