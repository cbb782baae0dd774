/** The cluster of `npm run cluster`, from inside its network. */
import { startCluster } from './parts/cluster.ts';

function told(variable: string): string {
  const path = process.env[variable];
  if (path === undefined) throw new Error('run this with: npm run cluster');
  return path;
}

const ended = Promise.withResolvers<undefined>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => ended.resolve(undefined));
}
await using cluster = await startCluster({
  kubernetes: told('VOUCHSAFE_TEST_KUBERNETES'),
  helm: told('VOUCHSAFE_TEST_HELM'),
  pause: told('VOUCHSAFE_TEST_PAUSE'),
});
process.stdout.write(`KUBECONFIG=${cluster.kubeconfig}\n`);
await ended.promise;
