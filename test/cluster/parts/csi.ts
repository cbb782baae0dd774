/** The CSI driver by which pods get the directory of the Workload API. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Api } from './api.ts';
import { IDENTITY_DIRECTORY } from './identity-place.ts';
import { KUBELET_DIRECTORY, NODE_NAME } from './node.ts';
import { ready, start, type Running } from './processes.ts';
import { place } from './workspace.ts';

/** As SPIFFE's. */
const DRIVER = 'csi.spiffe.io';

/** Starts it; the kubelet finds it by itself. */
export async function startCsi(program: string, api: Api): Promise<Running> {
  await api.create('/apis/storage.k8s.io/v1/csidrivers', {
    metadata: {
      name: DRIVER,
      // Without it a restricted namespace would not take the volume.
      labels: { 'security.kubernetes.io/csi-ephemeral-volume-profile': 'restricted' },
    },
    spec: { attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: ['Ephemeral'] },
  });
  const registration = join(KUBELET_DIRECTORY, 'plugins_registry', `${DRIVER}.sock`);
  const driver = start('csi', [
    ...[program, IDENTITY_DIRECTORY, NODE_NAME, place('csi.sock')],
    registration,
  ]);
  await ready(driver, () => existsSync(registration));
  const path = `/apis/storage.k8s.io/v1/csinodes/${NODE_NAME}`;
  await ready(driver, async () => JSON.stringify(await api.get<object>(path)).includes(DRIVER));
  return driver;
}
