/**
 * Whether the files can be mounted where the settings say, in every container that sees them.
 */
import { posix } from 'node:path';
import type { Diagnostics } from './diagnostics.ts';
import { DIRECTORY } from './names.ts';
import type { Container, Named, Pod, VolumeMount } from './pod.ts';

/** Input of {@link checkMounts}. */
export interface MountCheckInput {
  readonly pod: Pod;
  /** The containers that see the files. */
  readonly consumers: readonly Container[];
  /** The setting `mount-path`. */
  readonly mountPath: string;
  readonly prefix: string;
}

/**
 * Reports a mount path that hides a directory of the system, meets another mount, or lies where the runtime cannot create
 * a mount point.
 */
export function checkMounts(input: MountCheckInput, diagnostics: Diagnostics): void {
  const { pod, consumers, mountPath, prefix } = input;
  const path = `${prefix}/mount-path`;
  const target = placeOf(mountPath);
  const hidden = hiddenBy(mountPath, target);
  if (hidden !== undefined) {
    diagnostics.invalid({ path, message: hidden });
    return;
  }
  const volumes = new Map((pod.spec.volumes ?? []).map((volume) => [volume.name, volume]));
  for (const container of consumers) {
    const message =
      meetingMount(container, mountPath, target) ??
      withoutMountPoint(container, { mountPath, target, volumes }) ??
      hiddenPart(container, mountPath, target);
    if (message !== undefined) diagnostics.invalid({ path, message });
  }
  if (mayMeetApiToken(input, target)) {
    diagnostics.warn(
      `${path} ${mountPath} contains the place of the service account's token: unless automountServiceAccountToken is false on the pod or its service account, the API server mounts the token there, and the containers cannot start`,
    );
  }
}

/** Links of nearly every image: a mount follows them. */
const LINKS: readonly (readonly [string, string])[] = [
  ['/var/run', '/run'],
  ['/var/lock', '/run/lock'],
];

/** Where a path of a container leads: normalized, absolute as the kubelet makes it, without the links of images. */
function placeOf(path: string): string {
  const normal = posix.normalize(`/${path}`).replace(/(?<!^)\/$/, '');
  const link = LINKS.find(([from]) => isWithin(normal, from));
  return link === undefined ? normal : link[1] + normal.slice(link[0].length);
}

/** True at and below `directory`. */
function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function isBelow(path: string, directory: string): boolean {
  return path !== directory && isWithin(path, directory);
}

/** Directories that programs of an image need; a mount at one of them hides all of it. */
const SYSTEM_DIRECTORIES: ReadonlySet<string> = new Set([
  '/',
  ...['/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib32', '/lib64', '/libx32', '/opt'],
  ...['/proc', '/root', '/run', '/run/lock', '/sbin', '/sys', '/tmp', '/usr', '/var'],
  ...['/usr/bin', '/usr/lib', '/usr/lib32', '/usr/lib64', '/usr/libexec', '/usr/libx32'],
  ...['/usr/local', '/usr/local/bin', '/usr/local/lib', '/usr/local/sbin', '/usr/sbin'],
  ...['/lib/aarch64-linux-gnu', '/lib/x86_64-linux-gnu'],
  ...['/usr/lib/aarch64-linux-gnu', '/usr/lib/x86_64-linux-gnu'],
  // The CAs of an image: without them its programs verify no server.
  ...['/etc/ca-certificates', '/etc/pki', '/etc/pki/ca-trust', '/etc/pki/tls'],
  ...['/etc/pki/tls/certs', '/etc/ssl', '/etc/ssl/certs', '/usr/share/ca-certificates'],
  ...['/usr/share', '/var/cache', '/var/lib', '/var/log', '/var/spool', '/var/tmp'],
]);

/** Files that the kubelet mounts into each container. */
const FILES_OF_THE_KUBELET = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'];

/** Files of nearly every image, where a directory cannot be mounted. */
const FILES_OF_IMAGES = ['/etc/group', '/etc/passwd', '/etc/shadow'];

/** Why nothing may be mounted there in any image. */
function hiddenBy(mountPath: string, target: string): string | undefined {
  if (SYSTEM_DIRECTORIES.has(target)) {
    const same = target === mountPath ? '' : ` (${target})`;
    return `must not be ${mountPath}${same}: the mount would hide a directory of the system; set a directory of its own, such as /vault/secrets`;
  }
  const ofImage = FILES_OF_IMAGES.find((one) => isWithin(target, one));
  if (ofImage !== undefined) return `must not be ${mountPath}: ${ofImage} is a file`;
  const file = FILES_OF_THE_KUBELET.find((one) => isWithin(target, one));
  return file === undefined
    ? undefined
    : `must not be ${mountPath}: the kubelet mounts a file at ${file}`;
}

/** A mount or device of the container at the path or below it. The files are mounted read-only, so both are conflicts. */
function meetingMount(container: Container, mountPath: string, target: string): string | undefined {
  const mount = container.volumeMounts?.find((one) => isWithin(placeOf(one.mountPath), target));
  if (mount !== undefined) {
    return `container "${container.name}" mounts volume "${mount.name}" at ${mount.mountPath}, which conflicts with ${mountPath}${sameAs(mount.mountPath, mountPath)}`;
  }
  const device = devicesOf(container).find(({ path }) => isWithin(placeOf(path), target));
  return device === undefined
    ? undefined
    : `container "${container.name}" has device "${device.name}" at ${device.path}, which conflicts with ${mountPath}`;
}

