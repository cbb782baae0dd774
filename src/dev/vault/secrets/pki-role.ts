/**
 * The role of a PKI engine: which names a certificate may have.
 */
import { isIP } from 'node:net';
import type { RoleKind } from '../core/roles.ts';
import { matchesGlob } from '../auth/claims.ts';
import { Fields, seconds } from '../core/fields.ts';
import { Refusal, type Json } from '../core/messages.ts';

/** The certificates that a role allows. */
export interface PkiRole {
  readonly ttlMs: number;
  readonly maxTtlMs: number;
  readonly generatesLease: boolean;
  readonly domains: readonly string[];
  readonly uriSans: readonly string[];
  readonly allowsAnyName: boolean;
  readonly allowsBareDomains: boolean;
  readonly allowsSubdomains: boolean;
  readonly allowsGlobDomains: boolean;
  readonly allowsLocalhost: boolean;
  readonly allowsIps: boolean;
  readonly requiresCommonName: boolean;
}

/** The names of one certificate. */
export interface CertificateNames {
  /** Absent if the role does not require one and none was requested. */
  readonly commonName?: string;
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly uris: readonly string[];
}

/** How roles of the engine are written and read. */
export const PKI_ROLE: RoleKind<PkiRole> = {
  base: 'roles',
  parse,
  show,
  warnings: (role) =>
    role.generatesLease
      ? [
          "it is encouraged to disable generate_lease and rely on PKI's native capabilities when possible; " +
            'this option can cause Vault-wide issues with large numbers of issued certificates',
        ]
      : [],
  answersWithRole: true,
};

/** The requested names. @throws Refusal 400 for names that the role does not allow. */
export function readNames(body: Json, role: PkiRole): CertificateNames {
  const fields = new Fields(body);
  const commonName = fields.text('common_name');
  if (commonName === '' && role.requiresCommonName) {
    throw new Refusal(
      400,
      'the common_name field is required, or must be provided in a CSR with "use_csr_common_name" set to true, unless "require_cn" is set to false',
    );
  }
  const ips = fields.list('ip_sans');
  const uris = fields.list('uri_sans');
  const altNames = fields.list('alt_names');
  if (commonName !== '' && !isAllowed(commonName, role)) {
    throw new Refusal(400, `common name ${commonName} not allowed by this role`);
  }
  const wrong = altNames.find((name) => !isAllowed(name, role));
  if (wrong !== undefined) {
    throw new Refusal(400, `subject alternate name ${wrong} not allowed by this role`);
  }
  checkAddresses(ips, role);
  checkUris(uris, role);
  const named = commonName === '' || fields.flag('exclude_cn_from_sans') ? [] : [commonName];
  const dnsNames = [...new Set([...named, ...altNames])];
  return { ...(commonName === '' ? {} : { commonName }), dnsNames, ips, uris };
}

function checkAddresses(ips: readonly string[], role: PkiRole): void {
  if (ips.length > 0 && !role.allowsIps) {
    throw new Refusal(400, `IP Subject Alternative Names are not allowed in this role`);
  }
  const wrong = ips.find((ip) => isIP(ip) === 0);
  if (wrong !== undefined) {
    throw new Refusal(400, `the value "${wrong}" is not a valid IP address`);
  }
}

function checkUris(uris: readonly string[], role: PkiRole): void {
  if (uris.length > 0 && role.uriSans.length === 0) {
    throw new Refusal(
      400,
      'URI Subject Alternative Names are not allowed in this role, but were provided via the API',
    );
  }
  if (!uris.every((uri) => role.uriSans.some((pattern) => matchesGlob(pattern, uri)))) {
    throw new Refusal(
      400,
      'URI Subject Alternative Names were provided via the API which are not valid for this role',
    );
  }
}

function isAllowed(name: string, role: PkiRole): boolean {
  if (role.allowsAnyName || (role.allowsLocalhost && name === 'localhost')) return true;
  return role.domains.some(
    (domain) =>
      (role.allowsBareDomains && name === domain) ||
      (role.allowsSubdomains && name.endsWith(`.${domain}`)) ||
      (role.allowsGlobDomains && matchesGlob(domain, name)),
  );
}

function parse(body: Json): PkiRole {
  const fields = new Fields(body);
  const flagOr = (name: string, other: boolean): boolean =>
    fields.has(name) ? fields.flag(name) : other;
  const role = {
    ttlMs: fields.duration('ttl'),
    maxTtlMs: fields.duration('max_ttl'),
    generatesLease: fields.flag('generate_lease'),
    domains: fields.list('allowed_domains'),
    uriSans: fields.list('allowed_uri_sans'),
    allowsAnyName: fields.flag('allow_any_name'),
    allowsBareDomains: fields.flag('allow_bare_domains'),
    allowsSubdomains: fields.flag('allow_subdomains'),
    allowsGlobDomains: fields.flag('allow_glob_domains'),
    allowsLocalhost: flagOr('allow_localhost', true),
    allowsIps: flagOr('allow_ip_sans', true),
    requiresCommonName: flagOr('require_cn', true),
  };
  if (role.maxTtlMs > 0 && role.ttlMs > role.maxTtlMs) {
    throw new Refusal(400, '"ttl" value must be less than "max_ttl" value');
  }
  return role;
}

function show(role: PkiRole): Json {
  return {
    allow_any_name: role.allowsAnyName,
    allow_bare_domains: role.allowsBareDomains,
    allow_glob_domains: role.allowsGlobDomains,
    allow_ip_sans: role.allowsIps,
    allow_localhost: role.allowsLocalhost,
    allow_subdomains: role.allowsSubdomains,
    allowed_domains: role.domains,
    allowed_uri_sans: role.uriSans,
    generate_lease: role.generatesLease,
    issuer_ref: 'default',
    key_bits: 256,
    key_type: 'ec',
    max_ttl: seconds(role.maxTtlMs),
    require_cn: role.requiresCommonName,
    ttl: seconds(role.ttlMs),
  };
}
