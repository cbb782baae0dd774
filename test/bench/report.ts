/** The report: a table for people, JSON for machines. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { isMet, type Measurement } from './statistics.ts';

/** What the figures depend on. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly vault: string;
  /** Load average of the last minute when the bench began: figures of a busy machine are worth little. */
  readonly loadBefore: number;
}

export function machine(vaultBinary: string): Machine {
  const all = cpus();
  return {
    cores: all.length,
    processor: all[0]?.model ?? '',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    vault: execFileSync(vaultBinary, ['version'], { encoding: 'utf8' }).trim(),
    loadBefore: loadavg()[0] ?? 0,
  };
}

export function asJson(facts: Machine, measurements: readonly Measurement[]): string {
  const rows = measurements.map((one) => ({
    ...one,
    ratio: one.ours.median / one.theirs.median,
    met: isMet(one),
  }));
  return JSON.stringify({ machine: facts, measurements: rows }, undefined, 2);
}

export function asTable(facts: Machine, measurements: readonly Measurement[]): string {
  const { cores, processor, kernel, node, vault, loadBefore } = facts;
  const load = loadBefore.toFixed(1);
  const lines = [
    `${cores} cores (${processor}), Linux ${kernel}, load ${load}; Node ${node}, ${vault}`,
    '',
    '| | Vouchsafe | `vault agent` | ratio | target | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...measurements.map(line),
  ];
  return `${lines.join('\n')}\n`;
}

function line(one: Measurement): string {
  const { name, unit, ours, theirs, target } = one;
  const spelt = ({ median, least, values }: Measurement['ours']): string =>
    values.length > 1 ? `${digits(median)} (least ${digits(least)})` : digits(median);
  const most =
    target === undefined ? '' : 'most' in target ? digits(target.most) : `ratio ${target.ratio}`;
  const met = { true: 'met', false: 'missed', undefined: '' }[String(isMet(one))] ?? '';
  const label = unit === '' ? name : `${name}, ${unit}`;
  const ratio = (ours.median / theirs.median).toFixed(2);
  return `| ${[label, spelt(ours), spelt(theirs), ratio, most === '' ? '' : `<= ${most}`, met].join(' | ')} |`;
}

function digits(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return value < 10 ? value.toFixed(2) : value.toFixed(value < 100 ? 1 : 0);
}
