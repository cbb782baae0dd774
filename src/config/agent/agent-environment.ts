/**
 * Settings from environment variables, by the names of Vault's and OpenBao's own command lines.
 */

/** Settings from the environment, used where the document does not set them. */
export interface AgentEnvironment {
  /** `SPIFFE_ENDPOINT_SOCKET` */
  readonly spiffeEndpointSocket?: string | undefined;
  /** `BAO_ADDR` or `VAULT_ADDR` */
  readonly vaultAddress?: string | undefined;
  /** `BAO_NAMESPACE` or `VAULT_NAMESPACE` */
  readonly vaultNamespace?: string | undefined;
  /** `BAO_CACERT` or `VAULT_CACERT` */
  readonly vaultCaFile?: string | undefined;
  /** `BAO_PROXY_ADDR` or `VAULT_PROXY_ADDR`, or the older `BAO_HTTP_PROXY` or `VAULT_HTTP_PROXY`. */
  readonly vaultProxy?: string | undefined;
}

/** A variable of the process; undefined if it is not set. */
type ReadVariable = (name: string) => string | undefined;

/** The settings that the variables of a process have. */
export function agentEnvironment(read: ReadVariable): AgentEnvironment {
  return {
    spiffeEndpointSocket: read('SPIFFE_ENDPOINT_SOCKET'),
    vaultAddress: vaultVariable(read, 'ADDR'),
    vaultNamespace: vaultVariable(read, 'NAMESPACE'),
    vaultCaFile: vaultVariable(read, 'CACERT'),
    vaultProxy: vaultVariable(read, 'PROXY_ADDR', 'HTTP_PROXY'),
  };
}

/**
 * The first of these variables that is set and not empty: each of `names` as OpenBao's `BAO_…`, which takes precedence as in
 * its own command line, and then as Vault's `VAULT_…`.
 */
export function vaultVariable(read: ReadVariable, ...names: readonly string[]): string | undefined {
  return names
    .flatMap((name) => [`BAO_${name}`, `VAULT_${name}`])
    .map(read)
    .find((value) => value !== undefined && value !== '');
}
