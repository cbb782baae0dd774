/**
 * A Kubernetes cluster of real parts on this machine, with the project's image in it: `npm run cluster` starts it,
 * prints a kubeconfig and stays until Ctrl-C, `-- --down` takes away what a killed one has left. It needs root and
 * Debian; nothing of it leaves its own network namespace.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openDoor } from '../test/cluster/parts/door.ts';
import { buildImages, REPOSITORY, VERSION } from '../test/cluster/parts/images.ts';
import { insideNetwork, makeNetwork } from '../test/cluster/parts/network.ts';
import { sweep } from '../test/cluster/parts/workspace.ts';
import { CONTAINER_RUNTIME, HELM, kubernetesOf, PAUSE, QUERIES, VARIABLES } from './programs.ts';
import {
  buildPrograms,
  CLUSTER_PACKAGES,
  ensurePackages,
  requireRoot,
  root,
  say,
} from './servers.ts';

const { values } = parseArgs({
  options: { down: { type: 'boolean', default: false }, kubernetes: { type: 'string' } },
});
requireRoot();
if (values.down) {
  await sweep();
  process.exit(0);
}
await ensurePackages(CLUSTER_PACKAGES);
const programs = await buildPrograms([
  ...CONTAINER_RUNTIME,
  ...[kubernetesOf(values.kubernetes), HELM, PAUSE, QUERIES, VARIABLES],
]);
const images = buildImages({
  pause: programs.path(PAUSE),
  queries: programs.path(QUERIES),
  variables: programs.path(VARIABLES),
});
await sweep();
makeNetwork();
const main = join(root, 'test', 'cluster', 'main.ts');
const [command, args] = insideNetwork([process.execPath, main]);
const child = spawn(command, args, {
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  env: { ...process.env, VOUCHSAFE_TEST_IMAGES: JSON.stringify(images) },
});
const ended = once(child, 'exit');
// The one inside ends by the same Ctrl-C.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.once('message', (inside) => {
  void openDoor(inside as string) // the path that main.ts sends
    .then(({ kubeconfig }) => {
      say(`image ${REPOSITORY}:${VERSION}; programs: ${join(root, 'test', 'servers', 'bin')}`);
      process.stdout.write(`export KUBECONFIG=${kubeconfig}\n`);
    });
});
await ended;
await sweep();
process.exit(child.exitCode ?? 1);
