/**
 * Writes PKCS#12 files, the key stores of Java: a private key with its certificates, or certificates that are trusted.
 *
 * Keys and certificates are encrypted with AES-256-CBC under a key by PBKDF2 with HMAC-SHA256, and the integrity is protected by HMAC-SHA256. Java
 * reads that from 8u301 and 11.0.12 on, and OpenSSL from 1.1 on.
 *
 * The same input gives the same bytes: salts and initialization vectors are derived from the content, which repeats only with the
 * same content. In a file with a private key they are derived with that key, so that nobody can compute them in advance.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7292
 */
import {
  createCipheriv,
  createHmac,
  createPrivateKey,
  hash,
  pbkdf2Sync,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import * as der from './der.ts';

/** As OpenSSL and cert-manager. */
const ITERATIONS = 2048;
/** Most certificates of a file. */
export const MAX_CERTIFICATES = 500;

const OID = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  keyBag: '1.2.840.113549.1.12.10.1.2',
  certificateBag: '1.2.840.113549.1.12.10.1.3',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacWithSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  sha256: '2.16.840.1.101.3.4.2.1',
  /** Java takes a certificate for trusted only with this attribute. */
  trustedKeyUsage: '2.16.840.1.113894.746875.1.1',
  anyKeyUsage: '2.5.29.37.0',
} as const;

/** An input that cannot be written. The message holds no part of it. */
export class Pkcs12Error extends Error {
  override readonly name = 'Pkcs12Error';
}

/** How a file is protected and its entries are named. */
export interface StoreOptions {
  /** Not empty. */
  readonly password: string;
  /** Name of the entry; of trusted certificates after the first, with its number: `ca`, `ca-2`. */
  readonly alias: string;
}

/**
 * A file with a private key and its certificates, all in PEM, the certificate of the key first. Further ones complete its chain; repeated ones
 * are written once.
 *
 * @throws Pkcs12Error for anything else, for a key of another certificate, and for an empty password.
 */
export function keyStore(
  keyPem: string,
  certificatesPem: readonly string[],
  { password, alias }: StoreOptions,
): Buffer {
  const key = readKey(keyPem);
  const [own, ...issuers] = readCertificates(certificatesPem);
  if (own?.checkPrivateKey(key) !== true) {
    throw new Pkcs12Error('the private key is not that of the first certificate');
  }
  const keyDer = key.export({ format: 'der', type: 'pkcs8' });
  const id = [attribute(OID.localKeyId, der.octetString(hash('sha1', own.raw, 'buffer')))];
  const named = [...id, attribute(OID.friendlyName, der.bmpString(alias))];
  const certificates = der.sequence(
    certificateBag(own, named),
    ...issuers.map((issuer) => certificateBag(issuer, [])),
  );
  const seal = new Seal(password, [keyDer, certificates, Buffer.from(alias)]);
  const { algorithm, encrypted } = seal.encrypt('key', keyDer);
  const shrouded = der.sequence(algorithm, der.octetString(encrypted));
  const keys = der.sequence(bag(OID.keyBag, shrouded, named));
  return store([encryptedContent(seal, certificates), dataContent(keys)], seal);
}

/**
 * A file with trusted certificates in PEM.
 *
 * @throws Pkcs12Error for anything else, and for an empty password.
 */
export function trustStore(
  certificatesPem: readonly string[],
  { password, alias }: StoreOptions,
): Buffer {
  const trusted = attribute(OID.trustedKeyUsage, der.objectIdentifier(OID.anyKeyUsage));
  const bags = readCertificates(certificatesPem).map((certificate, index) => {
    const name = index === 0 ? alias : `${alias}-${index + 1}`;
    const named = attribute(OID.friendlyName, der.bmpString(name));
    return certificateBag(certificate, [named, trusted]);
  });
  const certificates = der.sequence(...bags);
  const seal = new Seal(password, [certificates]);
  return store([encryptedContent(seal, certificates)], seal);
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Pkcs12Error('the private key is not a PEM text of a key without a password');
  }
}

function readCertificates(texts: readonly string[]): readonly X509Certificate[] {
  const blocks = texts.flatMap((text) => text.match(CERTIFICATE) ?? []);
  if (blocks.length === 0) throw new Pkcs12Error('there is no certificate in PEM');
  if (blocks.length > MAX_CERTIFICATES) {
    throw new Pkcs12Error(`there are more than ${MAX_CERTIFICATES} certificates`);
  }
  const found = new Map<string, X509Certificate>();
  for (const block of blocks) {
    const certificate = readCertificate(block);
    const { fingerprint256 } = certificate;
    if (!found.has(fingerprint256)) found.set(fingerprint256, certificate);
  }
  return [...found.values()];
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new Pkcs12Error('a certificate cannot be read');
  }
}

/** Encrypts and signs the parts of one file. */
class Seal {
  readonly #password: string;
  readonly #secret: Uint8Array;

