/**
 * What injection costs in a cluster, in time and memory: `npm run bench:cluster`. Options: `--runs N` starts of each
 * kind of pod (7), `--json`. It uses the cluster of `npm run test:cluster -- --stay` if that is up, otherwise its
 * own. Times are not judged: the exit code is 0 if everything worked, however long it took.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { insideNetwork } from '../test/cluster/parts/network.ts';
import { WORKSPACE } from '../test/cluster/parts/workspace.ts';
import type { World } from '../test/cluster/world.ts';
import { requireRoot, root, say } from './servers.ts';

/** Written when everything is up. */
const WORLD = join(WORKSPACE, 'world.json');
const MOST_RUNS = 100;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
  },
});
const runs = Number(values.runs);
if (!Number.isInteger(runs) || runs < 1 || runs > MOST_RUNS) {
  process.stderr.write(`bench: --runs is a number from 1 to ${MOST_RUNS}\n`);
  process.exit(1);
}
requireRoot();
// Those who were started here end by the same Ctrl-C.
process.on('SIGINT', () => undefined);
const own = isUp() ? undefined : start([join(root, '.tools', 'test-cluster.ts'), '--stay']);
if (own === undefined) say('using the cluster that is up');
try {
  while (own !== undefined && !isUp()) {
    if (hasEnded(own)) throw new Error('the cluster did not start');
    await delay(500);
  }
  process.exitCode = await bench();
} finally {
  if (own !== undefined && !hasEnded(own)) {
    const ended = once(own, 'exit');
    own.kill('SIGTERM');
    await ended;
  }
}

async function bench(): Promise<number> {
  const main = join(root, 'test', 'bench', 'cluster', 'main.ts');
  const format = values.json ? 'json' : 'table';
  const [command, args] = insideNetwork([process.execPath, main, String(runs), format]);
  const env = { ...process.env, VOUCHSAFE_TEST_CLUSTER: readFileSync(WORLD, 'utf8') };
  const child = spawn(command, args, { stdio: 'inherit', env });
  await once(child, 'exit');
  return child.exitCode ?? 1;
}

/** Its output goes beside the report. */
function start(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, args, { stdio: ['ignore', 2, 2], cwd: root });
}

/** Whether a world was made, and its API server answers: a killed one may have left its file. */
function isUp(): boolean {
  if (!existsSync(WORLD)) return false;
  try {
    const { programs, kubeconfig } = JSON.parse(readFileSync(WORLD, 'utf8')) as World; // its own file
    const ask = ['kubectl', `--kubeconfig=${kubeconfig}`, 'get', '--raw=/readyz'];
    execFileSync(...insideNetwork([programs.kubernetes, ...ask]), { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
