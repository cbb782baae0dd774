/**
 * A PKI engine with one root, whose roles allow any name.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/pki
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { certificateLife, type Clock } from '../../../core/index.ts';
import { createAuthority, type Authority } from '../../ca/index.ts';
import type { Backend } from '../core.ts';
import { Fields, seconds } from '../fields.ts';
import { VaultError, type Json } from '../messages.ts';
import { RoleStore } from '../role-store.ts';
import { Routes } from '../routes.ts';
import { calculateTtl } from '../terms.ts';

/** Creates a PKI engine. */
export function createPkiBackend(clock: Clock): Backend {
  const routes = new Routes();
  const roles = new RoleStore(routes, 'roles');
  let authority: Authority | undefined;
  routes
    .on('update', 'root/generate/internal', ({ body }) => {
      const fields = new Fields(body);
      const commonName = fields.text('common_name');
      authority = createAuthority({
        commonName,
        nowMs: clock.now(),
        ttlMs: fields.duration('ttl'),
      });
      return { data: { certificate: authority.caPem.trim() } };
    })
    .on('update', 'issue/:name', ({ body }, { name = '' }) => {
      const role = roles.get(name);
      if (role === undefined) throw new VaultError(400, `unknown role: ${name}`);
      if (authority === undefined) {
        throw new VaultError(500, 'no default issuer currently configured');
      }
      return { data: issue(authority, role, { fields: new Fields(body), nowMs: clock.now() }) };
    });
  return { routes };
}

function issue(
  authority: Authority,
  role: Fields,
  { fields, nowMs }: { readonly fields: Fields; readonly nowMs: number },
): Json {
  const commonName = fields.text('common_name');
  const terms = { ttlMs: role.duration('ttl'), maxTtlMs: role.duration('max_ttl') };
  const incrementMs = fields.duration('ttl');
  const ttlMs = calculateTtl(terms, { issuedAtMs: nowMs, nowMs, incrementMs });
  const endMs = certificateLife(new X509Certificate(authority.caPem)).toMs;
  if (nowMs + ttlMs > endMs) {
    throw new VaultError(
      400,
      'cannot satisfy request, as TTL would result in notAfter beyond the expiration of the CA certificate',
    );
  }
  const names = [commonName, ...fields.list('alt_names')].filter((name) => name !== '');
  const { certPem, keyPem } = authority.issue({
    ...(commonName === '' ? {} : { commonName }),
    dnsNames: [...new Set(names)],
    ips: fields.list('ip_sans'),
    uris: fields.list('uri_sans'),
    nowMs,
    ttlMs,
  });
  const certificate = new X509Certificate(certPem);
  const caPem = authority.caPem.trim();
  return {
    certificate: certPem.trim(),
    issuing_ca: caPem,
    ca_chain: [caPem],
    private_key_type: 'ec',
    private_key: createPrivateKey(keyPem).export({ format: 'pem', type: 'sec1' }).trim(),
    expiration: seconds(certificateLife(certificate).toMs),
    serial_number: certificate.serialNumber.toLowerCase().replace(/..(?=.)/g, '$&:'),
  };
}
