/**
 * Endpoints of Vault that respond with a bare certificate, revocation list or public key instead of JSON, and where the same is in JSON.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/pki
 * @see https://developer.hashicorp.com/vault/api-docs/secret/ssh
 */

interface Endpoint {
  /** Matches the end of a path; the groups are the mount and what follows it. */
  readonly path: RegExp;
  /** The secret reference after the mount. */
  readonly inJson: (rest: string) => string;
  /** True if a secret of any engine may well have such a name: `kv/ca`. */
  readonly isCommonName?: boolean;
}

const ENDPOINTS: readonly Endpoint[] = [
  { path: /^(.+)\/issuer\/([^/]+)\/(?:pem|der)$/, inJson: (id) => `issuer/${id}/json#certificate` },
  {
    path: /^(.+)\/(issuer\/[^/]+\/(?:unified-)?crl(?:\/delta)?)\/(?:pem|der)$/,
    inJson: (crl) => `${crl}#crl`,
  },
  { path: /^(.+)\/(cert\/[^/]+)\/raw(?:\/pem)?$/, inJson: (cert) => `${cert}#certificate` },
  { path: /^(.+)\/(ca)\/pem$/, inJson: () => 'cert/ca#certificate' },
  {
    path: /^(.+)\/((?:unified-)?crl)\/delta(?:\/pem)?$/,
    inJson: (crl) => `cert/${crl.replace('crl', 'delta-crl')}#certificate`,
  },
  { path: /^(.+)\/((?:unified-)?crl)\/pem$/, inJson: (crl) => `cert/${crl}#certificate` },
  {
    path: /^(.+)\/(ca|ca_chain|crl|unified-crl)$/,
    inJson: (name) => `cert/${name}#certificate`,
    isCommonName: true,
  },
  { path: /^(.+)\/(public_key)$/, inJson: () => 'config/ca#public_key', isCommonName: true },
];

/** Paths with JSON that end like one of these endpoints: `pki/cert/ca`, `ssh/config/ca`, `pki/issuer/x/crl`. */
const IN_JSON = /\/(cert|config)\/[^/]+$|\/issuer\/[^/]+\/(unified-)?crl(\/delta)?$/;

/** Mounts of KV, by their usual names. */
const KV_MOUNT = /^(kv|secret)/i;
/** Mounts of PKI and SSH engines, by their usual names. */
const CERTIFICATE_MOUNT = /pki|ssh|cert|x509|tls|sign|issu|intermediate|root|(^|[-_/])ca([-_/]|$)/i;

/** `pki/ca/pem` -> `pki/cert/ca#certificate`; undefined for a path that is not such an endpoint of a PKI or SSH engine. */
export function jsonPathOf(path: string): string | undefined {
  return find(path)?.inJson;
}

/**
 * As {@link jsonPathOf}, where nothing is known of the mount: undefined also if the path is more likely one of another
 * engine, by the name of its mount.
 */
export function likelyJsonPathOf(path: string): string | undefined {
  const found = find(path);
  if (found === undefined || KV_MOUNT.test(path)) return undefined;
  return found.isCommonName && !CERTIFICATE_MOUNT.test(found.mount) ? undefined : found.inJson;
}

function find(
  path: string,
): { readonly mount: string; readonly inJson: string; readonly isCommonName: boolean } | undefined {
  if (IN_JSON.test(path)) return undefined;
  for (const { path: pattern, inJson, isCommonName = false } of ENDPOINTS) {
    const [, mount, rest] = pattern.exec(path) ?? [];
    if (mount === undefined || rest === undefined) continue;
    return { mount, inJson: `${mount}/${inJson(rest)}`, isCommonName };
  }
  return undefined;
}
