/**
 * Maps a pod's volumes to directories of this machine.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { VouchsafeError } from '../../core/index.ts';

/** A volume of a pod, as in the manifest. */
export interface Volume {
  readonly name: string;
  readonly configMap?: {
    readonly name?: string;
    readonly items?: readonly { readonly key: string; readonly path: string }[];
  };
  readonly projected?: {
    readonly sources?: readonly {
      readonly serviceAccountToken?: { readonly audience?: string; readonly path: string };
    }[];
  };
}

/** A ConfigMap of the manifest. */
export interface ConfigMap {
  readonly name: string;
  readonly data: Readonly<Record<string, string>>;
}

export interface VolumeOptions {
  /** Parent of the directories of volumes. */
  readonly directory: string;
  /** Volumes with a directory elsewhere. */
  readonly places: ReadonlyMap<string, string>;
  readonly configMaps: readonly ConfigMap[];
  /** Mints the token of a projected volume. */
  readonly serviceAccountToken: (audience: string) => Promise<string>;
}

/** Creates the directory of a volume with the files that the kubelet would put there; returns its path. */
export async function makeVolume(volume: Volume, options: VolumeOptions): Promise<string> {
  const directory = options.places.get(volume.name) ?? join(options.directory, volume.name);
  await mkdir(directory, { recursive: true });
  if (volume.configMap !== undefined) await fillConfigMap(volume, directory, options.configMaps);
  for (const { serviceAccountToken } of volume.projected?.sources ?? []) {
    if (serviceAccountToken === undefined) continue;
    const token = await options.serviceAccountToken(serviceAccountToken.audience ?? 'vault');
    await writeFile(join(directory, serviceAccountToken.path), token, { mode: 0o600 });
  }
  return directory;
}

/** The local path of a path inside a container; the same path if no volume is mounted there. */
export function localPath(
  path: string,
  mounts: readonly { readonly name: string; readonly mountPath: string }[],
  directories: ReadonlyMap<string, string>,
): string {
  const within = mounts
    .filter(({ mountPath }) => path === mountPath || path.startsWith(`${mountPath}/`))
    .sort((a, b) => b.mountPath.length - a.mountPath.length)[0];
  const directory = within === undefined ? undefined : directories.get(within.name);
  if (within === undefined || directory === undefined) return path;
  return join(directory, relative(within.mountPath, path));
}

async function fillConfigMap(
  volume: Volume,
  directory: string,
  configMaps: readonly ConfigMap[],
): Promise<void> {
  const wanted = volume.configMap?.name ?? '';
  const configMap = configMaps.find(({ name }) => name === wanted);
  if (configMap === undefined) {
    throw new VouchsafeError(
      'ERR_CONFIG_INVALID',
      `the pod mounts ConfigMap ${wanted}; add it to the same manifest file, because there is no cluster to read it from`,
    );
  }
  const all = Object.keys(configMap.data).map((key) => ({ key, path: key }));
  for (const { key, path } of volume.configMap?.items ?? all) {
    const text = configMap.data[key];
    if (text === undefined) {
      throw new VouchsafeError('ERR_CONFIG_INVALID', `ConfigMap ${wanted} has no key ${key}`);
    }
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
  }
}
