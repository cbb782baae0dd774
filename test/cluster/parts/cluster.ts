/** A Kubernetes cluster of real parts on this machine. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createApi, type Api } from './api.ts';
import { startControlPlane } from './control-plane.ts';
import type { Archive } from './images.ts';
import {
  configureKubelet,
  containerdAnswers,
  ctr,
  havePower,
  losePower,
  startContainerd,
  startNode,
} from './node.ts';
import { ready } from './processes.ts';

/** The programs that a cluster is made of. */
export interface Programs {
  readonly kubernetes: string;
  readonly helm: string;
  /** Its shim, its client `ctr` and runc are beside it. */
  readonly containerd: string;
}

/** A cluster that can be used and hurt. */
export interface Cluster extends AsyncDisposable {
  readonly kubeconfig: string;
  readonly api: Api;
  readonly caPem: string;
  /** Helm, to its end. */
  helm(...args: string[]): Promise<void>;
  /** Stops the node's container runtime, and starts it again. */
  restartContainerd(): Promise<void>;
  restartKubelet(): Promise<void>;
  /** From now on the kubelet finds that the node has too little memory left, or no more. */
  runShortOfMemory(isShort: boolean): Promise<void>;
  /** Takes the node's power, and what it had in memory. */
  losePower(): Promise<void>;
  havePower(): Promise<void>;
}

/** Starts a cluster with these images; resolves when its node is ready. */
export async function startCluster(
  programs: Programs,
  archives: readonly Archive[],
): Promise<Cluster> {
  const [plane, containerd] = await Promise.all([
    startControlPlane(programs.kubernetes),
    startContainerd(programs.containerd),
  ]);
  for (const { path } of archives) ctr(programs.containerd, 'images', 'import', path);
  const node = startNode(programs.kubernetes, plane);
  const { kubelet, proxy } = node;
  const kubeconfig = plane.kubeconfig('admin');
  const api = createApi(kubeconfig);
  await ready(kubelet, () => isNodeReady(api));
  return {
    kubeconfig,
    api,
    caPem: plane.ca.caPem,
    async helm(...args) {
      await promisify(execFile)(programs.helm, args, {
        env: { ...process.env, KUBECONFIG: kubeconfig },
      });
    },
    async restartContainerd() {
      await containerd.stop();
      containerd.start();
      await containerdAnswers(containerd, programs.containerd);
    },
    async restartKubelet() {
      await kubelet.stop();
      kubelet.start();
    },
    async runShortOfMemory(isShortOfMemory) {
      await kubelet.stop();
      configureKubelet({ isShortOfMemory });
      kubelet.start();
    },
    losePower: () => losePower(node, containerd),
    havePower: () => havePower(node, containerd, programs.containerd),
    async [Symbol.asyncDispose]() {
      for (const one of [kubelet, proxy, containerd, ...plane.running.toReversed()]) {
        await one.stop();
      }
      // Its pods are ended by the sweep of the process that made the network.
    },
  };
}

interface NodeStatus {
  readonly status: { readonly conditions?: readonly { type: string; status: string }[] };
}

async function isNodeReady(api: Api): Promise<boolean> {
  const { items } = await api.get<{ items: readonly NodeStatus[] }>('/api/v1/nodes');
  return items.some(({ status }) =>
    (status.conditions ?? []).some((one) => one.type === 'Ready' && one.status === 'True'),
  );
}