/** Explains why two paths that look different conflict. */
function sameAs(path: string, mountPath: string): string {
  const usesLink = [path, mountPath].some((one) => placeOf(one) !== posix.normalize(`/${one}`));
  const isObvious = isWithin(path, mountPath.replace(/\/$/, ''));
  return usesLink && !isObvious ? ': /var/run is /run, and /var/lock is /run/lock' : '';
}

function devicesOf({ volumeDevices }: Container): { readonly name: string; path: string }[] {
  return (volumeDevices ?? []).flatMap(({ name, devicePath }) =>
    typeof devicePath === 'string' ? [{ name, path: devicePath }] : [],
  );
}

/**
 * The runtime creates the mount point in the innermost mount around it, which it cannot if that is read-only or a file.
 * For the volumes of {@link MADE_BY_KUBELET} the kubelet creates it before.
 *
 * @see https://github.com/kubernetes/kubernetes/issues/121294
 */
function withoutMountPoint(
  container: Container,
  { mountPath, target, volumes }: Paths,
): string | undefined {
  const around = (container.volumeMounts ?? [])
    .filter((one) => isBelow(target, placeOf(one.mountPath)))
    .reduce<VolumeMount | undefined>(
      (inner, one) =>
        inner === undefined || placeOf(one.mountPath).length > placeOf(inner.mountPath).length
          ? one
          : inner,
      undefined,
    );
  const device = devicesOf(container).find(({ path }) => isBelow(target, placeOf(path)));
  if (device !== undefined) {
    return `${mountPath} is below the device "${device.name}" of container "${container.name}" at ${device.path}`;
  }
  if (around === undefined) return undefined;
  const reason = whyNoMountPoint(around, volumes.get(around.name));
  return reason === undefined
    ? undefined
    : `${mountPath} is below ${around.mountPath}, where container "${container.name}" mounts volume "${around.name}" ${reason}: the mount point cannot be created there; choose a path outside of it`;
}

interface Paths {
  readonly mountPath: string;
  readonly target: string;
  readonly volumes: ReadonlyMap<string, Named>;
}

/** The kubelet writes these volumes itself, with the mount points that containers need in them. */
const MADE_BY_KUBELET = ['configMap', 'secret', 'projected', 'downwardAPI', 'gitRepo'];

/** Types of a hostPath that are not directories. */
const FILE_TYPES: readonly unknown[] = [
  ...['File', 'FileOrCreate', 'Socket', 'CharDevice', 'BlockDevice'],
];

function whyNoMountPoint(mount: VolumeMount, volume: Named | undefined): string | undefined {
  const isPart = [mount['subPath'], mount['subPathExpr']].some(
    (part) => typeof part === 'string' && part !== '',
  );
  if (volume !== undefined && MADE_BY_KUBELET.some((kind) => isPresent(volume[kind]))) {
    // It creates mount points at the root of the volume only.
    return isPart ? 'by subPath' : undefined;
  }
  if (mount.readOnly === true) return 'read-only';
  if (volume === undefined) return undefined;
  if (isPresent(volume['image'])) return 'of an image, which is read-only';
  if (Object.values(volume).some((source) => fieldOf(source, 'readOnly') === true)) {
    return 'read-only';
  }
  const type = fieldOf(volume['hostPath'], 'type');
  return FILE_TYPES.includes(type) ? 'of a file' : undefined;
}

/** A program, working directory or termination message of the container that the mount would hide or break. */
function hiddenPart(container: Container, mountPath: string, target: string): string | undefined {
  const { name, command, workingDir, terminationMessagePath: log } = container;
  const program: unknown = Array.isArray(command) ? command[0] : undefined;
  const within = (path: unknown): path is string =>
    typeof path === 'string' && path.startsWith('/') && isWithin(placeOf(path), target);
  if (within(program)) {
    return `the mount at ${mountPath} would hide ${program}, the program of container "${name}"`;
  }
  if (within(workingDir) && placeOf(workingDir) !== target) {
    return `the mount at ${mountPath} would hide ${workingDir}, the working directory of container "${name}"`;
  }
  return within(log)
    ? `the termination message of container "${name}" is at ${log}, below ${mountPath}, which is read-only`
    : undefined;
}

/**
 * Whether the API server will mount a token at or below the target. Before it calls webhooks it has done so, but a
 * manifest does not show it yet.
 */
function mayMeetApiToken({ pod, consumers }: MountCheckInput, target: string): boolean {
  const token = placeOf(DIRECTORY.apiToken);
  if (!isWithin(token, target) || consumers.length === 0) return false;
  if (pod.spec.automountServiceAccountToken === false) return false;
  return consumers.every((one) =>
    (one.volumeMounts ?? []).every(({ mountPath }) => placeOf(mountPath) !== token),
  );
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
