/**
 * Takes a fleet of agents through a mass start, an outage of Vault, a KV change and a brown-out, in virtual time,
 * and tells what Vault saw. Exit code 1 where the promise of docs/operate/resilience.md is broken. Flags: `--agents N` (10000),
 * `--json`.
 */
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  MOST_TIMES_STEADY,
  POPULATIONS,
  runScenario,
  type FleetReport,
  type Peak,
  type PopulationName,
} from '../test/fleet/scenario.ts';

interface Job {
  readonly population: PopulationName;
  readonly agents: number;
}

/** A population on a thread of its own: two of them keep both cores busy. */
function inThread(job: Job): Promise<FleetReport> {
  const { promise, resolve, reject } = Promise.withResolvers<FleetReport>();
  const limits = { maxOldGenerationSizeMb: 2600, maxYoungGenerationSizeMb: 256 };
  const worker = new Worker(new URL(import.meta.url), { workerData: job, resourceLimits: limits });
  worker.once('message', resolve);
  worker.once('error', reject);
  return promise;
}

function table(name: string, report: FleetReport): string {
  const { steady, start, outage, recovery, change, brownOut, afterBrownOut } = report;
  const seconds = (value: number | undefined): string =>
    value === undefined ? 'never' : `${value} s`;
  const row = (phase: string, { rate, ratio }: Peak, more: string): string =>
    [phase.padEnd(16), rate.toFixed(0).padStart(7), ratio.toFixed(2).padStart(7), `  ${more}`].join(
      '',
    );
  return [
    `${name}: ${report.agents} agents, mean of the steady phase ${steady.mean.toFixed(1)} requests a second`,
    `${'phase'.padEnd(16)}${'peak/s'.padStart(7)}${'x mean'.padStart(7)}`,
    row('start', start, `every file written after ${seconds(start.deliveredAfter)}`),
    row('steady', steady, ''),
    row('outage', outage, 'refused connections'),
    row(
      'recovery',
      recovery,
      `all fresh after ${seconds(recovery.freshAfter)}; ${recovery.endedCredentials} credentials had ended, replaced after ${seconds(recovery.goodAfter)}`,
    ),
    row(
      'KV change',
      change,
      `half have it after ${seconds(change.halfAfter)}, all after ${seconds(change.allAfter)}`,
    ),
    row('brown-out', brownOut, `${brownOut.capacity} requests a second are answered`),
    row('after it', afterBrownOut, `all fresh after ${seconds(afterBrownOut.freshAfter)}`),
    `tries of a login for each agent ${report.loginsPerAgent.toFixed(2)}, of a credential for each that has one ${report.credentialsPerLeasedAgent.toFixed(2)}`,
    `at most ${MOST_TIMES_STEADY} times the mean after an outage: ${report.isPromiseKept ? 'kept' : 'BROKEN'}`,
    '',
  ].join('\n');
}

if (isMainThread) {
  const { values } = parseArgs({
    options: { agents: { type: 'string', default: '10000' }, json: { type: 'boolean' } },
  });
  const agents = Number(values.agents);
  if (!Number.isInteger(agents) || agents < 10)
    throw new Error('--agents must be an integer of at least 10');
  const started = performance.now();
  const [usual, harsh] = await Promise.all([
    inThread({ population: 'usual', agents }),
    inThread({ population: 'harsh', agents }),
  ]);
  const reports = { usual, harsh };
  if (values.json === true) process.stdout.write(`${JSON.stringify(reports, null, 2)}\n`);
  else {
    const took = ((performance.now() - started) / 1000).toFixed(0);
    process.stdout.write(`${table('usual', usual)}\n${table('harsh', harsh)}\n${took} s\n`);
  }
  process.exitCode = usual.isPromiseKept && harsh.isPromiseKept ? 0 : 1;
} else {
  const { population, agents } = workerData as Job; // what inThread passes
  parentPort?.postMessage(await runScenario({ agents, seed: 1, lives: POPULATIONS[population] }));
}
