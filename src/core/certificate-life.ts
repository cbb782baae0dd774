/**
 * The validity period of a certificate.
 */

/** Not before and not after, in milliseconds since the epoch. */
export interface CertificateLife {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Never valid: times that cannot be read must not pass as valid. */
const NEVER: CertificateLife = { fromMs: Infinity, toMs: -Infinity };

/**
 * Parses the times of a Node `X509Certificate` from their texts. Its `validFromDate` and `validToDate` return
 * uninitialized memory for an invalid time, so they are unsafe for certificates from outside.
 *
 * @returns an empty period, with `fromMs` infinite, if either time cannot be read
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5
 */
export function certificateLife(texts: {
  readonly validFrom: string;
  readonly validTo: string;
}): CertificateLife {
  const life = { fromMs: Date.parse(texts.validFrom), toMs: Date.parse(texts.validTo) };
  return Number.isNaN(life.fromMs) || Number.isNaN(life.toMs) ? NEVER : life;
}
