/**
 * What the kubelet asks for, checked. Who the pod is comes from the kubelet's own keys alone.
 */
import { isAbsolute, normalize } from 'node:path';
import { VouchsafeError } from '../core/index.ts';
import { placeOf } from '../mounter/index.ts';
import type { NodePublishVolumeRequest } from './proto/csi.ts';
import { parsePodTokens, TOKENS_KEY, type PodTokens } from './tokens.ts';

/** Keys of the volume context with this prefix are the kubelet's: it overwrites what a pod's author wrote there. */
const KUBELET_PREFIX = 'csi.storage.k8s.io/';

/** Longest of what names something; the kubelet's own are shorter. */
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

/** What makes two requests for one volume the same. It survives JSON. */
export interface VolumeSpec {
  readonly volumeId: string;
  /** Where the files are to be. */
  readonly target: string;
  readonly pod: PodInfo;
  /** `volumeAttributes` of the pod, without anything of the kubelet's. */
  readonly attributes: Readonly<Record<string, string>>;
  /** fsGroup of the pod. */
  readonly group: number | null;
  /** `context="…"` of SELinux, as the kubelet says it. */
  readonly selinux: string | null;
}

/** A request to publish. */
export interface PublishRequest extends VolumeSpec {
  /** Undefined where the kubelet sent none. */
  readonly tokens: PodTokens | undefined;
}

/**
 * Reads a request.
 *
 * @throws VouchsafeError `ERR_CSI_REQUEST` with what is wrong, `ERR_CSI_TOKEN`.
 */
export function readPublishRequest(request: NodePublishVolumeRequest): PublishRequest {
  const volumeId = readVolumeId(request.volumeId);
  const target = readTarget(request.targetPath, 'target_path');
  const { group, selinux } = readCapability(request);
  const context = request.volumeContext;
  const pod = readPod(context);
  if (!request.readonly) {
    throw invalidRequest('the volume must be read-only: write readOnly: true beside its driver');
  }
  if (placeOf(target)?.pod !== pod.uid) {
    throw invalidRequest(
      `the target path is not pods/${pod.uid}/volumes/kubernetes.io~csi/NAME/mount: does the CSIDriver object say podInfoOnMount: true?`,
    );
  }
  const tokens = request.secrets.get(TOKENS_KEY) ?? context.get(TOKENS_KEY);
  const attributes = [...context].filter(([key]) => !key.startsWith(KUBELET_PREFIX));
  return {
    ...{ volumeId, target, pod, group, selinux },
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

/** A path that can be mounted at. @throws VouchsafeError `ERR_CSI_REQUEST` */
export function readTarget(path: string, name: string): string {
  if (path === '') throw invalidRequest(`${name} is missing`);
  const isPlain = isAbsolute(path) && normalize(path) === path && !path.endsWith('/');
  if (!isPlain || path.length > MAX_PATH || path.includes('\0')) {
    throw invalidRequest(`${name} is no absolute path in its shortest form`);
  }
  return path;
}

function readPod(context: ReadonlyMap<string, string>): PodInfo {
  const read = (key: string): string => {
    const value = context.get(`${KUBELET_PREFIX}${key}`) ?? '';
    if (value !== '' && value.length <= MAX_NAME) return value;
    throw invalidRequest(
      `the kubelet does not say ${KUBELET_PREFIX}${key}: the CSIDriver object needs podInfoOnMount: true`,
    );
  };
  if (read('ephemeral') !== 'true') {
    throw invalidRequest(
      'only ephemeral inline volumes can be had: write csi: into the volumes of a pod',
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
    throw invalidRequest('only a mounted volume can be had');
  if (!['', 'tmpfs'].includes(mount.fsType))
    throw invalidRequest('leave fsType out: the volume is a tmpfs');
  return { group: readGroup(mount.volumeMountGroup), selinux: readSelinux(mount.mountFlags) };
}

function readGroup(text: string): number | null {
  if (text === '') return null;
  const group = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (group <= 2 ** 32 - 2) return group;
  throw invalidRequest('volume_mount_group is no ID of a group');
}

/** Flags come from the kubelet where it labels the volume by mounting; there is no other use for any. */
function readSelinux(flags: readonly string[]): string | null {
  const [flag, ...more] = flags;
  if (flag === undefined) return null;
  if (more.length === 0 && /^context="?[A-Za-z0-9_.:,-]{1,512}"?$/.test(flag)) {
    return `context="${flag.slice('context='.length).replaceAll('"', '')}"`;
  }
  throw invalidRequest('of mount options only the context of SELinux can be given');
}

function invalidRequest(message: string): VouchsafeError {
  return new VouchsafeError('ERR_CSI_REQUEST', message);
}
