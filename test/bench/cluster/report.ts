/** The report of the cluster's bench: tables for people, JSON for machines. */
import { hostLine, type Host } from '../report.ts';
import type { Summary } from '../statistics.ts';
import type { Admissions } from './admission.ts';
import type { DriverCost } from './driver.ts';
import type { Memory } from './memory.ts';
import { PHASES, type Phase } from './phases.ts';
import type { Starts } from './starts.ts';

/** All that was measured. */
export interface ClusterFigures {
  readonly host: Host;
  /** Load average of the last minute at the end. */
  readonly loadAfter: number;
  /** The pod without the agent comes first. */
  readonly starts: readonly Starts[];
  readonly admissions: readonly Admissions[];
  readonly memory: readonly Memory[];
  readonly driver: readonly DriverCost[];
  /** Compressed, as the kubelet reports it. */
  readonly imageBytes: number;
  /** Where HashiCorp's injector was not on PATH. */
  readonly isIncumbentMissing: boolean;
}

export function asJson(figures: ClusterFigures): string {
  return JSON.stringify(figures, undefined, 2);
}

export function asTable(figures: ClusterFigures): string {
  const { host, loadAfter, admissions, memory, driver, imageBytes, isIncumbentMissing } = figures;
  const lines = [
    `${hostLine(host)}; load at the end ${loadAfter.toFixed(1)}`,
    '',
    ...startLines(figures.starts),
    '',
    'Medians of parts do not add up to the median of the whole exactly.',
    '',
    ...table(
      [
        'call of the webhook as the API server sees it, ms',
        'p50',
        'p99',
        'mean',
        'calls for a pod',
      ],
      admissions.map(({ parallel, p50, p99, mean, callsPerPod }) => [
        `${parallel} at a time`,
        ...[p50, p99, mean, callsPerPod].map((value) => value.toFixed(1)),
      ]),
    ),
    '',
    ...table(
      ["working set of the agent's container, MiB", 'median', 'most'],
      memory.map(({ pods, workingSet }) => [
        pods === 1 ? '1 pod' : `${pods} pods`,
        workingSet.median.toFixed(1),
        Math.max(...workingSet.values).toFixed(1),
      ]),
    ),
    '',
    ...table(
      ['CSI driver, volumes of three secrets', ...driver.map(({ volumes }) => String(volumes))],
      [
        ['anonymous memory, MiB', ...driver.map((one) => one.anonymousMiB.toFixed(1))],
        ['processor at rest, % of a core', ...driver.map((one) => (one.cpuShare * 100).toFixed(2))],
        ['a publish, p50, ms', ...driver.map(({ publishP50 }) => publishP50.toFixed(0))],
        ['a publish, p99, ms', ...driver.map(({ publishP99 }) => publishP99.toFixed(0))],
      ],
    ),
    '',
    `Image: ${(imageBytes / 1_000_000).toFixed(1)} MB compressed.`,
    ...(isIncumbentMissing
      ? ["HashiCorp's injector was not measured: no vault-k8s is on PATH."]
      : []),
  ];
  return lines.join('\n');
}

function startLines(starts: readonly Starts[]): readonly string[] {
  const plain = starts[0]?.total.median ?? NaN;
  const phases = Object.entries(PHASES) as [Phase, string][]; // its keys
  return table(
    ['from creation to the first line, ms', ...starts.map(({ name }) => name)],
    [
      ['median', ...starts.map(({ total }) => spelt(total))],
      ['least', ...starts.map(({ total }) => total.least.toFixed(0))],
      ['price of injection', ...starts.map(({ total }) => signed(total.median - plain))],
      ...phases.map(([phase, label]) => [
        label,
        ...starts.map((each) => spelt(each.phases[phase])),
      ]),
    ],
  );
}

function spelt(summary: Summary | undefined): string {
  return summary === undefined ? '' : summary.median.toFixed(0);
}

function signed(ms: number): string {
  return ms === 0 ? '' : `${ms > 0 ? '+' : ''}${ms.toFixed(0)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
