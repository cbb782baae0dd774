/**
 * A PKI engine with one self-signed authority. Keys are always ECDSA on P-256, whatever the role sets.
 * @see https://developer.hashicorp.com/vault/api-docs/secret/pki
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { certificateLife, type Clock } from '../../../core/index.ts';
import { createAuthority, type Authority } from '../../ca/index.ts';
import { RoleStore } from '../core/roles.ts';
import { Fields, formatInstant, seconds } from '../core/fields.ts';
import { NOTHING_FOUND, Refusal, type Answer, type Json } from '../core/messages.ts';
import type { Backend, MountSettings } from '../core/mounts.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { PKI_ROLE, readNames, type PkiRole } from './pki-role.ts';

interface Issuer {
  readonly authority: Authority;
  readonly certificate: X509Certificate;
}

/** Creates a PKI engine. */
export function createPkiBackend(clock: Clock, mount: MountSettings): Backend {
  const engine = new PkiEngine(clock, mount);
  const { roles } = engine;
  const pem = (): Answer => engine.caPem();
  const routes = new Routes()
    .on(WRITE, 'root/generate/:type', ({ body }) => engine.generate(body))
    .on('read', 'ca/pem', pem)
    .on('read', 'ca_chain', pem)
    .on('read', 'cert/ca', () => engine.caCertificate())
    .on(WRITE, 'issue/:role', ({ body }, { role = '' }) => engine.issue(role, body))
    .on('list', 'certs', () => engine.list());
  roles.addRoutes(routes);
  return {
    open: ['ca/pem', 'ca_chain', 'cert/ca'],
    handle: (request) => routes.handle(request),
  };
}

class PkiEngine {
  readonly roles = new RoleStore<PkiRole>(PKI_ROLE);
  readonly #serials: string[] = [];
  readonly #clock: Clock;
  readonly #mount: MountSettings;
  #issuer: Issuer | undefined;

  constructor(clock: Clock, mount: MountSettings) {
    this.#clock = clock;
    this.#mount = mount;
  }

  generate(body: Json): Answer {
    const fields = new Fields(body);
    if (!fields.has('common_name')) {
      throw new Refusal(400, 'the common_name field is required');
    }
    const wishMs = fields.duration('ttl') || this.#mount.defaultTtlMs();
    const ttlMs = Math.min(wishMs, this.#mount.maxTtlMs());
    const commonName = fields.text('common_name');
    const authority = createAuthority({ commonName, nowMs: this.#clock.now(), ttlMs });
    const certificate = new X509Certificate(authority.caPem);
    this.#issuer = { authority, certificate };
    return {
      data: {
        certificate: authority.caPem.trim(),
        expiration: seconds(certificateLife(certificate).toMs),
        issuing_ca: authority.caPem.trim(),
        serial_number: this.#record(certificate),
      },
    };
  }

  caPem(): Answer {
    if (this.#issuer === undefined) return { status: 204 };
    const body = this.#issuer.authority.caPem.trim();
    return { raw: { contentType: 'application/pem-certificate-chain', body } };
  }

  caCertificate(): Answer {
    if (this.#issuer === undefined) return NOTHING_FOUND;
    const certificate = this.#issuer.authority.caPem.trim();
    const data = { certificate, revocation_time: 0, revocation_time_rfc3339: '' };
    return { data, mountType: '' };
  }

  list(): Answer {
    const keys = [...this.#serials].sort();
    return keys.length === 0 ? NOTHING_FOUND : { data: { keys } };
  }

  issue(name: string, body: Json): Answer {
    const role = this.roles.get(name.toLowerCase());
    if (role === undefined) throw new Refusal(400, `unknown role: ${name}`);
    const names = readNames(body, role);
    if (this.#issuer === undefined) {
      throw new Refusal(500, 'no default issuer currently configured');
    }
    const { authority, certificate: ca } = this.#issuer;
    const { ttlMs, warnings } = this.#ttl(body, role);
    const nowMs = this.#clock.now();
    if (nowMs + ttlMs > certificateLife(ca).toMs) {
      throw new Refusal(
        400,
        `cannot satisfy request, as TTL would result in notAfter of ${formatInstant(nowMs + ttlMs)} ` +
          `that is beyond the expiration of the CA certificate at ${formatInstant(certificateLife(ca).toMs)}`,
      );
    }
    const issued = authority.issue({ ...names, nowMs, ttlMs });
    const certificate = new X509Certificate(issued.certPem);
    const format = new Fields(body).text('private_key_format') === 'pkcs8' ? 'pkcs8' : 'sec1';
    const key = createPrivateKey(issued.keyPem).export({ format: 'pem', type: format });
    const caPem = authority.caPem.trim();
    return {
      warnings,
      data: {
        ca_chain: [caPem],
        certificate: issued.certPem.trim(),
        expiration: seconds(certificateLife(certificate).toMs),
        issuing_ca: caPem,
        private_key: key.trim(),
        private_key_type: 'ec',
        serial_number: this.#record(certificate),
      },
      ...(role.generatesLease
        ? { lease: { ttlMs, maxTtlMs: 0, renewable: false, revoke: () => undefined } }
        : {}),
    };
  }

  #ttl(body: Json, role: PkiRole): { ttlMs: number; warnings: string[] } {
    const wishMs = new Fields(body).duration('ttl') || role.ttlMs || this.#mount.defaultTtlMs();
    const maxMs = role.maxTtlMs || this.#mount.maxTtlMs();
    if (wishMs <= maxMs) return { ttlMs: wishMs, warnings: [] };
    const [wish, max] = [goDuration(wishMs), goDuration(maxMs)];
    const warning = `TTL "${wish}" is longer than permitted maxTTL "${max}", so maxTTL is being used`;
    return { ttlMs: maxMs, warnings: [warning] };
  }

  #record(certificate: X509Certificate): string {
    const pairs = certificate.serialNumber.toLowerCase().match(/../g) ?? [];
    const serial = pairs.join(':');
    this.#serials.push(serial);
    return serial;
  }
}

/** A duration in Go's format: `72h0m0s`. */
function goDuration(ms: number): string {
  const total = seconds(ms);
  return `${Math.floor(total / 3600)}h${Math.floor((total % 3600) / 60)}m${total % 60}s`;
}
