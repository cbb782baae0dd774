/**
 * Which settings the CSI driver cannot serve, and which of them are no attributes of a volume. Ring: config.
 */
import { MARKS, type SettingName } from './annotations.ts';
import type { FileSettings, Settings } from './settings.ts';

/** What stands in the way of `mode: csi`. */
export interface CsiObstacle {
  /** An annotation without its prefix. */
  readonly name: string;
  readonly message: string;
}

const NO_CONTAINER = 'nothing of Vouchsafe runs in the pod';
const NOBODY_TELLS =
  'nothing of Vouchsafe runs in the pod that could signal or call it; let the application watch its files, or say native';

/** Settings of the agent's container: without effect where there is none. */
export const CONTAINER_SETTINGS = [
  'cpu',
  'memory',
  'log-level',
  'run-as-user',
  'run-as-group',
  'image',
  'port',
] as const satisfies readonly SettingName[];

const OF_THE_POD = {
  inject: 'a volume needs no leave',
  containers: 'mount the volume into the containers that are to see it',
  'init-containers': 'mount the volume into the init containers that are to see it',
  'mount-path': 'say mountPath in the volumeMounts of the containers',
  'on-missing-vault': 'a pod waits for its volume for as long as it takes',
  'azure-client-id': 'set AZURE_CLIENT_ID in the containers',
  'azure-tenant-id': 'set AZURE_TENANT_ID in the containers',
  'azure-authority-host': 'set AZURE_AUTHORITY_HOST in the containers',
} as const satisfies Partial<Record<SettingName, string>>;

/** Settings that are the webhook's or the pod's own, and so no attributes of a volume: the reason of each. */
export const NOT_IN_VOLUME: Readonly<Record<string, string>> = {
  ...OF_THE_POD,
  ...Object.fromEntries(CONTAINER_SETTINGS.map((name) => [name, NO_CONTAINER])),
  ...Object.fromEntries(Object.keys(MARKS).map((name) => [name, 'the webhook alone writes it'])),
};

/** What the pod itself asks for and only an agent in the pod can do. Defaults of others are none. */
export function csiObstacles(settings: Settings, files: readonly FileSettings[]): CsiObstacle[] {
  const ofSet = settings['on-change'].source === 'pod' ? [obstacle('on-change', NOBODY_TELLS)] : [];
  const ofFiles = files.flatMap((file) => [
    ...(file['on-change'] === undefined ? [] : [obstacle(`on-change-${file.name}`, NOBODY_TELLS)]),
    ...(file['template-from'] === undefined
      ? []
      : [
          obstacle(
            `template-from-${file.name}`,
            `the driver reads no ConfigMaps; give template-${file.name}, or say native`,
          ),
        ]),
  ]);
  return [...ofSet, ...ofFiles];
}

function obstacle(name: string, message: string): CsiObstacle {
  return { name, message };
}
