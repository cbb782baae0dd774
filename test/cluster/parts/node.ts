/** The node: containerd, kubelet and kube-proxy. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ControlPlane } from './control-plane.ts';
import { PAUSE_IMAGE } from './images.ts';
import { BRIDGE, NODE_ADDRESS, POD_RANGE } from './network.ts';
import { ready, start, type Running } from './processes.ts';
import {
  CGROUP,
  directory,
  endPods,
  place,
  removeCgroups,
  unmountBelow,
  WORKSPACE,
} from './workspace.ts';

export const NODE_NAME = 'node';

/** Where the kubelet keeps pods and finds plug-ins. */
export const KUBELET_DIRECTORY = join(WORKSPACE, 'kubelet');

const CONTAINERD_SOCKET = join(WORKSPACE, 'containerd.sock');
/** What a node has in memory of its containers: below /run elsewhere. */
const VOLATILE = ['containerd-state', 'runc'];

/** The command line of containerd's own client, which is beside containerd. */
export function ctrCommand(containerd: string): readonly [string, ...string[]] {
  const program = join(dirname(containerd), 'ctr');
  return [program, `--address=${CONTAINERD_SOCKET}`, '--namespace=k8s.io'];
}

/** Starts containerd, whose shim and runc are beside it; resolves when it answers. */
export async function startContainerd(program: string): Promise<Running> {
  shareMounts();
  writeFileSync(place('containerd.toml'), containerdConfig(dirname(program)));
  writeFileSync(place('cni', 'bridge.conflist'), JSON.stringify(cniConfig()));
  const containerd = start('containerd', [program, `--config=${place('containerd.toml')}`]);
  await containerdAnswers(containerd, program);
  return containerd;
}

/** Waits until containerd answers. */
export async function containerdAnswers(containerd: Running, program: string): Promise<void> {
  await ready(containerd, () => {
    ctr(program, 'version');
    return true;
  });
}

/** What makes a machine a node. */
export interface Node {
  readonly kubelet: Running;
  readonly proxy: Running;
}

/** Starts kubelet and kube-proxy. */
export function startNode(program: string, plane: ControlPlane): Node {
  const { ca } = plane;
  makeCgroups();
  const serving = ca.issue({ dnsNames: [NODE_NAME], ips: [NODE_ADDRESS] });
  writeFileSync(place('pki', 'kubelet.pem'), serving.certPem);
  writeFileSync(place('pki', 'kubelet.key'), serving.keyPem, { mode: 0o600 });
  writeFileSync(place('resolv.conf'), '');
  configureKubelet();
  writeFileSync(
    place('kube-proxy.json'),
    JSON.stringify(proxyConfig(plane.kubeconfig('system:kube-proxy'))),
  );
  return {
    kubelet: start('kubelet', [
      ...[program, 'kubelet', `--config=${place('kubelet.json')}`],
      `--kubeconfig=${plane.kubeconfig('system:node:node')}`,
      ...[`--root-dir=${KUBELET_DIRECTORY}`, `--hostname-override=${NODE_NAME}`],
      `--node-ip=${NODE_ADDRESS}`,
    ]),
    proxy: start('kube-proxy', [program, 'kube-proxy', `--config=${place('kube-proxy.json')}`]),
  };
}

/** What the kubelet is to go by from its next start on. */
export function configureKubelet(how: { readonly isShortOfMemory?: boolean } = {}): void {
  const eviction = how.isShortOfMemory === true ? SHORT_OF_MEMORY : {};
  writeFileSync(place('kubelet.json'), JSON.stringify({ ...kubeletConfig(), ...eviction }));
}

/** As if the machine had been switched off: what was in memory is gone, disks are as they were. */
export async function losePower({ kubelet, proxy }: Node, containerd: Running): Promise<void> {
  await Promise.all([kubelet, proxy, containerd].map((one) => one.stop('SIGKILL')));
  await endPods();
  for (const name of ['kubelet', ...VOLATILE]) unmountBelow(directory(name));
  execFileSync('umount', ['--lazy', RUN_DIRECTORY]);
  for (const name of VOLATILE) rmSync(directory(name), { recursive: true });
  removeCgroups();
}

