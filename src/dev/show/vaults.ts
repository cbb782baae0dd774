/**
 * The Vault of the demo: the embedded one, or a real one.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  isOptional,
  JsonText,
  Secret,
  type Clock,
  type Random,
  type WriteParams,
} from '../../core/index.ts';
import { presentsX509 } from '../../config/agent/index.ts';
import { createVaultClient, type VaultClient } from '../../vault/index.ts';
import { createTestCa } from '../ca/index.ts';
import { startDevVault } from '../vault/index.ts';
import type { Need } from './needs.ts';
import { seedVault, type Login, type Rotation } from './seed.ts';

const TIMEOUT_MS = 10_000;

/** A Vault, and the changes that the demo can make in it. */
export interface ShownVault extends AsyncDisposable {
  readonly address: string;
  readonly isReal: boolean;
  /** CA of an embedded Vault with TLS. */
  readonly caPem?: string;
  readonly rotations: readonly Rotation[];
}

/** A real Vault, from the environment variables of Vault's CLI. */
export interface RealVault {
  readonly address: string;
  readonly namespace: string | undefined;
  readonly caFile: string | undefined;
  readonly proxy: string | undefined;
  /** Used only to change a secret that the pod reads. */
  readonly token: Secret<string> | undefined;
}

/** Starts the embedded Vault and fills it with what the pod needs. */
export async function startShownVault(
  needs: readonly Need[],
  login: Login,
  clock: Clock,
): Promise<ShownVault> {
  // Only certificate logins need TLS; without it, requests are easier to inspect.
  const ca = login.auths.some(presentsX509) ? createTestCa(clock) : undefined;
  const vault = await startDevVault({ clock, ...(ca && { tls: ca.issue() }) });
  try {
    const rotations = await seedVault(vault, needs, login);
    return {
      address: vault.address,
      isReal: false,
      ...(ca && { caPem: ca.caPem }),
      rotations,
      [Symbol.asyncDispose]: () => vault.close(),
    };
  } catch (error) {
    await vault.close();
    throw error;
  }
}

/** Uses a real Vault as it is. */
export async function connectVault(
  real: RealVault,
  needs: readonly Need[],
  parts: { readonly clock: Clock; readonly random: Random },
): Promise<ShownVault> {
  const { address, namespace, caFile, proxy, token } = real;
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8');
  const client = createVaultClient({
    ...parts,
    address,
    timeoutMs: TIMEOUT_MS,
    ca: () => ca,
    proxy,
    ...(namespace === undefined ? {} : { namespace }),
  });
  return {
    address,
    isReal: true,
    rotations: token === undefined ? [] : realRotations(client, token, needs),
    [Symbol.asyncDispose]: () => {
      client.close();
      return Promise.resolve();
    },
  };
}

/** Secrets without a lease that the pod requires: a new version of them can be written. */
function realRotations(
  client: VaultClient,
  token: Secret<string>,
  needs: readonly Need[],
): readonly Rotation[] {
  return needs
    .filter(
      ({ dependency }) =>
        dependency.kind === 'read' &&
        !isOptional(dependency) &&
        !/\/(static-)?creds\//.test(dependency.path),
    )
    .map(({ dependency, keys }) => ({
      path: dependency.path,
      rotate: () => rewrite(client, token, dependency.path, keys),
    }));
}

/** Writes the secret again with one value changed; all others stay. */
async function rewrite(
  client: VaultClient,
  token: Secret<string>,
  path: string,
  keys: ReadonlySet<string>,
): Promise<void> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { data, validity } = await client.fetch(token, { kind: 'read', path }, signal);
  if (validity.kind !== 'static' || data instanceof JsonText) return;
  const name = [...keys].find((key) => typeof data[key] === 'string') ?? Object.keys(data)[0];
  if (name === undefined) return;
  const changed = { ...data, [name]: randomBytes(9).toString('base64url') };
  const [mount = '', ...rest] = path.split('/');
  const isKv2 = await hasVersions(client, token, path);
  const below = rest[0] === 'data' ? rest.slice(1) : rest;
  const target = isKv2 ? [mount, 'data', ...below].join('/') : path;
  const body: unknown = isKv2 ? { data: changed } : changed;
  const params = body as WriteParams; // the client sends any JSON; templates alone are held to plain values
  await client.fetch(token, { kind: 'write', path: target, params }, signal);
}

/** True if the mount is KV v2, whose metadata can be read. */
async function hasVersions(
  client: VaultClient,
  token: Secret<string>,
  path: string,
): Promise<boolean> {
  const [mount = '', ...rest] = path.split('/');
  const below = rest[0] === 'data' ? rest.slice(1) : rest;
  const metadata = [mount, 'metadata', ...below].join('/');
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const { data } = await client.fetch(token, { kind: 'read', path: metadata }, signal);
    return 'versions' in data || 'current_version' in data;
  } catch {
    return false;
  }
}
