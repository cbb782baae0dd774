/**
 * Durations such as `90s`, `5m`, `1h30m`, `250ms`.
 */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Longest accepted duration: 365 days. Longer ones are likely typing errors. */
export const MAX_DURATION_MS = 365 * 86_400_000;

/**
 * Whole milliseconds of a duration such as `1h30m` or `1.5s`; a bare number is seconds, as in Vault.
 * Returns undefined for other text, negative durations and more than {@link MAX_DURATION_MS}.
 */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^\d{1,9}$/.test(trimmed)) return bounded(Number(trimmed) * 1000);
  if (!/^(\d{1,9}(\.\d{1,3})?(ms|s|m|h|d))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  }
  return bounded(Math.round(total));
}

/** The duration in the largest units (`1m30s`); {@link parseDuration} returns the same milliseconds. */
export function formatDuration(ms: number): string {
  let rest = Math.max(0, Math.round(ms));
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const size = UNIT_MS[unit] ?? 1;
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === '' ? '0s' : text;
}

function bounded(ms: number): number | undefined {
  return Number.isFinite(ms) && ms <= MAX_DURATION_MS ? ms : undefined;
}
