/**
 * A small certificate authority (ECDSA P-256) for the development servers and the tests.
 * Not for any other use: keys are in memory, and nothing is revoked.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280 section 4
 */
import { generateKeyPairSync } from 'node:crypto';
import {
  certificatePem,
  signAuthority,
  signLeaf,
  type AlternativeNames,
} from '../../x509/index.ts';

/** Content of a certificate. */
export interface CertificateRequest extends AlternativeNames {
  /** Common name. Default: the subject that SPIRE sets, `C=US, O=SPIRE`. */
  readonly commonName?: string;
  /** Start of validity, milliseconds since the epoch. */
  readonly nowMs: number;
  readonly ttlMs: number;
  /** Deliberate defects, for tests of the validation of certificates. */
  readonly defects?: CertificateDefects;
}

/** How a leaf violates the X.509-SVID specification. */
interface CertificateDefects {
  readonly isCa?: boolean;
  /** Replaces the bits of the key usage (first octet: 0x80 digitalSignature, 0x04 keyCertSign). */
  readonly keyUsage?: number;
  readonly keyUsageNotCritical?: boolean;
  readonly noServerAuth?: boolean;
}

/** A certificate with its key. */
export interface IssuedCertificate {
  readonly der: Buffer;
  /** PKCS#8. */
  readonly keyDer: Buffer;
  readonly certPem: string;
  readonly keyPem: string;
}

/** An authority with a self-signed certificate. */
export interface Authority {
  readonly caDer: Buffer;
  readonly caPem: string;
  /** Issues a certificate for servers and clients with a new key. */
  issue(request: CertificateRequest): IssuedCertificate;
}

export interface AuthorityOptions {
  /** Common name. Default: the subject that SPIRE sets, `C=US, O=SPIFFE`. */
  readonly commonName?: string;
  /** SPIFFE ID of a trust domain, which SPIRE puts into its authorities. */
  readonly uri?: string;
  readonly nowMs: number;
  readonly ttlMs: number;
}

/** Creates an authority with a new key. */
export function createAuthority({ commonName, uri, nowMs, ttlMs }: AuthorityOptions): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = { commonName, organization: 'SPIFFE' };
  const names = uri === undefined ? {} : { uris: [uri] };
  const caDer = signAuthority({ subject, names, nowMs, ttlMs }, keys);
  return {
    caDer,
    caPem: certificatePem(caDer),
    issue({ commonName: name, defects = {}, ...request }) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const bits = defects.keyUsage === undefined ? {} : { bits: defects.keyUsage };
      const der = signLeaf(
        {
          subject: { commonName: name, organization: 'SPIRE' },
          names: request,
          publicKey,
          nowMs: request.nowMs,
          ttlMs: request.ttlMs,
          isCa: defects.isCa === true,
          purposes: { client: true, server: defects.noServerAuth !== true },
          usage: { ...bits, isCritical: defects.keyUsageNotCritical !== true },
        },
        { subject, ...keys },
      );
      return {
        der,
        keyDer: privateKey.export({ format: 'der', type: 'pkcs8' }),
        certPem: certificatePem(der),
        keyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }),
      };
    },
  };
}
