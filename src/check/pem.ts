/**
 * Checks how long the CAs of a PEM bundle are valid.
 */
import { X509Certificate } from 'node:crypto';
import { certificateLife, formatDuration, type CertificateLife } from '../core/index.ts';
import type { Result } from './finding.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** Warn when less than this part of the lifetime is left: renewal is overdue then. */
const LATE = 0.1;

/** Checks whether a bundle has a CA that is valid now, and for how long. */
export function checkBundle(pem: string, nowMs: number): Result {
  let lives: readonly CertificateLife[];
  try {
    lives = (pem.match(CERTIFICATE) ?? [])
      .map((one) => new X509Certificate(one))
      .map(certificateLife);
  } catch {
    return { status: 'failure', message: 'contains an invalid certificate' };
  }
  if (lives.length === 0) return { status: 'failure', message: 'contains no certificate' };
  const lasting = lives
    .filter(({ fromMs, toMs }) => fromMs <= nowMs && nowMs < toMs)
    .reduce((last, one) => (one.toMs > last.toMs ? one : last), { fromMs: 0, toMs: 0 });
  if (lasting.toMs === 0) {
    const isOver = lives.some(({ toMs }) => toMs <= nowMs);
    return { status: 'failure', message: isOver ? 'has expired' : 'is not valid yet' };
  }
  const restMs = lasting.toMs - nowMs;
  const isLate = restMs < LATE * (lasting.toMs - lasting.fromMs);
  return {
    status: isLate ? 'warning' : 'ok',
    message: `is valid for another ${formatRoughly(restMs)}`,
  };
}

/** `88d`, `7h`, `20m` */
function formatRoughly(ms: number): string {
  const unit = [86_400_000, 3_600_000, 60_000].find((one) => ms >= 2 * one) ?? 1000;
  return formatDuration(Math.floor(ms / unit) * unit);
}