/** Switched on again, where it is not. */
export async function havePower(
  { kubelet, proxy }: Node,
  containerd: Running,
  program: string,
): Promise<void> {
  if (!containerd.hasEnded) return;
  mountRun();
  for (const name of VOLATILE) directory(name);
  makeCgroups();
  containerd.start();
  await containerdAnswers(containerd, program);
  kubelet.start();
  proxy.start();
}

/** Runs a command of containerd's own client. */
export function ctr(containerd: string, ...args: string[]): string {
  const [program, ...first] = ctrCommand(containerd);
  return execFileSync(program, [...first, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Where a driver leaves its state: memory of the node, as /run is. */
export const RUN_DIRECTORY = join(WORKSPACE, 'run');

/** Mounts that a driver makes below the kubelet's directory must reach the pods. */
function shareMounts(): void {
  directory('kubelet');
  execFileSync('mount', ['--bind', KUBELET_DIRECTORY, KUBELET_DIRECTORY]);
  execFileSync('mount', ['--make-rshared', KUBELET_DIRECTORY]);
  mountRun();
}

function mountRun(): void {
  directory('run');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'vouchsafe', RUN_DIRECTORY]);
}

function makeCgroups(): void {
  for (const controller of readdirSync('/sys/fs/cgroup')) {
    if (controller !== 'unified')
      mkdirSync(join('/sys/fs/cgroup', controller, CGROUP), { recursive: true });
  }
}

function containerdConfig(programs: string): string {
  return `version = 3
root = "${directory('containerd')}"
state = "${directory('containerd-state')}"
[grpc]
  address = "${CONTAINERD_SOCKET}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE a sandbox could not be given the score that the kubelet asks for.
  restrict_oom_score_adj = true
  # Where the sweep finds them.
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "${directory('cni')}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "${join(programs, 'containerd-shim-runc-v2')}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "${join(programs, 'runc')}"
  SystemdCgroup = false
  Root = "${directory('runc')}"
`;
}

function cniConfig(): object {
  return {
    cniVersion: '1.0.0',
    name: 'vouchsafe',
    plugins: [
      {
        type: 'bridge',
        bridge: BRIDGE,
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: POD_RANGE, rangeStart: '10.244.0.10' }]],
          routes: [{ dst: '0.0.0.0/0' }],
          dataDir: directory('cni-addresses'),
        },
      },
    ],
  };
}

/** No machine has that much. A soft limit: a hard one would be taken from what pods may ask for. */
const SHORT_OF_MEMORY = {
  evictionSoft: { 'memory.available': '1Pi' },
  evictionSoftGracePeriod: { 'memory.available': '1s' },
};

function kubeletConfig(): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    // Both of these are how this suite differs from a node of its own: its kernel is anybody's.
    failCgroupV1: false,
    failSwapOn: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: CGROUP,
    enforceNodeAllocatable: [],
    evictionHard: { 'memory.available': '0%', 'nodefs.available': '0%', 'imagefs.available': '0%' },
    evictionMaxPodGracePeriod: 10,
    evictionPressureTransitionPeriod: '5s',
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    authentication: {
      anonymous: { enabled: false },
      x509: { clientCAFile: place('pki', 'ca.pem') },
      webhook: { enabled: true },
    },
    authorization: { mode: 'AlwaysAllow' },
    tlsCertFile: place('pki', 'kubelet.pem'),
    tlsPrivateKeyFile: place('pki', 'kubelet.key'),
    address: NODE_ADDRESS,
    healthzBindAddress: '127.0.0.1',
    resolvConf: place('resolv.conf'),
    maxPods: 230,
    registryPullQPS: 0,
    serializeImagePulls: false,
    kubeAPIQPS: 200,
    kubeAPIBurst: 400,
    podLogsDir: directory('pod-logs'),
    // Zero would mean five a second: after a burst of pods events would come minutes late.
    eventRecordQPS: 1000,
    eventBurst: 1000,
    shutdownGracePeriod: '0s',
  };
}

function proxyConfig(kubeconfig: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clusterCIDR: POD_RANGE,
    hostnameOverride: NODE_NAME,
    bindAddress: NODE_ADDRESS,
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    clientConnection: { kubeconfig },
    // The limits of the connection table are the machine's, not the namespace's.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    iptables: { minSyncPeriod: '100ms' }, // none at all would mean a second
  };
}
