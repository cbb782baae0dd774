/**
 * The one path below the kubelet's directory where a volume of a pod can be mounted.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/csi/csi_util.go `getTargetPath`
 */
import { join } from 'node:path';

/** A volume of a pod. */
export interface Place {
  /** UID of the pod. */
  readonly pod: string;
  /** Name of the volume in the pod. */
  readonly volume: string;
}

/** Directories between those of pod and volume. */
export const BETWEEN = ['volumes', 'kubernetes.io~csi'] as const;

/** The mount point in the directory of the volume. */
export const TARGET = 'mount';

/** UIDs are UUIDs; those of static pods are hashes. */
const POD = /^[0-9A-Za-z](?:[0-9A-Za-z-]{0,126}[0-9A-Za-z])?$/;
/** A DNS subdomain, as the API server checks it. */
const VOLUME = /^[0-9a-z](?:[0-9a-z.-]{0,251}[0-9a-z])?$/;

/** Whether both are valid names of the kubelet's directories: neither `..` nor with a slash. */
export function isPlace({ pod, volume }: Place): boolean {
  return POD.test(pod) && VOLUME.test(volume);
}

/** The volume whose target path this is; undefined for any other path. */
export function placeOf(target: string): Place | undefined {
  const segments = target.split('/');
  const [pods, pod = '', ...rest] = segments.slice(-6);
  const volume = rest[2] ?? '';
  if (pods !== 'pods' || rest.join('/') !== [...BETWEEN, volume, TARGET].join('/'))
    return undefined;
  return isPlace({ pod, volume }) ? { pod, volume } : undefined;
}

/** The target path of a volume; `pods` is the kubelet's directory of pods. */
export function targetOf(pods: string, { pod, volume }: Place): string {
  return join(pods, pod, ...BETWEEN, volume, TARGET);
}
