/**
 * The serving certificate from files, kept up to date. How files are read and watched comes in.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import {
  certificateLife,
  NO_LOGGER,
  Secret,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Logger,
} from '../core/index.ts';
import { Latest, runAll } from '../async/index.ts';

/** A certificate that can serve. */
export interface ServingCertificate {
  /** Leaf and intermediates, PEM. */
  readonly certificatePem: string;
  readonly keyPem: Secret<string>;
  /** What the API server trusts, PEM; empty where it trusts nothing, undefined where that is not known. */
  readonly caPem: string | undefined;
  /** The DNS name that the API server asks for, or else one that the certificate is good for. */
  readonly serverName: string | undefined;
  /** Why the API server cannot call, where that is known without a handshake. */
  readonly problem?: string | undefined;
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
}

/** Where serving certificates come from. What cannot serve never comes out. */
export interface Certificates {
  /** The newest certificate; undefined before the first one. */
  readonly current: ServingCertificate | undefined;
  /** The newest certificate, waiting for the first one. */
  first(signal: AbortSignal): Promise<ServingCertificate>;
  /** The newest certificate, then each newer one. */
  updates(signal: AbortSignal): AsyncIterable<ServingCertificate>;
  /** Keeps it up to date until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** What a {@link FileCertificates} needs. */
export interface FileCertificatesOptions {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Bundle that the API server trusts (`caBundle`); without it readiness checks the dates alone. */
  readonly caFile: string | undefined;
  /** The DNS name that the API server asks for; a name of the certificate where it is not given. */
  readonly serverName?: string | undefined;
  /** Reads a file of at most `maxBytes`. */
  readonly read: (path: string, maxBytes: number) => Promise<string>;
  /** Yields at the start and whenever one of the files may have changed. */
  readonly watch: (paths: readonly string[], signal: AbortSignal) => AsyncIterable<void>;
  readonly clock: Clock;
  readonly logger?: Logger;
}

const MAX_FILE_BYTES = 1024 * 1024;

/** Watches can fail silently (inotify limits, network file systems): the files are also read this often. */
const REREAD_INTERVAL_MS = 60_000;

/** Keeps the newest certificate that can serve; files that cannot are reported once and change nothing. */
export class FileCertificates implements Certificates {
  readonly #options: FileCertificatesOptions;
  readonly #logger: Logger;
  readonly #latest = new Latest<ServingCertificate>();
  #reported = '';

  constructor(options: FileCertificatesOptions) {
    this.#options = options;
    this.#logger = options.logger ?? NO_LOGGER;
  }

  get current(): ServingCertificate | undefined {
    return this.#latest.current;
  }

  first(signal: AbortSignal): Promise<ServingCertificate> {
    return this.#latest.wait(signal);
  }

  updates(signal: AbortSignal): AsyncIterable<ServingCertificate> {
    return this.#latest.updates(signal);
  }

  /** Follows the files until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { certificateFile, keyFile, caFile, watch, clock } = this.#options;
    const files = [certificateFile, keyFile, ...(caFile === undefined ? [] : [caFile])];
    await runAll(signal, [
      async (inner) => {
        for await (const _ of watch(files, inner)) await this.#reload();
      },
      async (inner) => {
        for (;;) {
          await clock.sleep(REREAD_INTERVAL_MS, inner);
          await this.#reload();
        }
      },
    ]);
  }

  /** Reads the files; says what is wrong with them once, not at every look. */
  async #reload(): Promise<void> {
    let state: string;
    try {
      const certificate = await this.#load();
      state = certificate.certificatePem + (certificate.caPem ?? '');
      if (state === this.#reported) return;
      this.#latest.set(certificate);
      const expires = new Date(certificate.expiresAtMs).toISOString();
      this.#logger.info('serving certificate loaded', { expires_at: expires });
    } catch (caught) {
      const error = toVouchsafeError(caught);
      state = error.message;
      if (state === this.#reported) return;
      const kept = this.current === undefined ? 'none yet' : 'the old one is kept';
      this.#logger.error('serving certificate cannot be used', { error, certificate: kept });
    }
    this.#reported = state;
  }

  async #load(): Promise<ServingCertificate> {
    const { certificateFile, keyFile, caFile } = this.#options;
    // One after the other, so that of several missing files it is always the same one that is reported.
    const certificatePem = await this.#read(certificateFile);
    const keyPem = await this.#read(keyFile);
    const caPem = caFile === undefined ? undefined : await this.#read(caFile);
    const { serverName } = this.#options;
    return parseServingCertificate(certificatePem, new Secret(keyPem), caPem, serverName);
  }

  async #read(path: string): Promise<string> {
    try {
      return await this.#options.read(path, MAX_FILE_BYTES);
    } catch (cause) {
      throw new VouchsafeError('ERR_SERVER_CERTIFICATE', `cannot read ${path}`, { cause });
    }
  }
}

/**
 * Checks that a certificate and its key belong together and can serve.
 *
 * @throws VouchsafeError `ERR_SERVER_CERTIFICATE`
 */
export function parseServingCertificate(
  certificatePem: string,
  keyPem: Secret<string>,
  caPem: string | undefined,
  serverName?: string,
): ServingCertificate {
  try {
    const leaf = new X509Certificate(certificatePem);
    if (!leaf.checkPrivateKey(createPrivateKey(keyPem.reveal()))) {
      throw new VouchsafeError('ERR_SERVER_CERTIFICATE', 'the key is not that of the certificate');
    }
    createSecureContext({ cert: certificatePem, key: keyPem.reveal() });
    if (caPem !== undefined) new X509Certificate(caPem);
    const { fromMs, toMs } = certificateLife(leaf);
    return {
      certificatePem,
      keyPem,
      caPem,
      serverName: serverName ?? firstName(leaf),
      notBeforeMs: fromMs,
      expiresAtMs: toMs,
    };
  } catch (caught) {
    if (caught instanceof VouchsafeError) throw caught;
    const message = 'certificate, key or CA is not PEM that TLS can use';
    throw new VouchsafeError('ERR_SERVER_CERTIFICATE', message, { cause: caught });
  }
}

function firstName({ subjectAltName }: X509Certificate): string | undefined {
  return /DNS:([^,\s]+)/.exec(subjectAltName ?? '')?.[1]?.replace(/^\*\./, 'any.');
}
