/** The cluster of `npm run cluster`, from inside its network. */
import { startCluster } from './parts/cluster.ts';
import { startDoor } from './parts/door.ts';
import type { Archive } from './parts/images.ts';

function required(variable: string): string {
  const value = process.env[variable];
  if (value === undefined) throw new Error('run this with: npm run cluster');
  return value;
}

const ended = Promise.withResolvers<undefined>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => ended.resolve(undefined));
}
const programs = {
  kubernetes: required('VOUCHSAFE_TEST_KUBERNETES'),
  helm: required('VOUCHSAFE_TEST_HELM'),
  containerd: required('VOUCHSAFE_TEST_CONTAINERD'),
};
const archives = JSON.parse(required('VOUCHSAFE_TEST_IMAGES')) as readonly Archive[]; // from .tools
await using cluster = await startCluster(programs, archives);
using _door = await startDoor();
process.send?.(cluster.kubeconfig);
await ended.promise;
