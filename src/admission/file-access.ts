/**
 * Whether the containers that see the files can read them: a mode that shuts them out is reported, and private keys are
 * for their owner where that is possible.
 */
import { x509Files, type FileSettings, type Settings } from '../config/annotations/index.ts';
import { fieldsOf, listUpTo } from '../core/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { Container, Pod } from './pod.ts';
import { userOf } from './user.ts';

/** Who writes the files: UID and GID, undefined where the manifest does not say. */
export interface FileOwner {
  readonly user: number | undefined;
  readonly group: number | undefined;
  /** `the agent` */
  readonly name: string;
}

/** Input of {@link checkModes} and {@link keyModeOf}. */
export interface FileAccessInput {
  readonly pod: Pod;
  readonly settings: Settings;
  readonly files: readonly FileSettings[];
  readonly consumers: readonly Container[];
  readonly owner: FileOwner;
  readonly prefix: string;
}

/** Read permission of owner, group and others. */
const OWNER_READS = '0400';
const GROUP_READS = 0o040;
const OTHERS_READ = 0o004;

/**
 * The mode of private keys, unless a setting decides: 0400 where the owner and all readers are one user, since libpq, ssh
 * and others reject a key that its group can read. Undefined where some reader would be shut out.
 */
export function keyModeOf(input: FileAccessInput): string | undefined {
  const isChosen = input.settings['file-mode'].value !== undefined;
  return !isChosen && isOneUser(input) ? OWNER_READS : undefined;
}

function isOneUser({ pod, consumers, owner }: FileAccessInput): boolean {
  return consumers.length > 0 && consumers.every((one) => userOf(pod, one) === owner.user);
}

/** Reports modes that somebody chose and with which containers cannot read the files, and keys that are too open. */
export function checkModes(input: FileAccessInput, diagnostics: Diagnostics): void {
  const { consumers, owner } = input;
  if (consumers.length === 0) return;
  for (const chosen of chosenModes(input)) {
    if (owner.user !== undefined) checkReaders(chosen, input, diagnostics);
    checkKey(chosen, input, diagnostics);
  }
}

/** A mode that some level sets. */
interface ChosenMode {
  /** The setting, with its level if that is not the pod. */
  readonly path: string;
  readonly text: string;
  readonly mode: number;
  /** Name of the file with the X.509-SVID's key, if it is the mode of that. */
  readonly key: string | undefined;
}

function chosenModes({ settings, files, prefix }: FileAccessInput): readonly ChosenMode[] {
  const x509 = x509Files(settings);
  const names = new Set<string>([
    ...x509.map(({ name }) => name),
    ...files.map(({ name }) => name),
  ]);
  const own = files.flatMap(({ name, 'file-mode': mode }) =>
    mode === undefined ? [] : [{ name, mode }],
  );
  for (const { name } of own) names.delete(name);
  const key = x509.find(({ hasKey }) => hasKey)?.name;
  const chosen = own.map(({ name, mode }) => ({
    path: `${prefix}/file-mode-${name}`,
    text: mode.text ?? '',
    mode: mode.value,
    key: name === key ? key : undefined,
  }));
  const { value, text = '', source } = settings['file-mode'];
  if (value === undefined || names.size === 0) return chosen;
  const level = source === 'pod' ? '' : ` of the ${source}`;
  const path = `${prefix}/file-mode${level}`;
  return [
    { path, text, mode: value, key: key !== undefined && names.has(key) ? key : undefined },
    ...chosen,
  ];
}

