/**
 * Builds a cluster's programs and images, starts it with Vault, PostgreSQL, SPIRE and the chart, and runs
 * test/cluster against it, or the test files that are named. `-- --stay` starts all and runs nothing, `-- --prepare`
 * builds and starts nothing, `-- --kubernetes 1.36` takes another version than the newest.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildImages } from '../test/cluster/parts/images.ts';
import { insideNetwork, makeNetwork } from '../test/cluster/parts/network.ts';
import { sweep } from '../test/cluster/parts/workspace.ts';
import {
  CONTAINER_RUNTIME,
  CSI,
  HELM,
  kubernetesOf,
  PAUSE,
  QUERIES,
  SPIRE,
  VARIABLES,
  VAULT,
} from './programs.ts';
import {
  buildPrograms,
  CLUSTER_PACKAGES,
  ensurePackages,
  onPath,
  POSTGRESQL,
  PROMETHEUS,
  requireRoot,
  root,
  say,
} from './servers.ts';

const { values, positionals } = parseArgs({
  options: {
    stay: { type: 'boolean', default: false },
    prepare: { type: 'boolean', default: false },
    kubernetes: { type: 'string' },
  },
  allowPositionals: true,
});
requireRoot();
await ensurePackages([...CLUSTER_PACKAGES, POSTGRESQL, PROMETHEUS]);
const kubernetes = kubernetesOf(values.kubernetes);
const programs = await buildPrograms([
  ...CONTAINER_RUNTIME,
  ...[kubernetes, HELM, PAUSE, CSI, QUERIES, VARIABLES, VAULT],
  ...SPIRE,
]);
// A bench measures HashiCorp's injector beside ours where there is one.
const injector = values.stay ? onPath('vault-k8s') : undefined;
const images = buildImages({
  pause: programs.path(PAUSE),
  queries: programs.path(QUERIES),
  variables: programs.path(VARIABLES),
  spire: SPIRE.map((program) => programs.path(program)),
  ...(injector !== undefined && { incumbent: { injector, vault: programs.path(VAULT) } }),
});
for (const { image, bytes } of images) {
  say(`image ${image}: ${(bytes / 1_000_000).toFixed(1)} MB compressed`);
}
if (values.prepare) process.exit(0);
await sweep();
makeNetwork();
const world = join(root, 'test', 'cluster', 'world.ts');
const all = positionals.length > 0 ? positionals : ['test/cluster/**/*.test.ts'];
const [command, args] = insideNetwork([process.execPath, world, ...(values.stay ? [] : all)]);
const child = spawn(command, args, {
  stdio: 'inherit',
  cwd: root,
  env: { ...process.env, VOUCHSAFE_TEST_IMAGES: JSON.stringify(images) },
});
// The one inside ends by the same Ctrl-C.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
await once(child, 'exit');
await sweep();
process.exitCode = child.exitCode ?? 1;
