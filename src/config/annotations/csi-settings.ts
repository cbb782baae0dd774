/**
 * Settings that the CSI driver does not support, and settings that are not attributes of a volume.
 */
import {
  RESERVED_ANNOTATIONS,
  type FileSettings,
  type SettingName,
  type Settings,
  type VariableSettings,
} from './annotations.ts';

/** A setting that conflicts with `mode: csi`. */
export interface CsiObstacle {
  /** An annotation without its prefix. */
  readonly name: string;
  readonly message: string;
}

const NO_CONTAINER = 'no agent runs in the pod';

const VARIABLE =
  'the kubelet reads variables from a volume of an agent; set mode native, or read a file instead';

/** Settings of a pod, a file or a variable that only an agent in the pod supports, with the reason. */
export const UNSUPPORTED_IN_CSI = {
  'on-change':
    'no agent runs in the pod to notify the application; let it watch its files, or set mode native',
  'template-from': 'the driver does not read ConfigMaps; set template-<name>, or mode native',
  vault: 'the driver logs in once for a volume; set vault for all files, or mode native',
  role: 'the driver logs in once for a volume; set role for all files, or mode native',
  env: VARIABLE,
  'env-template': VARIABLE,
  'env-optional': VARIABLE,
} as const;

const WAITS = 'the kubelet waits for the volume without a limit';

/** Annotations that have no effect in mode csi, with the reason. Most configure the agent's container. */
export const IGNORED_IN_CSI = {
  cpu: NO_CONTAINER,
  memory: NO_CONTAINER,
  'ephemeral-storage': NO_CONTAINER,
  'log-level': NO_CONTAINER,
  'run-as-user': NO_CONTAINER,
  'run-as-group': NO_CONTAINER,
  image: NO_CONTAINER,
  port: NO_CONTAINER,
  'init-first': NO_CONTAINER,
  'env-on-change': NO_CONTAINER,
  'on-missing-vault': WAITS,
  'init-deadline': WAITS,
  'start-gate': WAITS,
  'revoke-delay': 'the driver revokes after the pod has ended',
} as const satisfies Partial<Record<SettingName, string>>;

const OF_THE_POD = {
  inject: 'a volume needs no injection',
  containers: 'mount the volume into the containers that need it',
  'init-containers': 'mount the volume into the init containers that need it',
  'azure-client-id': 'set AZURE_CLIENT_ID in the containers',
  'azure-tenant-id': 'set AZURE_TENANT_ID in the containers',
  'azure-authority-host': 'set AZURE_AUTHORITY_HOST in the containers',
  'aws-role-arn': 'set AWS_ROLE_ARN in the containers',
  'aws-region': 'set AWS_REGION in the containers',
  'aws-role-session-name': 'set AWS_ROLE_SESSION_NAME in the containers',
  'aws-audience': 'set the audience of the token file',
} as const satisfies Partial<Record<SettingName, string>>;

/** Why a volume has no `mount-path`, unless it has the credential file of Google's libraries, which says where the token is. */
export const NO_MOUNT_PATH = 'set mountPath in the volumeMounts of the containers';

/** Settings that are not attributes of a volume, with the reason. */
export const NOT_IN_VOLUME: Readonly<Record<string, string>> = {
  ...OF_THE_POD,
  ...IGNORED_IN_CSI,
  ...Object.fromEntries(
    Object.keys(RESERVED_ANNOTATIONS).map((name) => [name, 'only the webhook sets it']),
  ),
};

/** What a pod requests. */
interface PodSettings {
  readonly settings: Settings;
  readonly files: readonly FileSettings[];
  readonly variables: readonly VariableSettings[];
}

/** What the pod itself sets and only an agent in the pod supports. Defaults of other levels do not conflict. */
export function csiObstacles({ settings, files, variables }: PodSettings): CsiObstacle[] {
  const reason = UNSUPPORTED_IN_CSI['on-change'];
  const ofSet =
    settings['on-change'].source === 'pod' ? [{ name: 'on-change', message: reason }] : [];
  const ofFiles = files.flatMap((file) =>
    (['on-change', 'template-from', 'vault', 'role'] as const)
      .filter((setting) => file[setting] !== undefined)
      .map((setting) => ({
        name: `${setting}-${file.name}`,
        message: UNSUPPORTED_IN_CSI[setting].replace('<name>', () => file.name),
      })),
  );
  const ofVariables = variables.flatMap(({ name, ...given }) =>
    Object.keys(given).map((setting) => ({
      name: `${setting}-${name}`,
      message: VARIABLE,
    })),
  );
  return [...ofSet, ...ofFiles, ...ofVariables];
}
