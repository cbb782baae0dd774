/** The cluster's network: one bridge in a namespace is the node; nothing leads out of it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { NETWORK } from './workspace.ts';

/** Address of the node: API server, Vault and everything else that pods reach. */
export const NODE_ADDRESS = '10.244.0.1';
export const POD_RANGE = '10.244.0.0/24';
export const SERVICE_RANGE = '10.96.0.0/24';
export const BRIDGE = 'cni0';

/** Makes namespace and bridge. */
export function makeNetwork(): void {
  mkdirSync('/run/netns', { recursive: true });
  ip('netns', 'add', NETWORK);
  const inside = (...args: string[]): void => ip('-n', NETWORK, ...args);
  inside('link', 'set', 'lo', 'up');
  inside('link', 'add', BRIDGE, 'type', 'bridge');
  inside('address', 'add', `${NODE_ADDRESS}/24`, 'dev', BRIDGE);
  inside('link', 'set', BRIDGE, 'up');
  // Service addresses need a route to be sent at all; kube-proxy turns them round before they would leave.
  inside('route', 'add', 'default', 'dev', BRIDGE);
  execFileSync(...insideNetwork(['sysctl', '-qw', 'net.ipv4.ip_forward=1']));
}

/** A command that runs in the cluster's network; `ip netns exec` would hide the cgroups. */
export function insideNetwork(command: readonly string[]): [string, string[]] {
  return ['nsenter', [`--net=/run/netns/${NETWORK}`, ...command]];
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
