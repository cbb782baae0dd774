/**
 * Which settings the CSI driver cannot serve, and which of them are no attributes of a volume.
 */
import { MARKS, type FileSettings, type SettingName, type Settings } from './annotations.ts';

/** What stands in the way of `mode: csi`. */
export interface CsiObstacle {
  /** An annotation without its prefix. */
  readonly name: string;
  readonly message: string;
}

const NO_CONTAINER = 'nothing of Vouchsafe runs in the pod';

/** What only an agent in the pod can do, for the pod or a file: the reason of each. */
export const UNSUPPORTED_IN_CSI = {
  'on-change':
    'nothing of Vouchsafe runs in the pod that could signal or call it; let the application watch its files, or say native',
  'template-from': 'the driver reads no ConfigMaps; give template-<name>, or say native',
} as const;

const WAITS = 'a pod waits for its volume for as long as it takes';

/** Annotations without effect in mode csi: the reason of each. Most are about the agent's container. */
export const IGNORED_IN_CSI = {
  cpu: NO_CONTAINER,
  memory: NO_CONTAINER,
  'log-level': NO_CONTAINER,
  'run-as-user': NO_CONTAINER,
  'run-as-group': NO_CONTAINER,
  image: NO_CONTAINER,
  port: NO_CONTAINER,
  'on-missing-vault': WAITS,
  'init-deadline': WAITS,
  'revoke-delay': 'the driver revokes when the pod has ended',
} as const satisfies Partial<Record<SettingName, string>>;

const OF_THE_POD = {
  inject: 'a volume needs no leave',
  containers: 'mount the volume into the containers that are to see it',
  'init-containers': 'mount the volume into the init containers that are to see it',
  'mount-path': 'say mountPath in the volumeMounts of the containers',
  'azure-client-id': 'set AZURE_CLIENT_ID in the containers',
  'azure-tenant-id': 'set AZURE_TENANT_ID in the containers',
  'azure-authority-host': 'set AZURE_AUTHORITY_HOST in the containers',
} as const satisfies Partial<Record<SettingName, string>>;

/** Settings that are the webhook's or the pod's own, and so no attributes of a volume: the reason of each. */
export const NOT_IN_VOLUME: Readonly<Record<string, string>> = {
  ...OF_THE_POD,
  ...IGNORED_IN_CSI,
  ...Object.fromEntries(Object.keys(MARKS).map((name) => [name, 'the webhook alone writes it'])),
};

/** What the pod itself asks for and only an agent in the pod can do. Defaults of others are none. */
export function csiObstacles(settings: Settings, files: readonly FileSettings[]): CsiObstacle[] {
  const reason = UNSUPPORTED_IN_CSI['on-change'];
  const ofSet =
    settings['on-change'].source === 'pod' ? [{ name: 'on-change', message: reason }] : [];
  const ofFiles = files.flatMap((file) =>
    (['on-change', 'template-from'] as const)
      .filter((setting) => file[setting] !== undefined)
      .map((setting) => ({
        name: `${setting}-${file.name}`,
        message: UNSUPPORTED_IN_CSI[setting].replace('<name>', () => file.name),
      })),
  );
  return [...ofSet, ...ofFiles];
}
