/** The first minor version of Kubernetes 1 whose kubelets read environment variables from files. */
export const ENV_FILES_MINOR = 35;

/** True before `v1.MINOR`; a version that cannot be parsed is taken as new. */
export function isBefore(version: string, minor: number): boolean {
  const [, found] = /^v?1\.(\d+)/.exec(version) ?? [];
  return found !== undefined && Number(found) < minor;
}
