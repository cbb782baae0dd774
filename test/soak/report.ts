/** What the soak prints. */
import type { Growth } from './watch.ts';
import type { Requests } from './settings.ts';

/** A fault that came and went. */
export interface Incident {
  /** Its kinds: one, or two at once. */
  readonly names: readonly string[];
  /** Milliseconds since the start. */
  readonly atMs: number;
  readonly lastedMs: number;
  /** From its end to the last check that still failed. */
  readonly recoveryMs: number;
  readonly boundMs: number;
  /** What failed last after its end; empty where nothing did. */
  readonly lastBad: string;
}

/** Everything that was counted. */
export interface Figures {
  readonly seed: number;
  readonly elapsedMs: number;
  readonly incidents: readonly Incident[];
  readonly asked: Requests;
  readonly most: Requests;
  readonly looks: { readonly all: number; readonly bad: number };
  readonly clientLogins: { readonly all: number; readonly bad: number };
  readonly notifications: number;
  readonly mostTokens: number;
  readonly mostLeases: number;
  readonly growth: Growth;
  readonly stalls: number;
}

/** `12.3 s` */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** The line of one fault. */
export function incidentLine(incident: Incident): string {
  const { names, atMs, lastedMs, recoveryMs, boundMs, lastBad } = incident;
  const lasted = lastedMs < 100 ? '' : ` for ${seconds(lastedMs)}`;
  const last = lastBad === '' ? '' : `, last ${lastBad}`;
  const times = `recovered after ${seconds(recoveryMs)} (bound ${seconds(boundMs)}${last})`;
  return `${seconds(atMs).padStart(8)}  ${names.join(' + ')}${lasted}: ${times}`;
}

/** The table at the end. */
export function summary(figures: Figures): string {
  const { asked, most, growth, looks, clientLogins } = figures;
  const of = (name: keyof Requests): string => `${asked[name]} (at most ${most[name]})`;
  const rows: readonly (readonly [string, string])[] = [
    ['seed', `${figures.seed}`],
    ['time', seconds(figures.elapsedMs)],
    ['faults', `${figures.incidents.flatMap(({ names }) => names).length}`],
    ['logins', of('logins')],
    ['credentials', of('credentials')],
    ['certificates', of('certificates')],
    ['reads', of('reads')],
    ['reader looks', `${looks.all}, ${looks.bad} of a mixed or broken set`],
    ['client logins', `${clientLogins.all}, ${clientLogins.bad} failed`],
    ['notifications', `${figures.notifications}`],
    ['most tokens, leases', `${figures.mostTokens}, ${figures.mostLeases}`],
    ['RSS, settled and most after a minute', `${growth.rssMiB.join(' and ')} MiB`],
    ['descriptors, likewise', growth.descriptors.join(' and ')],
    ['stalls of the machine', `${figures.stalls}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return [
    '',
    ...byKind(figures.incidents),
    '',
    ...rows.map(([name, value]) => `${name.padEnd(width)}${value}`),
  ].join('\n');
}

function byKind(incidents: readonly Incident[]): string[] {
  const single = incidents.flatMap(({ names, recoveryMs }) =>
    names.map((name) => ({ name, recoveryMs })),
  );
  const kinds = Map.groupBy(single, ({ name }) => name);
  const rows = [...kinds].map(([name, all]) => {
    const times = all.map(({ recoveryMs }) => recoveryMs).toSorted((a, b) => a - b);
    const median = times[Math.floor(times.length / 2)] ?? 0;
    return [name, `${all.length}`, seconds(median), seconds(times.at(-1) ?? 0)] as const;
  });
  const head = ['fault', 'times', 'recovery', 'longest'] as const;
  const width = Math.max(...rows.map(([name]) => name.length), head[0].length) + 2;
  return [head, ...rows.toSorted(([a], [b]) => (a < b ? -1 : 1))].map(
    ([name, count, median, longest]) =>
      `${name.padEnd(width)}${count.padStart(5)}${median.padStart(10)}${longest.padStart(10)}`,
  );
}
