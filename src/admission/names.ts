/**
 * Names and paths of everything that is added to a pod.
 */

import { DEFAULTS } from '../config/schema/index.ts';

/** The container that keeps the files up to date. */
export const AGENT_CONTAINER = 'vouchsafe-agent';
/** The init container of the modes `pair` and `init`. */
export const INIT_CONTAINER = 'vouchsafe-init';

/** Environment variable with the agent's configuration document. */
export const CONFIG_VARIABLE = 'VOUCHSAFE_CONFIG';
/** Environment variable by which the agent finds the processes of a container that it signals. */
export const CONTAINER_VARIABLE = 'VOUCHSAFE_CONTAINER';

/** Volumes. Only the agent's containers mount those after the first one. */
export const VOLUME = {
  secrets: 'vouchsafe-secrets',
  state: 'vouchsafe-state',
  spiffe: 'vouchsafe-spiffe',
  token: 'vouchsafe-token',
  ca: 'vouchsafe-ca',
  noApiToken: 'vouchsafe-no-api-token',
  env: 'vouchsafe-env',
} as const;

const TEMPLATES_VOLUME = 'vouchsafe-templates-';

/** Volume of the n-th ConfigMap with templates. */
export function templatesVolume(index: number): string {
  return `${TEMPLATES_VOLUME}${index}`;
}

/** Volume with the CA of the n-th connection of a pod; that of the first one has no number. */
export function caVolume(index: number): string {
  return index === 0 ? VOLUME.ca : `${VOLUME.ca}-${index}`;
}

/** Where the agent sees the CA of the n-th connection of a pod. */
export function caDirectory(index: number): string {
  return index === 0 ? DIRECTORY.ca : `${DIRECTORY.ca}-${index}`;
}

const NUMBERED = new RegExp(`^(${TEMPLATES_VOLUME}|${VOLUME.ca}-)\\d+$`);

/** True for names of {@link VOLUME}, {@link templatesVolume} and {@link caVolume}. */
export function isOwnVolume(name: string): boolean {
  return Object.values(VOLUME).some((own) => own === name) || NUMBERED.test(name);
}

/** True for the agent's containers. */
export function isOwnContainer(name: string): boolean {
  return name === AGENT_CONTAINER || name === INIT_CONTAINER;
}

/** Directories inside the agent's containers. They are fixed, so that a `mount-path` cannot hide parts of the agent. */
export const DIRECTORY = {
  secrets: '/vault/secrets',
  state: '/run/vouchsafe/state',
  token: '/run/vouchsafe/token',
  ca: '/run/vouchsafe/ca',
  templates: '/run/vouchsafe/templates',
  env: DEFAULTS.ENV_DIRECTORY,
  /** Where the API server's ServiceAccount plug-in mounts a token, unless something else is mounted there. */
  apiToken: '/var/run/secrets/kubernetes.io/serviceaccount',
} as const;
