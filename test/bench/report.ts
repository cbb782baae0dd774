/** The report: a table for people, JSON for machines. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { isMet, type Measurement, type Summary, type Target } from './statistics.ts';

/** What all figures depend on. */
export interface Host {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  /** Load average of the last minute when the bench began: figures of a busy machine are worth little. */
  readonly loadBefore: number;
}

/** What all figures depend on, those beside `vault agent` as well. */
export interface Machine extends Host {
  /** Its version, where it was measured. */
  readonly vault?: string;
}

export function host(): Host {
  const all = cpus();
  return {
    cores: all.length,
    processor: all[0]?.model ?? '',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0] ?? 0,
  };
}

export function machine(vaultBinary: string): Machine {
  const vault = execFileSync(vaultBinary, ['version'], { encoding: 'utf8' }).trim();
  return { ...host(), vault };
}

export function asJson(facts: Machine, measurements: readonly Measurement[]): string {
  const rows = measurements.map((one) => ({
    ...one,
    ...(one.theirs && { ratio: one.ours.median / one.theirs.median }),
    met: isMet(one),
  }));
  return JSON.stringify({ machine: facts, measurements: rows }, undefined, 2);
}

export function asTable(facts: Machine, measurements: readonly Measurement[]): string {
  const lines = [
    [hostLine(facts), facts.vault ?? []].flat().join(', '),
    '',
    '| | Vouchsafe | `vault agent` | ratio | target | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...measurements.map(line),
  ];
  return `${lines.join('\n')}\n`;
}

/** The machine in a line. */
export function hostLine({ cores, processor, kernel, node, loadBefore }: Host): string {
  const load = loadBefore.toFixed(1);
  return `${cores} cores (${processor}), Linux ${kernel}, load ${load}; Node ${node}`;
}

function line(one: Measurement): string {
  const { name, unit, ours, theirs, target } = one;
  const spelt = ({ median, least, values }: Summary): string =>
    values.length > 1 ? `${digits(median)} (least ${digits(least)})` : digits(median);
  const met = { true: 'met', false: 'missed', undefined: '' }[String(isMet(one))] ?? '';
  const label = unit === '' ? name : `${name}, ${unit}`;
  const beside =
    theirs === undefined ? ['', ''] : [spelt(theirs), (ours.median / theirs.median).toFixed(2)];
  return `| ${[label, spelt(ours), ...beside, spellTarget(target), met].join(' | ')} |`;
}

function spellTarget(target: Target | undefined): string {
  if (target === undefined) return '';
  if ('exactly' in target) return digits(target.exactly);
  return 'most' in target ? `<= ${digits(target.most)}` : `<= ratio ${target.ratio}`;
}

function digits(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return value < 10 ? value.toFixed(2) : value.toFixed(value < 100 ? 1 : 0);
}