  /** `content` is all of what the file holds, and the first part of it what nobody else knows, if there is such a thing. */
  constructor(password: string, content: readonly [Uint8Array, ...Uint8Array[]]) {
    if (password === '' || password.includes('\0')) {
      throw new Pkcs12Error('the password must not be empty, and must not contain NUL');
    }
    this.#password = password;
    const [secret, ...rest] = content;
    this.#secret = createHmac('sha256', secret)
      .update(rest.length === 0 ? secret : lengthAndBytes(rest))
      .digest();
  }

  /** PBES2. @see https://www.rfc-editor.org/rfc/rfc8018#section-6.2 */
  encrypt(
    part: string,
    plain: Uint8Array,
  ): { readonly algorithm: Buffer; readonly encrypted: Buffer } {
    const salt = this.#derived(`salt of ${part}`);
    const iv = this.#derived(`vector of ${part}`);
    const key = pbkdf2Sync(this.#password, salt, ITERATIONS, 32, 'sha256');
    const cipher = createCipheriv('aes-256-cbc', key, iv);
    const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
    const prf = der.sequence(der.objectIdentifier(OID.hmacWithSha256), der.nothing());
    const derivation = der.sequence(der.octetString(salt), der.integer(ITERATIONS), prf);
    const algorithm = der.sequence(
      der.objectIdentifier(OID.pbes2),
      der.sequence(
        der.sequence(der.objectIdentifier(OID.pbkdf2), derivation),
        der.sequence(der.objectIdentifier(OID.aes256Cbc), der.octetString(iv)),
      ),
    );
    return { algorithm, encrypted };
  }

  /** MacData of the content. */
  sign(content: Uint8Array): Buffer {
    const salt = this.#derived('salt of the code');
    const code = createHmac('sha256', macKey(this.#password, salt)).update(content).digest();
    const algorithm = der.sequence(der.objectIdentifier(OID.sha256), der.nothing());
    const digest = der.sequence(algorithm, der.octetString(code));
    return der.sequence(digest, der.octetString(salt), der.integer(ITERATIONS));
  }

  /** 16 octets. */
  #derived(label: string): Buffer {
    return createHmac('sha256', this.#secret).update(label).digest().subarray(0, 16);
  }
}

/** The parts one after the other, so that no other parts give the same bytes. */
function lengthAndBytes(parts: readonly Uint8Array[]): Buffer {
  return der.sequence(...parts.map((part) => der.octetString(part)));
}

/** Octets that SHA-256 takes at a time. */
const BLOCK_OCTETS = 64;
/** Selects the key of a MAC. */
const MAC_KEY = 3;

/** @see https://www.rfc-editor.org/rfc/rfc7292#appendix-B.2 */
function macKey(password: string, salt: Uint8Array): Buffer {
  const diversifier = Buffer.alloc(BLOCK_OCTETS, MAC_KEY);
  let key = Buffer.concat([diversifier, filled(salt), filled(der.utf16(`${password}\0`))]);
  for (let round = 0; round < ITERATIONS; round += 1) key = hash('sha256', key, 'buffer');
  return key;
}

/** Repeated to whole blocks. */
function filled(bytes: Uint8Array): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / BLOCK_OCTETS) * BLOCK_OCTETS, bytes);
}

function store(contents: readonly Buffer[], seal: Seal): Buffer {
  const safe = der.sequence(...contents);
  return der.sequence(der.integer(3), dataContent(safe), seal.sign(safe));
}

function dataContent(content: Uint8Array): Buffer {
  return der.sequence(der.objectIdentifier(OID.data), der.explicit0(der.octetString(content)));
}

/** @see https://www.rfc-editor.org/rfc/rfc2315#section-13 */
function encryptedContent(seal: Seal, content: Uint8Array): Buffer {
  const { algorithm, encrypted } = seal.encrypt('certificates', content);
  const info = der.sequence(
    der.objectIdentifier(OID.data),
    algorithm,
    der.implicitOctets0(encrypted),
  );
  const body = der.explicit0(der.sequence(der.integer(0), info));
  return der.sequence(der.objectIdentifier(OID.encryptedData), body);
}

function certificateBag({ raw }: X509Certificate, attributes: readonly Buffer[]): Buffer {
  const value = der.explicit0(der.octetString(raw));
  const content = der.sequence(der.objectIdentifier(OID.x509Certificate), value);
  return bag(OID.certificateBag, content, attributes);
}

function bag(type: string, content: Uint8Array, attributes: readonly Buffer[]): Buffer {
  return der.sequence(
    der.objectIdentifier(type),
    der.explicit0(content),
    ...(attributes.length === 0 ? [] : [der.setOf(...attributes)]),
  );
}

function attribute(type: string, value: Uint8Array): Buffer {
  return der.sequence(der.objectIdentifier(type), der.setOf(value));
}
