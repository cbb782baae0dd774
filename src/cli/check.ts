/**
 * `vouchsafe check`: checks an installation from a person's machine.
 */
import { GROUPS, runChecks, type Finding, type ProbeOptions, type Status } from '../check/index.ts';
import { EXIT, VouchsafeError } from '../core/index.ts';
import { createKubernetesApi, kubeconfigAccess } from '../kubernetes/index.ts';
import { checkTemplate } from '../template/index.ts';
import type { Io } from './io.ts';

/** Options of `vouchsafe check`. */
export interface CheckCommandOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly installNamespace?: string;
  readonly release?: string;
  readonly probe?: string;
  readonly setting: Readonly<Record<string, string>>;
  readonly output: string;
}

const STATUS_LABELS: Readonly<Record<Status, string>> = {
  ok: 'ok',
  warning: 'WARNING',
  failure: 'FAILURE',
  unknown: 'unknown',
};
const WIDTH = Math.max(...Object.values(STATUS_LABELS).map(({ length }) => length));

/**
 * Prints one line for each check, and its remedy below it.
 *
 * @throws VouchsafeError `ERR_CHECK_FAILED` where a check failed; `ERR_KUBERNETES_API` without a kubeconfig.
 */
export async function check(
  io: Io,
  options: CheckCommandOptions,
  signal: AbortSignal,
): Promise<number> {
  const { kubeconfig, context, probe, setting, output } = options;
  const { namespace, installNamespace, release } = options;
  const access = await kubeconfigAccess({ file: kubeconfig, context });
  const isText = output === 'text';
  const findings: Finding[] = [];
  const running = runChecks(
    {
      api: createKubernetesApi(access, io.clock),
      clock: io.clock,
      checkTemplate,
      probe: probe === undefined ? undefined : probeOf(probe, setting),
      namespace,
      installNamespace,
      release,
    },
    signal,
  );
  for await (const finding of running) {
    if (isText) io.out(linesOf(finding, findings.at(-1)));
    findings.push(finding);
  }
  const count = (status: Status): number => findings.filter((one) => one.status === status).length;
  const [failures, warnings, unknown] = [count('failure'), count('warning'), count('unknown')];
  const summary = `${findings.length} checks: ${failures} failed, ${warnings} with a warning, ${unknown} could not run`;
  if (!isText) io.out(`${JSON.stringify({ ok: failures === 0, findings }, null, 2)}\n`);
  if (failures > 0) throw new VouchsafeError('ERR_CHECK_FAILED', summary);
  if (isText) io.out(`\n${summary}\n`);
  return EXIT.ok;
}

function linesOf({ group, status, message, remedy }: Finding, last: Finding | undefined): string {
  const gap = last === undefined ? '' : '\n';
  const heading = group === last?.group ? '' : `${gap}${GROUPS[group]}\n`;
  const hint = remedy === undefined ? '' : `${' '.repeat(WIDTH + 4)}-> ${remedy}\n`;
  return `${heading}  ${STATUS_LABELS[status].padEnd(WIDTH)}  ${message}\n${hint}`;
}

function probeOf(text: string, settings: Readonly<Record<string, string>>): ProbeOptions {
  const [namespace = '', serviceAccount] = text.split('/');
  return { namespace, serviceAccount, settings };
}
