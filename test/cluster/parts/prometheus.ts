/** A Prometheus of Debian's package on loopback of the cluster's network, and promtool of the same version. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { ready, start } from './processes.ts';
import { directory, place } from './workspace.ts';

/** What is scraped, with the labels that all its series get. */
export interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** Scraped as one. */
export interface Job {
  readonly name: string;
  readonly path: string;
  /** Whether labels of the process take precedence over those of the target. */
  readonly honorLabels: boolean;
  readonly groups: readonly TargetGroup[];
}

/** An element of the answer to a query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** A target as Prometheus has it. */
export interface Target {
  readonly labels: Readonly<Record<string, string>>;
  readonly scrapeUrl: string;
  readonly health: string;
  readonly lastError: string;
}

/** An alerting rule after its last evaluation. */
export interface Alert {
  readonly name: string;
  readonly query: string;
  /** `unknown` before the first evaluation. */
  readonly health: string;
  readonly lastError?: string;
  readonly state: 'inactive' | 'pending' | 'firing';
  readonly alerts: readonly { readonly labels: Readonly<Record<string, string>> }[];
}

/** A Prometheus that scrapes and evaluates each second. */
export interface Prometheus extends AsyncDisposable {
  /** Scrapes these targets from now on. The jobs are those of the start. */
  follow(jobs: readonly Job[]): void;
  /** @throws Error with what Prometheus says about the expression. */
  query(expression: string): Promise<readonly Sample[]>;
  targets(): Promise<readonly Target[]>;
  alerts(): Promise<readonly Alert[]>;
}

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data: unknown;
}

/** Writes the groups of rules as Prometheus reads them; gives the path. */
export function writeRules(groups: readonly object[]): string {
  const path = place('prometheus', 'rules.json');
  writeFileSync(path, JSON.stringify({ groups }));
  return path;
}

/** Starts it; resolves when it answers. */
export async function startPrometheus(rules: string, jobs: readonly Job[]): Promise<Prometheus> {
  const config = place('prometheus', 'prometheus.json');
  writeFileSync(config, JSON.stringify(configOf(rules, jobs)));
  follow(jobs);
  const running = start('prometheus', [
    ...['/usr/bin/prometheus', `--config.file=${config}`, '--web.listen-address=127.0.0.1:0'],
    `--storage.tsdb.path=${directory('prometheus', 'data')}`,
  ]);
  const listening = (): string | undefined =>
    /msg="?Listening on"? address=(127\.0\.0\.1:\d+)/.exec(readFileSync(running.log, 'utf8'))?.[1];
  await ready(running, () => listening() !== undefined);
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://${listening() ?? ''}/api/v1/${path}`);
    const { status, error, data } = (await response.json()) as Answer; // as it documents
    if (status !== 'success') throw new Error(`${path}: ${error ?? ''}`);
    return data;
  };
  return {
    follow,
    async query(expression) {
      const data = await ask(`query?query=${encodeURIComponent(expression)}`);
      return (data as { result: readonly Sample[] }).result;
    },
    async targets() {
      const data = await ask('targets?state=active');
      return (data as { activeTargets: readonly Target[] }).activeTargets;
    },
    async alerts() {
      const data = await ask('rules?type=alert');
      const { groups } = data as { groups: readonly { rules: readonly Alert[] }[] };
      return groups.flatMap((group) => group.rules);
    },
    [Symbol.asyncDispose]: () => running.stop(),
  };
}

function configOf(rules: string, jobs: readonly Job[]): object {
  return {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: jobs.map(({ name, path, honorLabels }) => ({
      job_name: name,
      metrics_path: path,
      honor_labels: honorLabels,
      file_sd_configs: [{ files: [targetsFile(name)], refresh_interval: '1s' }],
    })),
  };
}

function follow(jobs: readonly Job[]): void {
  for (const { name, groups } of jobs) writeFileSync(targetsFile(name), JSON.stringify(groups));
}

function targetsFile(job: string): string {
  return place('prometheus', `${job.replaceAll('/', '-')}.targets.json`);
}

/** Runs promtool; gives all that it prints. Its findings are an error. */
export async function promtool(args: readonly string[], input = ''): Promise<string> {
  const child = spawn('/usr/bin/promtool', args);
  child.stdin.end(input);
  const [out, problems, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  const printed = out + problems;
  if (code !== 0) throw new Error(`promtool ${args.join(' ')}: ${printed}`);
  return printed;
}