function checkReaders(
  { path, text, mode }: ChosenMode,
  { pod, consumers, owner }: FileAccessInput,
  diagnostics: Diagnostics,
): void {
  const by = (access: Access): readonly Container[] =>
    consumers.filter((one) => accessOf(one, { pod, owner, mode }) === access);
  const [denied, unknown] = [by('no'), by('unknown')];
  const who = `${owner.name} (UID ${owner.user}) owns the files`;
  const remedy =
    'set the same runAsUser, or a mode that group or others can read, such as 0440 with an fsGroup';
  if (denied.length === consumers.length) {
    const message = `with ${text} no container can read the files: ${who}, and ${listed(denied)} ${runs(denied)} as another user: ${remedy}`;
    diagnostics.invalid({ path, message });
    return;
  }
  if (denied.length > 0) {
    diagnostics.warn(
      `${path}: with ${text} ${listed(denied)} cannot read the files: ${who}, and ${denied.length === 1 ? 'it' : 'they'} ${runs(denied)} as another user`,
    );
  }
  if (unknown.length > 0) {
    diagnostics.warn(
      `${path}: with ${text} ${listed(unknown)} may be unable to read the files: ${who}, and the manifest does not say which user and group the image runs as: ${remedy}`,
    );
  }
}

function runs(containers: readonly Container[]): string {
  return containers.length === 1 ? 'runs' : 'run';
}

/** Names in a message. */
const MAX_NAMES = 5;

function listed(containers: readonly Container[]): string {
  const names = containers.map(({ name }) => `"${name}"`);
  return `container${containers.length === 1 ? '' : 's'} ${listUpTo(names, MAX_NAMES)}`;
}

type Access = 'yes' | 'no' | 'unknown';

/** Whether a container can read a file: owner, then group, then others, and only the first that applies decides. */
function accessOf(
  container: Container,
  file: { readonly pod: Pod; readonly owner: FileOwner; readonly mode: number },
): Access {
  const { pod, owner } = file;
  const user = userOf(pod, container);
  if (user === owner.user || (user === 0 && overridesPermissions(container))) return 'yes';
  const asStranger = strangerAccess(container, file);
  return user === undefined && asStranger === 'no' ? 'unknown' : asStranger;
}

/** Whether root has the capability DAC_OVERRIDE, which runtimes give it by default. */
function overridesPermissions({ securityContext }: Container): boolean {
  if (securityContext?.['privileged'] === true) return true;
  const { add, drop } = fieldsOf(securityContext?.['capabilities']);
  return hasOverride(add) || !hasOverride(drop);
}

function hasOverride(names: unknown): boolean {
  return (
    Array.isArray(names) && names.some((one) => /^(all|(cap_)?dac_override)$/i.test(String(one)))
  );
}

/** The access of a user who does not own the file. */
function strangerAccess(
  container: Container,
  { pod, owner, mode }: { readonly pod: Pod; readonly owner: FileOwner; readonly mode: number },
): Access {
  const [byGroup, byOthers] = [(mode & GROUP_READS) !== 0, (mode & OTHERS_READ) !== 0];
  if (byGroup === byOthers) return byGroup ? 'yes' : 'no';
  const isMember = isInGroup(container, pod, owner.group);
  if (isMember === undefined) return 'unknown';
  return (isMember ? byGroup : byOthers) ? 'yes' : 'no';
}

/** Whether a container has the group of the files; undefined where the image decides. */
function isInGroup(
  { securityContext }: Container,
  pod: Pod,
  group: number | undefined,
): boolean | undefined {
  const ofPod = pod.spec.securityContext ?? {};
  // The volume's group, which every container has.
  if (typeof ofPod.fsGroup === 'number') return true;
  const primary = securityContext?.runAsGroup ?? ofPod.runAsGroup;
  const more: unknown = ofPod['supplementalGroups'];
  const isMember = group === primary || (Array.isArray(more) && more.includes(group));
  if (group === undefined) return undefined;
  return isMember || (typeof primary === 'number' ? false : undefined);
}

/** Warns of a key that the group can read although all readers own it; one that all can read has its own warning. */
function checkKey(
  { path, text, mode, key }: ChosenMode,
  input: FileAccessInput,
  diagnostics: Diagnostics,
): void {
  const isOpen = (mode & GROUP_READS) !== 0 && (mode & OTHERS_READ) === 0;
  if (key === undefined || !isOpen || !isOneUser(input)) return;
  diagnostics.warn(
    `${path}: with ${text} the group can read the private key ${key}, which libpq, ssh and others reject: set ${input.prefix}/file-mode-${key}: "${OWNER_READS}"`,
  );
}
