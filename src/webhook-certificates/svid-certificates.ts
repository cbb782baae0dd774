/**
 * The webhook's own X.509-SVID as its serving certificate.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
 */
import { NO_LOGGER, toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import { Latest, runAll } from '../async/index.ts';
import {
  parseServingCertificate,
  type Certificates,
  type ServingCertificate,
} from './file-certificates.ts';
import { x509Pem, type Identity, type X509Identity } from '../spiffe/index.ts';
import { readBundle } from './ca-bundle.ts';

export interface SvidCertificatesOptions {
  readonly identity: Pick<Identity, 'run' | 'x509Updates'>;
  /** The DNS name of the service, which the SVID must have. */
  readonly dnsName: string;
  readonly logger?: Logger;
}

/** Certificates from the Workload API; the CAs are those of its bundle. */
export class SvidCertificates implements Certificates {
  readonly #options: SvidCertificatesOptions;
  readonly #latest = new Latest<ServingCertificate>();

  constructor(options: SvidCertificatesOptions) {
    this.#options = options;
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

  async run(signal: AbortSignal): Promise<void> {
    const { identity, logger = NO_LOGGER } = this.#options;
    await runAll(signal, [
      (inner) => identity.run(inner),
      async (inner) => {
        for await (const update of identity.x509Updates(inner)) {
          try {
            this.#latest.set(this.#read(update));
          } catch (caught) {
            const error = toVouchsafeError(caught);
            const kept = this.current === undefined ? 'none yet' : 'the last valid one is served';
            logger.error('the X.509-SVID cannot be used as serving certificate', {
              error,
              certificate: kept,
            });
          }
        }
      },
    ]);
  }

  #read(update: X509Identity): ServingCertificate {
    const { dnsName } = this.#options;
    const { svid, key, bundle } = x509Pem(update);
    const [leaf] = readBundle(svid);
    if (leaf?.x509.checkHost(dnsName) === undefined) {
      const message = `the X.509-SVID of ${update.svid.spiffeId.uri} does not have the DNS name ${dnsName}, which the API server requires: add it to the registration entry (-dns ${dnsName})`;
      throw new VouchsafeError('ERR_SERVER_CERTIFICATE', message);
    }
    return parseServingCertificate(svid, key, bundle, dnsName);
  }
}
