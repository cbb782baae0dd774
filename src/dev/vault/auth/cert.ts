/**
 * The login method by TLS client certificate. Renewal of its tokens is bound to the certificate.
 * @see https://developer.hashicorp.com/vault/api-docs/auth/cert
 */
import { createHash, X509Certificate } from 'node:crypto';
import { certificateLife, type Clock } from '../../../core/index.ts';
import { Fields, formatInstant } from '../core/fields.ts';
import {
  listedRefusal,
  Refusal,
  type Answer,
  type Json,
  type VaultRequest,
} from '../core/messages.ts';
import type { Backend, MountSettings } from '../core/mounts.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { matchesGlob } from './claims.ts';
import { entityIdOf, mountName } from './entity.ts';
import { RoleStore } from '../core/roles.ts';
import {
  checkAddress,
  loginGrant,
  readTokenParameters,
  type TokenParameters,
} from './token-parameters.ts';

interface CertRole {
  readonly authorities: readonly X509Certificate[];
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  readonly commonNames: readonly string[];
  readonly certificatePem: string;
  readonly displayName: string;
  readonly token: TokenParameters;
}

/** A role that matches a certificate, with the facts that a renewal compares. */
interface Match {
  readonly name: string;
  readonly role: CertRole;
  readonly subjectKey: string;
  readonly authorityKey: string;
}

const NO_MATCH = 'failed to match all constraints for this login certificate';

/** Creates a login method by certificate. */
export function createCertBackend(clock: Clock, mount: MountSettings): Backend {
  const roles = new RoleStore<CertRole>({ base: 'certs', parse: parseRole, show: showRole });
  const routes = new Routes()
    .on('read', 'config', () => ({ data: { disable_binding: false } }))
    .on(WRITE, 'login', (request) => login(request));
  roles.addRoutes(routes);

  function match(request: VaultRequest, names: readonly string[]): Match {
    const certificate = presented(request);
    for (const name of names) {
      const role = roles.get(name);
      const authority = role?.authorities.find((ca) => isSignedBy(certificate, ca));
      if (role === undefined || authority === undefined) continue;
      checkValidity(certificate, clock.now());
      if (!fitsNames(certificate, role)) continue;
      const [subjectKey, authorityKey] = [keyId(certificate), keyId(authority)];
      return { name, role, subjectKey, authorityKey };
    }
    throw new Refusal(400, NO_MATCH);
  }

  function login(request: VaultRequest): Answer {
    const asked = new Fields(request.body).text('name').toLowerCase();
    const found = match(request, asked === '' ? roles.names() : [asked]);
    checkAddress(found.role.token, request.peer.address);
    const certificate = presented(request);
    const commonName = commonNameOf(certificate);
    if (commonName === '') throw new Refusal(500, 'missing name in alias');
    return {
      token: loginGrant(found.role.token, {
        displayName: `${mountName(mount.path)}-${found.role.displayName || found.name}`,
        metadata: {
          cert_name: found.name,
          common_name: commonName,
          serial_number: BigInt(`0x${certificate.serialNumber}`).toString(),
        },
        entityId: entityIdOf(mount.path, commonName),
        current: (renewal) => {
          const now = match(renewal, [found.name]);
          if (now.subjectKey === found.subjectKey || now.authorityKey === found.authorityKey) {
            return now.role.token;
          }
          throw listedRefusal(
            500,
            'failed to renew entry: client identity during renewal not matching client identity used during login',
          );
        },
      }),
    };
  }

  return {
    open: ['login'],
    exists: (path) => !path.startsWith('certs/') || roles.has(path.slice('certs/'.length)),
    handle: (request) => routes.handle(request),
  };
}

function presented({ peer }: VaultRequest): X509Certificate {
  if (!peer.tls) throw new Refusal(400, 'tls connection required');
  if (peer.certificate !== undefined) return peer.certificate;
  throw new Refusal(400, 'client certificate must be supplied');
}

/** By the authority itself or by an intermediate certificate that the client sent along. */
function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  if (certificate.fingerprint256 === authority.fingerprint256) return true;
  const isDirect = certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  if (isDirect) return true;
  const issuer = certificate.issuerCertificate;
  if (issuer === undefined || issuer.fingerprint256 === certificate.fingerprint256) return false;
  return issuer.ca && certificate.verify(issuer.publicKey) && isSignedBy(issuer, authority);
}

function checkValidity(certificate: X509Certificate, nowMs: number): void {
  const { fromMs: begins, toMs: ends } = certificateLife(certificate);
  if (nowMs >= begins && nowMs <= ends) return;
  const relation =
    nowMs < begins ? `before ${formatInstant(begins)}` : `after ${formatInstant(ends)}`;
  throw new Refusal(
    500,
    "failed to verify client's certificate: x509: certificate has expired or is not yet valid: " +
      `current time ${formatInstant(nowMs)} is ${relation}`,
  );
}

function fitsNames(certificate: X509Certificate, role: CertRole): boolean {
  return (
    anyFits(role.uriSans, altNames(certificate, 'URI')) &&
    anyFits(role.dnsSans, altNames(certificate, 'DNS')) &&
    anyFits(role.commonNames, [commonNameOf(certificate)])
  );
}

function anyFits(patterns: readonly string[], names: readonly string[]): boolean {
  if (patterns.length === 0) return true;
  return names.some((name) => patterns.some((pattern) => matchesGlob(pattern, name)));
}

function altNames(certificate: X509Certificate, kind: 'URI' | 'DNS'): string[] {
  const names = (certificate.subjectAltName ?? '').split(', ');
  return names.filter((name) => name.startsWith(`${kind}:`)).map((name) => name.slice(4));
}

function commonNameOf(certificate: X509Certificate): string {
  return /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? '';
}

function keyId(certificate: X509Certificate): string {
  const key = certificate.publicKey.export({ format: 'der', type: 'spki' });
  return createHash('sha256').update(key).digest('hex');
}

function parseRole(body: Json): CertRole {
  const fields = new Fields(body);
  const certificatePem = fields.text('certificate');
  return {
    authorities: readCertificates(certificatePem),
    uriSans: fields.list('allowed_uri_sans'),
    dnsSans: fields.list('allowed_dns_sans'),
    commonNames: fields.list('allowed_common_names'),
    certificatePem,
    displayName: fields.text('display_name'),
    token: readTokenParameters(body),
  };
}

function readCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  try {
    const certificates = blocks.map((block) => new X509Certificate(block));
    if (certificates.length > 0) return certificates;
  } catch {
    // Rejected below like a text without a certificate.
  }
  throw new Refusal(400, 'failed to parse certificate');
}

function showRole(role: CertRole): Json {
  const orNull = (list: readonly string[]): Json[string] => (list.length === 0 ? null : list);
  return {
    allowed_common_names: orNull(role.commonNames),
    allowed_dns_sans: orNull(role.dnsSans),
    allowed_uri_sans: orNull(role.uriSans),
    certificate: role.certificatePem,
    display_name: role.displayName,
    ...role.token.shown,
  };
}
