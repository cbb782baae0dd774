/** The CSI driver's pods: found, waited for, taken from the nodes and brought back. */
import { codeOf } from '../../../src/core/index.ts';
import type { List, Pod } from './objects.ts';
import { RELEASE } from './release.ts';
import { api, eventually, isReady, processesOf } from './suite.ts';

const DAEMON_SET = `/apis/apps/v1/namespaces/${RELEASE}/daemonsets/${RELEASE}-csi`;
const PATIENCE_MS = 180_000;
/** A label that no node has. */
const NOWHERE = 'vouchsafe-test/nowhere';

/** Drivers, those that end among them. */
export function driverPods(): Promise<List<Pod>> {
  const selector = 'app.kubernetes.io%2Fcomponent%3Dcsi-driver';
  return api.get(`/api/v1/namespaces/${RELEASE}/pods?labelSelector=${selector}`);
}

/** The one of the node. */
export async function theDriver(): Promise<Pod> {
  const { items } = await driverPods();
  const [driver, ...others] = items;
  if (driver === undefined || others.length > 0) throw new Error(`${items.length} drivers`);
  return driver;
}

/** Kills it as the kernel would; gives it as it was. */
export async function killDriver(): Promise<Pod> {
  const driver = await theDriver();
  for (const pid of processesOf(driver, 'driver')) kill(pid);
  return driver;
}

/** Render processes end with the driver, and may be gone already. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/** Waits until another process than this one serves the node. */
export async function awaitDriver(before?: Pod): Promise<void> {
  const restarts = (pod: Pod | undefined): number =>
    pod?.status?.containerStatuses?.[0]?.restartCount ?? 0;
  await eventually(
    'the node has a new driver',
    async () => {
      const { items } = await driverPods();
      const [pod] = items;
      const isNew = pod?.metadata.uid !== before?.metadata.uid || restarts(pod) > restarts(before);
      return items.length === 1 && pod !== undefined && isReady(pod) && isNew ? true : undefined;
    },
    PATIENCE_MS,
  );
}

/** Takes the driver away. */
export async function onNoNode(): Promise<void> {
  await api.patch(DAEMON_SET, selecting({ [NOWHERE]: 'true' }));
  await eventually('there is no driver', async () =>
    (await driverPods()).items.length === 0 ? true : undefined,
  );
}

/** Brings it back. */
export async function onEveryNode(): Promise<void> {
  await api.patch(DAEMON_SET, selecting({ [NOWHERE]: null }));
  await awaitDriver();
}

function selecting(nodeSelector: object): object {
  return { spec: { template: { spec: { nodeSelector } } } };
}

/** The driver's metrics, as text. */
export async function driverMetrics(): Promise<string> {
  const [pod] = (await driverPods()).items;
  const name = pod?.metadata.name ?? '';
  return api.text(`/api/v1/namespaces/${RELEASE}/pods/${name}:8080/proxy/metrics`);
}

/** How many volumes the driver has, in any state. */
export async function volumeCount(): Promise<number> {
  return (await driverMetrics())
    .split('\n')
    .filter((line) => line.startsWith('vouchsafe_csi_volumes{'))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
