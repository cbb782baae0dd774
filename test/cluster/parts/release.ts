/** The chart as the suite installs it. */
import { join } from 'node:path';
import {
  ADMIN_SOCKET,
  BROKER_SOCKET,
  IDENTITY_DIRECTORY,
  IDENTITY_SOCKET,
} from './identity-place.ts';
import { REPOSITORY, VERSION } from './images.ts';
import { NODE_ADDRESS } from './network.ts';
import { KUBELET_DIRECTORY, RUN_DIRECTORY } from './node.ts';
import type { ClusterVault } from './vault.ts';
import { WORKSPACE } from './workspace.ts';

/** Name and namespace of the release. */
export const RELEASE = 'vouchsafe';

export const CHART = join(import.meta.dirname, '..', '..', '..', 'manifests', 'vouchsafe');

/** Changes of values by which pods get the socket from a directory of the node. */
export const BY_HOST_PATH = [
  '--set=spiffe.volume=hostPath',
  `--set=spiffe.hostPath=${IDENTITY_DIRECTORY}`,
];

/** Changes of values by which the CSI driver gets SVIDs of pods. */
export const BY_BROKER = [
  '--set=csi.identity.kind=broker',
  `--set=csi.identity.socket=${BROKER_SOCKET}`,
];

/** The same by SPIRE's Delegated Identity API. */
export const BY_DELEGATED = [
  '--set=csi.identity.kind=delegated',
  `--set=csi.identity.socket=${ADMIN_SOCKET}`,
];

/** The chart's values, for Helm. */
export const VALUES_FILE = join(WORKSPACE, 'values.json');

/** Who may have what; namespaces without the name are free. */
export const POLICIES = [
  { name: 'everybody', namespaces: ['test-*'], connections: ['default', 'tls'] },
  // Those of the example manifests.
  { name: 'examples', namespaces: ['default', 'demo'], connections: ['default'] },
  {
    name: 'team-a',
    namespaces: ['team-a'],
    connections: ['default'],
    roles: ['a-*'],
    authMounts: ['jwt-team-a'],
    paths: ['secret/team-a/*'],
  },
];

/** The chart's values for this cluster. */
export function chartValues({ tls }: Pick<ClusterVault, 'tls'>): object {
  return {
    image: { repository: REPOSITORY, tag: VERSION, pullPolicy: 'Never' },
    vault: {
      connections: {
        default: { address: `http://${NODE_ADDRESS}:8200` },
        other: { address: `http://${NODE_ADDRESS}:8200` },
        tls,
      },
      policies: POLICIES,
    },
    env: { enabled: true },
    // What it gets where two hundred pods start at once on two processors.
    resources: { requests: { cpu: '250m' } },
    csi: {
      enabled: true,
      // Tests wait for what is read again.
      minRefresh: '1s',
      kubeletDirectory: KUBELET_DIRECTORY,
      stateDirectory: RUN_DIRECTORY,
      tokenAudiences: ['vault', 'vault-dev', 'other'],
      // Two hundred volumes.
      resources: { requests: { cpu: '250m' }, limits: { memory: '1Gi' } },
    },
    spiffe: { socket: IDENTITY_SOCKET },
  };
}
