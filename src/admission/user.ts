/**
 * Which user the agent runs as, and which permission bits its files need.
 */
import type { FileSettings, Settings } from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { Container, Pod } from './pod.ts';

/** The "nonroot" user of distroless images. */
const DEFAULT_UID = 65_532;

/**
 * The agent's own user. Images use UIDs of people (from 1000), of distributions (below 1000) and of distroless (65532);
 * nodes use those up to 65519 (systemd's dynamic users); pods with a user namespace have none from 65536 on.
 *
 * @see https://systemd.io/UIDS-GIDS/
 */
const OWN_UID = 65_528;

/** User and group of the agent's containers; undefined leaves the choice to the platform. */
export interface AgentUser {
  readonly user: number | undefined;
  readonly group: number | undefined;
}

/** Input of {@link agentUser} and {@link defaultFileMode}. */
export interface UserInput {
  readonly pod: Pod;
  readonly settings: Settings;
  readonly files: readonly FileSettings[];
  readonly installation: Installation;
  /** Containers that see the files. */
  readonly consumers: readonly Container[];
  /** Containers that the agent signals: the kernel lets it signal only processes of its own user. */
  readonly targets: readonly Container[];
  /** The annotation for which it signals them, without the prefix. */
  readonly signalledBy: 'on-change' | 'env-on-change';
}

/** Chooses the user; reports signalled containers that run as another one. */
export function agentUser(input: UserInput, diagnostics: Diagnostics): AgentUser {
  const { settings, installation, pod, consumers } = input;
  const group = settings['run-as-group'].value;
  const signalled = checkSignalUser(input, diagnostics);
  if (signalled !== undefined) return { user: signalled, group };
  const asked = settings['run-as-user'].value;
  if (asked !== undefined) return { user: asked, group };
  if (!installation.agent.setUser) return { user: undefined, group };
  if (canHaveOwnUser(input)) return withOwnGroup(ownUser(pod), group, pod);
  const ofPod = pod.spec.securityContext?.runAsUser ?? 0;
  if (ofPod !== 0) return { user: ofPod, group };
  return { user: commonUser(pod, consumers) ?? DEFAULT_UID, group };
}

/**
 * 0440 if the application has the group or the owner of the files, else 0444: the volume is in memory, private to the
 * pod, and read-only in the selected containers.
 */
export function defaultFileMode(input: UserInput, agent: AgentUser): '0440' | '0444' {
  const { pod, consumers } = input;
  const isSameUser = consumers.every((one) => userOf(pod, one) === agent.user);
  // A platform that assigns UIDs assigns one UID and one fsGroup to the whole pod.
  return hasGroup(pod) || agent.user === undefined || isSameUser ? '0440' : '0444';
}

/**
 * Whether the agent can run as another user than the application, which then can neither inspect the agent nor read its
 * state: no container is signalled, and the pod's group can read every file as its owner can.
 */
function canHaveOwnUser({ pod, settings, files, targets }: UserInput): boolean {
  const modes = [settings['file-mode'], ...files.map((file) => file['file-mode'])];
  return (
    targets.length === 0 &&
    hasGroup(pod) &&
    !settings['x509-svid'].value &&
    !files.some(mayHoldPrivateKey) &&
    modes.every((mode) => mode?.value === undefined || isSufficientForGroup(mode.value))
  );
}

/** The kubelet sets the fsGroup on volumes in memory, and adds it to each container. */
function hasGroup(pod: Pod): boolean {
  return typeof pod.spec.securityContext?.fsGroup === 'number';
}

/**
 * Whether a file may hold a private key, judging by names: programs reject a key of another user, or one that the group
 * can read. Pods with a key under another name set the mode 0400, and so get the user of its reader.
 */
export function mayHoldPrivateKey({ name, file, template, secret }: FileSettings): boolean {
  const names = [name, file?.value ?? '', secret?.text ?? ''];
  return (
    /pki|private.?key/i.test(`${template?.value ?? ''} ${secret?.text ?? ''}`) ||
    names.some((one) => KEY_NAME.test(one))
  );
}

/** `tls.key`, `client-key.pem`, `.ssh/id_rsa`; but not `api_key`. */
const KEY_NAME = /\.key$|(?:^|[-_./#])key\.pem$|(?:^|[/#])id_(?:rsa|dsa|ecdsa|ed25519)$/i;

/** Whether the group can read and need not execute the file. The mount is read-only, so write bits are irrelevant. */
function isSufficientForGroup(mode: number): boolean {
  return (mode & 0o140) === 0o040;
}

/** The first UID from {@link OWN_UID} down that no container uses. */
function ownUser(pod: Pod): number {
  const { containers, initContainers, securityContext } = pod.spec;
  const all = [...containers, ...(initContainers ?? [])];
  const taken = new Set<unknown>(
    [securityContext, ...all.map((one) => one.securityContext)].map((one) => one?.runAsUser),
  );
  let user = OWN_UID;
  while (taken.has(user)) user -= 1;
  return user;
}

/** The image does not know the user, so its group would be root's unless it is set. */
function withOwnGroup(user: number, asked: number | undefined, pod: Pod): AgentUser {
  const isSet = typeof pod.spec.securityContext?.runAsGroup === 'number';
  return { user, group: asked ?? (isSet ? undefined : user) };
}

/** The UID of a container in the manifest; 0 is root, undefined leaves it to the image. */
export function userOf(pod: Pod, container: Container): number | undefined {
  return container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser ?? undefined;
}

function commonUser(pod: Pod, containers: readonly Container[]): number | undefined {
  const users = new Set(containers.map((container) => userOf(pod, container)));
  const [user] = users;
  return users.size === 1 && user !== 0 ? user : undefined;
}

/**
 * The UID of the signalled containers, if there are any and the manifest sets it; reports containers that run as another
 * user than the agent can.
 */
export function checkSignalUser(input: UserInput, diagnostics: Diagnostics): number | undefined {
  const { pod, settings, installation, targets } = input;
  const path = `${installation.annotationPrefix}/${input.signalledBy}`;
  const known = new Map<number, string>();
  for (const container of targets) {
    const user = userOf(pod, container);
    if (user !== undefined && user !== 0) known.set(user, container.name);
    else if (user === 0 || !isSetElsewhere(input)) {
      const what = user === 0 ? 'runs as root' : 'has no runAsUser';
      const message = `container "${container.name}" ${what}: set a non-zero runAsUser in its securityContext, so that the agent can run as the same user and signal it`;
      diagnostics.invalid({ path, message });
    }
  }
  const [first, ...others] = known;
  if (others.length > 0) {
    const users = [...known].map(([user, name]) => `"${name}" (UID ${user})`).join(' and ');
    const message = `containers ${users} run as different users, and the agent can signal only one of them`;
    diagnostics.invalid({ path, message });
  }
  if (first === undefined) return undefined;
  const [user, name] = first;
  const asked = settings['run-as-user'];
  if (asked.source === 'pod' && asked.value !== user) {
    const message = `${asked.text ?? ''} conflicts with ${path}: container "${name}" runs as UID ${user}, and only the same user can signal it`;
    diagnostics.invalid({ path: `${installation.annotationPrefix}/run-as-user`, message });
  }
  return user;
}

/** True if the platform assigns the users, or a setting gives the user of the image. */
function isSetElsewhere({ settings, installation }: UserInput): boolean {
  return !installation.agent.setUser || settings['run-as-user'].value !== undefined;
}
