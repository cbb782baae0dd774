/**
 * A Kubernetes cluster of real parts on this machine: `npm run cluster` starts it and stays until Ctrl-C,
 * `-- --down` takes away what a killed one has left. It needs root and Debian; nothing of it leaves its own
 * network namespace.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { insideNetwork, makeNetwork } from '../test/cluster/parts/network.ts';
import { sweep } from '../test/cluster/parts/workspace.ts';
import {
  ATTEST,
  buildPrograms,
  CLUSTER_PACKAGES,
  ensurePackages,
  HELM,
  KUBERNETES,
  PAUSE,
  root,
  say,
} from './servers.ts';

const { values } = parseArgs({ options: { down: { type: 'boolean', default: false } } });
if (process.getuid?.() !== 0) {
  say('a cluster needs root: it makes network namespaces, mounts and cgroups');
  process.exit(1);
}
if (values.down) {
  await sweep();
  process.exit(0);
}
await ensurePackages(CLUSTER_PACKAGES);
await buildPrograms([KUBERNETES, HELM, PAUSE, ATTEST]);
await sweep();
makeNetwork();
const main = join(root, 'test', 'cluster', 'main.ts');
const [command, args] = insideNetwork([process.execPath, main]);
const child = spawn(command, args, { stdio: 'inherit' });
// The one inside ends by the same Ctrl-C.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
await once(child, 'exit');
await sweep();
process.exitCode = child.exitCode ?? 1;
