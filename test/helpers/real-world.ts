/** The real SPIRE and the real Vault: a workload that has an SVID, and may log in with it. */
import { startRealVault, type RealVault } from './real-vault.ts';
import { startSpire, type Spire } from './spire.ts';
import type { VaultClient } from './vault-client.ts';

/** Lifetimes that no test waits for. */
const LONG_LIVES = { x509TtlSeconds: 3600, jwtTtlSeconds: 300 } as const;

/** The workload of a test, for which every process of this user passes. */
export interface WorkloadEntry {
  readonly spiffeId: string;
  readonly dnsNames?: readonly string[];
}

/** Starts SPIRE with an entry for the workload, and waits until its agent has the SVID. */
export async function startWorkload(entry: WorkloadEntry): Promise<Spire> {
  const spire = await startSpire(LONG_LIVES);
  try {
    await spire.register(entry);
    await spire.untilServed(entry.spiffeId);
    return spire;
  } catch (error) {
    await spire[Symbol.asyncDispose]();
    throw error;
  }
}

/** A login of a workload by JWT-SVID. */
export interface JwtLogin {
  /** Name of the role and of its policy. */
  readonly role: string;
  readonly policy: string;
  /** `jwt` by default. */
  readonly mount?: string;
  /** Further parameters of the role. */
  readonly more?: object;
}

/** Lets the workloads of a trust domain log in to a Vault. */
export async function openJwtLogin(
  vault: VaultClient,
  spire: Spire,
  login: JwtLogin,
): Promise<void> {
  const { role, policy, mount = 'jwt', more = {} } = login;
  await vault.write(`sys/policies/acl/${role}`, { policy });
  await vault.write(`sys/auth/${mount}`, { type: 'jwt' });
  await vault.write(`auth/${mount}/config`, { jwks_url: spire.jwksUrl });
  await writeJwtRole(vault, role, { mount, token_policies: role, ...more });
}

/** Writes a role for whoever has a JWT-SVID; its policy is `token_policies`. */
export async function writeJwtRole(
  vault: VaultClient,
  name: string,
  { mount = 'jwt', ...more }: { readonly mount?: string; readonly [parameter: string]: unknown },
): Promise<void> {
  await vault.write(`auth/${mount}/role/${name}`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: 'vault',
    ...more,
  });
}

/** Both servers. */
export interface RealWorld extends AsyncDisposable {
  readonly spire: Spire;
  readonly vault: RealVault;
  /** The part of a document that names the servers. */
  readonly servers: object;
}

/** Starts both, with a login for the workload. */
export async function startRealWorld(
  options: WorkloadEntry & JwtLogin & { readonly vaultFlags?: readonly string[] },
): Promise<RealWorld> {
  await using started = new AsyncDisposableStack();
  const [spire, vault] = await startBoth(started, options);
  await openJwtLogin(vault, spire, options);
  const all = started.move();
  return {
    spire,
    vault,
    servers: {
      spiffe: { socket: spire.socket },
      vault: { address: vault.address },
      auth: {
        role: options.role,
        ...(options.mount === undefined ? {} : { mount: options.mount }),
      },
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Side by side; what has started is ended even if the other one could not. */
async function startBoth(
  started: AsyncDisposableStack,
  options: WorkloadEntry & { readonly vaultFlags?: readonly string[] },
): Promise<readonly [Spire, RealVault]> {
  const both = [startWorkload(options), startRealVault(options.vaultFlags)] as const;
  for (const one of await Promise.allSettled(both)) {
    if (one.status === 'fulfilled') started.use<AsyncDisposable>(one.value);
  }
  return Promise.all(both);
}
