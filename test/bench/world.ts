/**
 * What both agents talk to: the real Vault with its audit log on, and the identity that `vouchsafe dev` has.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startOidcProvider, startWorkloadApi } from '../../src/dev/workload-api/index.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/bench';
const ROLE = 'bench';

/** Most KV v2 secrets that an agent is given. */
export const MOST_SECRETS = 100;

/** Path of a secret with a lease, as `vault read` has it. */
export const LEASED_SECRET = 'secret/creds';

const POLICY = `
path "secret/*" { capabilities = ["read"] }
path "sys/leases/revoke" { capabilities = ["update"] }
`;

/** Servers on loopback, and a directory for everything else. */
export interface World extends AsyncDisposable {
  readonly vault: RealVault;
  readonly role: string;
  /** Address of the Workload API. */
  readonly socket: string;
  /** A JWT-SVID in a file, because `vault agent` knows no Workload API. */
  readonly tokenFile: string;
  /** A directory that did not exist before. */
  directory(): Promise<string>;
}

/** In pods the files lie in memory; a disk would be what is measured. Linux has this everywhere. */
const MEMORY = '/dev/shm';

/** The engine that holds the secrets: KV version 2, or KV version 1 with leases, as dynamic credentials have. */
export type Engine = 'kv2' | 'leased';

/** Starts the servers. `VOUCHSAFE_TEST_VAULT` names the binary. */
export async function startWorld(engine: Engine): Promise<World> {
  await using started = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), 'vouchsafe-bench-'));
  started.defer(() => rm(root, { recursive: true, force: true }));
  const volume = await mkdtemp(join(MEMORY, 'vouchsafe-bench-'));
  started.defer(() => rm(volume, { recursive: true, force: true }));
  const api = started.use(
    await startWorkloadApi({ identities: [{ spiffeId: SPIFFE_ID }], jwtTtlMs: 3_600_000 }),
  );
  const oidc = started.use(await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) }));
  const vault = started.use(await startRealVault(engine === 'leased' ? ['-dev-leased-kv'] : []));
  await openLogin(vault, `${oidc.url}/keys`);
  if (engine === 'leased') await vault.write(LEASED_SECRET, { ttl: '1h', password: 'leased' });
  else await writeSecrets(vault);
  const tokenFile = join(root, 'jwt-svid');
  await writeFile(tokenFile, await api.mintJwtSvid(SPIFFE_ID, ['vault']));
  const all = started.move();
  return {
    vault,
    tokenFile,
    role: ROLE,
    socket: api.address,
    directory: () => mkdtemp(join(volume, 'agent-')),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function writeSecrets(vault: RealVault): Promise<void> {
  for (let index = 0; index < MOST_SECRETS; index += 1) {
    const data = { username: `user-${index}`, password: `password-${index}` };
    await vault.write(`secret/data/app/${index}`, { data });
  }
}

async function openLogin(vault: RealVault, jwksUrl: string): Promise<void> {
  await vault.write('sys/policies/acl/bench', { policy: POLICY });
  await vault.write('sys/auth/jwt', { type: 'jwt' });
  await vault.write('auth/jwt/config', { jwks_url: jwksUrl });
  await vault.write(`auth/jwt/role/${ROLE}`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: 'vault',
    bound_subject: SPIFFE_ID,
    token_policies: 'bench',
    token_ttl: '1h',
  });
}
