/**
 * The serving certificate from files, kept up to date. Reading and watching of files is passed in.
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

/** A certificate with its key, checked to be usable by TLS. */
export interface ServingCertificate {
  /** Leaf and intermediates, PEM. */
  readonly certificatePem: string;
  readonly keyPem: Secret<string>;
  /** The CAs that the API server trusts, PEM; empty where it trusts none, undefined where that is not known. */
  readonly caPem: string | undefined;
  /** The DNS name that the API server requires, or else the first one of the certificate. */
  readonly serverName: string | undefined;
  /** Why the API server cannot call the webhook, where that is known without a handshake. */
  readonly problem?: string | undefined;
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
}

/** A source of serving certificates. All that it returns are usable. */
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

export interface FileCertificatesOptions {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Bundle that the API server trusts (`caBundle`). Without it readiness checks only the dates. */
  readonly caFile: string | undefined;
  /** The DNS name that the API server requires. Default: the first name of the certificate. */
  readonly serverName?: string | undefined;
  /** Reads a file of at most `maxBytes`. */
  readonly read: (path: string, maxBytes: number) => Promise<string>;
  /** Yields at the start and whenever one of the files may have changed. */
  readonly watch: (paths: readonly string[], signal: AbortSignal) => AsyncIterable<void>;
  readonly clock: Clock;
  readonly logger?: Logger;
}

const MAX_FILE_BYTES = 1024 * 1024;

/** Watches can fail silently (inotify limits, network file systems), so files are also read at this interval. */
const REREAD_INTERVAL_MS = 60_000;

/** Keeps the newest valid certificate. Invalid files are reported once, and the certificate stays. */
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

  /** Reads the files; reports a problem once, not at every read. */
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
      const kept = this.current === undefined ? 'none yet' : 'the last valid one is served';
      this.#logger.error('serving certificate is invalid', { error, certificate: kept });
    }
    this.#reported = state;
  }

  async #load(): Promise<ServingCertificate> {
    const { certificateFile, keyFile, caFile } = this.#options;
    // Sequential, so that of several missing files always the same one is reported.
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
 * Checks that a certificate matches its key and can be used by a TLS server.
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
      throw new VouchsafeError(
        'ERR_SERVER_CERTIFICATE',
        'the private key does not match the certificate',
      );
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
    const message = 'certificate, key or CA is not valid PEM';
    throw new VouchsafeError('ERR_SERVER_CERTIFICATE', message, { cause: caught });
  }
}

function firstName({ subjectAltName }: X509Certificate): string | undefined {
  return /DNS:([^,\s]+)/.exec(subjectAltName ?? '')?.[1]?.replace(/^\*\./, 'any.');
}
