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
  /** Undefined if the pod does not use Vault. */
  readonly auth: AuthConfig | undefined;
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
  if (login.auth !== undefined) await openLogin(vault, login.auth, login);
  return rotations;
}

async function seedNeed(
  vault: DevVault,
  { dependency, keys }: Need,
  mounts: Set<string>,
): Promise<Rotation | undefined> {
  const [mount = '', kind = '', ...rest] = dependency.path.replace(/\?.*$/, '').split('/');
  const name = rest.join('/');
  const isNew = !mounts.has(mount);
  mounts.add(mount);
  if (kind === 'creds' || kind === 'static-creds') {
    if (isNew) await mountDatabase(vault, mount);
    await addDatabaseRole(vault, { mount, kind, name });
    return undefined;
  }
  if (dependency.kind === 'pki' || kind === 'issue') {
    if (isNew) await mountPki(vault, mount);
    await vault.write(`${mount}/roles/${name}`, {
      allow_any_name: true,
      max_ttl: '1h',
      ttl: '60s',
    });
    return undefined;
  }
  if (isNew) await vault.write(`sys/mounts/${mount}`, { type: 'kv', options: { version: '2' } });
  const path = [kind, ...rest].filter((part, index) => index > 0 || part !== 'data').join('/');
  if (dependency.kind === 'list') {
    await vault.write(`${mount}/data/${path}/sample`, { data: samples(keys) });
    return undefined;
  }
  const rotate = async (): Promise<void> => {
    await vault.write(`${mount}/data/${path}`, { data: samples(keys) });
  };
  await rotate();
  return { path: dependency.path, rotate };
}

async function mountDatabase(vault: DevVault, mount: string): Promise<void> {
  await vault.write(`sys/mounts/${mount}`, { type: 'database' });
  await vault.write(`${mount}/config/dev`, {
    plugin_name: 'postgresql-database-plugin',
    connection_url: 'postgresql://{{username}}:{{password}}@127.0.0.1/dev',
    allowed_roles: '*',
    username: 'vault',
    password: 'vault',
  });
}

async function addDatabaseRole(
  vault: DevVault,
  { mount, kind, name }: { mount: string; kind: 'creds' | 'static-creds'; name: string },
): Promise<void> {
  if (kind === 'static-creds') {
    const role = { db_name: 'dev', username: name, rotation_period: '15s' };
    await vault.write(`${mount}/static-roles/${name}`, role);
    return;
  }
  const creation_statements = [`CREATE ROLE "{{name}}" PASSWORD '{{password}}';`];
  await vault.write(`${mount}/roles/${name}`, { db_name: 'dev', creation_statements, ...LEASE });
}

async function mountPki(vault: DevVault, mount: string): Promise<void> {
  await vault.write(`sys/mounts/${mount}`, { type: 'pki' });
  await vault.write(`${mount}/root/generate/internal`, { common_name: 'dev', ttl: '24h' });
}

async function openLogin(
  vault: DevVault,
  auth: AuthConfig,
  { subject, ...login }: Login,
): Promise<void> {
  const { mount, method, role = 'default', audience } = auth;
  const token_policies = ['vouchsafe-dev'];
  await vault.write(`sys/auth/${mount}`, { type: method });
  switch (method) {
    case 'jwt':
      await vault.write(`auth/${mount}/config`, { jwks_url: login.jwksUrl, default_role: role });
      await vault.write(`auth/${mount}/role/${role}`, {
        role_type: 'jwt',
        user_claim: 'sub',
        bound_audiences: [audience],
        bound_subject: subject,
        token_ttl: '1h',
        token_policies,
      });
      return;
    case 'kubernetes': {
      const [, , namespace = '', account = ''] = subject.split(':');
      const pem_keys = (await keysAt(login.jwksUrl)).map(publicPem);
      // With public keys Vault does not call an API server.
      const kubernetes_host = 'https://kubernetes.default.svc';
      await vault.write(`auth/${mount}/config`, { kubernetes_host, pem_keys });
      await vault.write(`auth/${mount}/role/${role}`, {
        bound_service_account_names: [account],
        bound_service_account_namespaces: [namespace],
        token_ttl: '1h',
        token_policies,
      });
      return;
    }
    case 'cert':
      await vault.write(`auth/${mount}/certs/${role}`, {
        certificate: login.bundlePem,
        allowed_uri_sans: [subject],
        token_ttl: '1h',
        token_policies,
      });
      return;
    case 'spiffe':
      await vault.write(`auth/${mount}/config`, {
        trust_domain: subject.split('/')[2] ?? '',
        profile: 'static',
        bundle: JSON.stringify({ keys: await keysAt(login.jwksUrl) }),
        audience: [audience],
      });
      await vault.write(`auth/${mount}/role/${role}`, {
        workload_id_patterns: [subject.split('/').slice(3).join('/')],
        token_ttl: '1h',
        token_policies,
      });
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
