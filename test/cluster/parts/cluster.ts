/** A Kubernetes cluster of real parts on this machine. */
import { execFileSync } from 'node:child_process';
import { startContainerd, startNode } from './node.ts';
import { startControlPlane } from './control-plane.ts';
import { loadPause } from './images.ts';
import type { Running } from './processes.ts';
import { sweep } from './workspace.ts';

export interface Programs {
  readonly kubernetes: string;
  readonly pause: string;
  readonly helm: string;
}

export interface Cluster extends AsyncDisposable {
  readonly kubeconfig: string;
  kubectl(...args: string[]): string;
  helm(...args: string[]): string;
}

export async function startCluster(programs: Programs): Promise<Cluster> {
  const running: Running[] = [];
  const [plane, containerd] = await Promise.all([
    startControlPlane(programs.kubernetes),
    startContainerd(),
  ]);
  loadPause(programs.pause);
  running.push(...plane.running, containerd, ...startNode(programs.kubernetes, plane));
  const kubeconfig = plane.kubeconfig('admin');
  const run = (command: string, args: readonly string[]): string =>
    execFileSync(command, args, {
      encoding: 'utf8',
      env: { ...process.env, KUBECONFIG: kubeconfig },
    });
  return {
    kubeconfig,
    kubectl: (...args) => run(programs.kubernetes, ['kubectl', ...args]),
    helm: (...args) => run(programs.helm, args),
    async [Symbol.asyncDispose]() {
      for (const one of running.toReversed()) await one.stop();
      await sweep();
    },
  };
}
