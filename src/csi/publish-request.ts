/**
 * Checks the kubelet's publish requests. The pod's identity comes only from keys that the kubelet sets.
 */
import { isAbsolute, normalize } from 'node:path';
import { VouchsafeError } from '../core/index.ts';
import { placeOf } from '../mounter/index.ts';
import type { NodePublishVolumeRequest } from './proto/csi.ts';
import { parsePodTokens, TOKENS_KEY, type PodTokens } from './service-account-tokens.ts';

/** The kubelet sets the keys with this prefix in the volume context, and overwrites those of a pod's author. */
const KUBELET_PREFIX = 'csi.storage.k8s.io/';

/** Longest name or ID, in characters; those of the kubelet are shorter. */
const MAX_NAME = 256;
/** PATH_MAX of Linux. */
const MAX_PATH = 4096;

/** The pod that a volume is for. */
export interface PodInfo {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount: string;
}

/** The part of a request that must not change between two calls for one volume. It survives JSON. */
export interface VolumeSpec {
  readonly volumeId: string;
  /** Target path: where the files are to be. */
  readonly target: string;
  readonly pod: PodInfo;
  /** `volumeAttributes` of the pod, without the kubelet's keys. */
  readonly attributes: Readonly<Record<string, string>>;
  /** fsGroup of the pod; null without one. */
  readonly group: number | null;
  /** Mount option `context="…"` of SELinux; null without one. */
  readonly selinux: string | null;
}

/** A request to publish. */
export interface PublishRequest extends VolumeSpec {
  /** Undefined if the kubelet sent none. */
  readonly tokens: PodTokens | undefined;
}

/**
 * Parses a request.
 *
 * @throws VouchsafeError `ERR_CSI_REQUEST`, `ERR_CSI_TOKEN`
 */
export function readPublishRequest(request: NodePublishVolumeRequest): PublishRequest {
  const volumeId = readVolumeId(request.volumeId);
  const target = readTarget(request.targetPath, 'target_path');
  const { group, selinux } = readCapability(request);
  const context = request.volumeContext;
  const pod = readPod(context);
  if (!request.readonly) {
    throw invalidRequest('the volume must be read-only: set readOnly: true beside its driver');
  }
  if (placeOf(target)?.pod !== pod.uid) {
    throw invalidRequest(
      `the target path is not pods/${pod.uid}/volumes/kubernetes.io~csi/NAME/mount: does the CSIDriver object set podInfoOnMount: true?`,
    );
  }
  const tokens = request.secrets.get(TOKENS_KEY) ?? context.get(TOKENS_KEY);
  const attributes = [...context].filter(([key]) => !key.startsWith(KUBELET_PREFIX));
  return {
    volumeId,
    target,
    pod,
    group,
    selinux,
    attributes: Object.fromEntries(attributes),
    tokens: tokens === undefined ? undefined : parsePodTokens(tokens, pod),
  };
}

/** @throws VouchsafeError `ERR_CSI_REQUEST` */
export function readVolumeId(volumeId: string): string {
  if (volumeId === '') throw invalidRequest('volume_id is missing');
  if (volumeId.length > MAX_NAME) throw invalidRequest('volume_id is too long');
  return volumeId;
}

/** Checks a path to mount at; `name` is that of its field. @throws VouchsafeError `ERR_CSI_REQUEST` */
export function readTarget(path: string, name: string): string {
  if (path === '') throw invalidRequest(`${name} is missing`);
  const isPlain = isAbsolute(path) && normalize(path) === path && !path.endsWith('/');
  if (!isPlain || path.length > MAX_PATH || path.includes('\0')) {
    throw invalidRequest(`${name} is not a normalized absolute path`);
  }
  return path;
}

function readPod(context: ReadonlyMap<string, string>): PodInfo {
  const read = (key: string): string => {
    const value = context.get(`${KUBELET_PREFIX}${key}`) ?? '';
    if (value !== '' && value.length <= MAX_NAME) return value;
    throw invalidRequest(
      `the kubelet did not send ${KUBELET_PREFIX}${key}: the CSIDriver object must set podInfoOnMount: true`,
    );
  };
  if (read('ephemeral') !== 'true') {
    throw invalidRequest(
      'only ephemeral inline volumes are supported: use csi: in the volumes of a pod',
    );
  }
  return {
    namespace: read('pod.namespace'),
    name: read('pod.name'),
    uid: read('pod.uid'),
    serviceAccount: read('serviceAccount.name'),
  };
}

function readCapability({ volumeCapability }: NodePublishVolumeRequest): {
  readonly group: number | null;
  readonly selinux: string | null;
} {
  if (volumeCapability === undefined) throw invalidRequest('volume_capability is missing');
  const { mount, block } = volumeCapability;
  if (block !== undefined || mount === undefined)
    throw invalidRequest('only mounted volumes are supported, not block devices');
  if (!['', 'tmpfs'].includes(mount.fsType))
    throw invalidRequest('remove fsType: the volume is a tmpfs');
  return { group: readGroup(mount.volumeMountGroup), selinux: readSelinux(mount.mountFlags) };
}

function readGroup(text: string): number | null {
  if (text === '') return null;
  const group = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (group <= 2 ** 32 - 2) return group;
  throw invalidRequest('volume_mount_group is not a valid group ID');
}

/** The kubelet sends a mount flag only to label the volume for SELinux. */
function readSelinux(flags: readonly string[]): string | null {
  const [flag, ...more] = flags;
  if (flag === undefined) return null;
  if (more.length === 0 && /^context="?[A-Za-z0-9_.:,-]{1,512}"?$/.test(flag)) {
    return `context="${flag.slice('context='.length).replaceAll('"', '')}"`;
  }
  throw invalidRequest('the only supported mount option is the SELinux context');
}

function invalidRequest(message: string): VouchsafeError {
  return new VouchsafeError('ERR_CSI_REQUEST', message);
}
