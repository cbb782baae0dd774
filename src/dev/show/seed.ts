/**
 * Sets up the embedded Vault for one pod, as an operator would with `vault write`.
 */
import { createPublicKey, randomBytes, type webcrypto } from 'node:crypto';
import type { AuthConfig } from '../../config/agent/index.ts';
import type { DevVault } from '../vault/index.ts';
import type { Need } from './needs.ts';

/** Short TTLs of dynamic credentials, so that their renewal and replacement can be watched. */
const LEASE = { default_ttl: '6s', max_ttl: '14s' } as const;

const KEYS_TIMEOUT_MS = 10_000;

/** Keys of a secret if the files name none. */
const SAMPLE_KEYS = ['username', 'password'] as const;

/** The identity that may log in. */
export interface Login {
  /** One for each login of the pod; empty if the pod does not use Vault. */
  readonly auths: readonly AuthConfig[];
  /** `sub` of the pod's JWT, or its SPIFFE ID. */
  readonly subject: string;
  /** Keys that verify the pod's JWT. */
  readonly jwksUrl: string;
  /** Authorities of the pod's X.509-SVID. */
  readonly bundlePem: string;
}

/** Changes a secret that the pod uses. */
export interface Rotation {
  /** Path as in the pod. */
  readonly path: string;
  readonly rotate: () => Promise<void>;
}

/** Enables, fills and permits what the pod needs. Returns the changes that the demo can make. */
export async function seedVault(
  vault: DevVault,
  needs: readonly Need[],
  login: Login,
): Promise<readonly Rotation[]> {
  const mounts = new Set<string>();
  const rotations: Rotation[] = [];
  for (const need of needs) {
    const rotation = await seedNeed(vault, need, mounts);
    if (rotation !== undefined) rotations.push(rotation);
  }
  const rules = [...mounts].map(
    (mount) => `path "${mount}/*" { capabilities = ["create", "read", "update", "list"] }`,
  );
  // The default policy lets a token renew its leases, but not revoke one.
  rules.push('path "sys/leases/revoke" { capabilities = ["update"] }');
  await vault.write('sys/policies/acl/vouchsafe-dev', { policy: rules.join('\n') });
  const opened = new Set<string>();
  for (const auth of login.auths) {
    if (!opened.has(auth.mount)) await vault.write(`sys/auth/${auth.mount}`, { type: auth.method });
    opened.add(auth.mount);
    await openLogin(vault, auth, login);
  }
  return rotations;
}

async function seedNeed(
  vault: DevVault,
  { dependency, keys }: Need,
  mounts: Set<string>,
): Promise<Rotation | undefined> {
  const [mount = '', kind = '', ...rest] = dependency.path.replace(/\?.*$/, '').split('/');
  const name = rest.join('/');
  const engine = engineOf(dependency, kind);
  if (!mounts.has(mount)) await enable(vault, mount, engine);
  mounts.add(mount);
  if (engine === 'database') {
    const role = kind === 'creds' ? LEASE : { username: name, rotation_period: '15s' };
    await vault.write(`${mount}/${kind === 'creds' ? 'roles' : 'static-roles'}/${name}`, role);
    return undefined;
  }
  if (engine === 'pki') {
    await vault.write(`${mount}/roles/${name}`, { max_ttl: '1h', ttl: '60s' });
    return undefined;
  }
  const path = [...(kind === 'data' ? [] : [kind]), ...rest].join('/');
  const isList = dependency.kind === 'list';
  const rotate = async (): Promise<void> => {
    await vault.write(`${mount}/data/${path}${isList ? '/sample' : ''}`, { data: samples(keys) });
  };
  await rotate();
  return isList ? undefined : { path: dependency.path, rotate };
}

type Engine = 'kv' | 'database' | 'pki';

function engineOf(dependency: Need['dependency'], kind: string): Engine {
  if (kind === 'creds' || kind === 'static-creds') return 'database';
  return dependency.kind === 'pki' || kind === 'issue' ? 'pki' : 'kv';
}

async function enable(vault: DevVault, mount: string, type: Engine): Promise<void> {
  await vault.write(`sys/mounts/${mount}`, { type, options: { version: '2' } });
  if (type !== 'pki') return;
  await vault.write(`${mount}/root/generate/internal`, { common_name: 'dev', ttl: '24h' });
}

async function openLogin(vault: DevVault, auth: AuthConfig, login: Login): Promise<void> {
  const { mount, method, role = 'default' } = auth;
  const [config, bound] = await settingsOf(auth, { role, ...login });
  await vault.write(`auth/${mount}/config`, config);
  const roles = method === 'cert' ? 'certs' : 'role';
  const token = { token_ttl: '1h', token_policies: ['vouchsafe-dev'] };
  await vault.write(`auth/${mount}/${roles}/${role}`, { ...bound, ...token });
}

/** The configuration of a login method, and what its role is bound to. */
async function settingsOf(
  { method, audience, svid }: AuthConfig,
  login: Omit<Login, 'auths'> & { readonly role: string },
): Promise<readonly [config: Record<string, unknown>, bound: Record<string, unknown>]> {
  const { subject, jwksUrl, bundlePem, role } = login;
  switch (method) {
    case 'jwt': {
      const config = { jwks_url: jwksUrl, default_role: role };
      return [config, { bound_audiences: [audience], bound_subject: subject }];
    }
    case 'kubernetes': {
      const [, , namespace = '', account = ''] = subject.split(':');
      const names = { bound_service_account_names: [account] };
      const pem_keys = (await keysAt(jwksUrl)).map(publicPem);
      return [{ pem_keys }, { ...names, bound_service_account_namespaces: [namespace] }];
    }
    case 'cert':
      return [{}, { certificate: bundlePem, allowed_uri_sans: [subject] }];
    case 'spiffe': {
      const [, , trust_domain = '', ...path] = subject.split('/');
      const bundle = svid === 'x509' ? bundlePem : JSON.stringify({ keys: await keysAt(jwksUrl) });
      const config = { trust_domain, bundle, audience: [audience] };
      return [config, { workload_id_patterns: [path.join('/')] }];
    }
  }
}

async function keysAt(url: string): Promise<readonly webcrypto.JsonWebKey[]> {
  const response = await fetch(url, { signal: AbortSignal.timeout(KEYS_TIMEOUT_MS) });
  const { keys } = (await response.json()) as { keys: webcrypto.JsonWebKey[] }; // our own provider's JWKS
  return keys;
}

function publicPem(key: webcrypto.JsonWebKey): string {
  return createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
}

function samples(keys: ReadonlySet<string>): Record<string, string> {
  const names = keys.size === 0 ? SAMPLE_KEYS : [...keys];
  return Object.fromEntries(names.map((name) => [name, randomBytes(9).toString('base64url')]));
}
