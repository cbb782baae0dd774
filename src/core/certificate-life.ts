/**
 * Begin and end of a certificate.
 */

/** A certificate's two times, epoch. */
export interface CertificateLife {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Valid at no time: what nobody can read must not pass for valid. */
const NEVER: CertificateLife = { fromMs: Infinity, toMs: -Infinity };

/**
 * Reads the times of a Node `X509Certificate` from their texts. Its `validFromDate` and `validToDate` are no help
 * with a certificate that comes from outside: for a time that is not one they give whatever lies in memory.
 *
 * @returns a life that has no moment, `fromMs` infinite, when either time cannot be read
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5
 */
export function certificateLife(texts: {
  readonly validFrom: string;
  readonly validTo: string;
}): CertificateLife {
  const life = { fromMs: Date.parse(texts.validFrom), toMs: Date.parse(texts.validTo) };
  return Number.isNaN(life.fromMs) || Number.isNaN(life.toMs) ? NEVER : life;
}
