/**
 * What an old cluster cannot give an agent.
 */
import type { Needs } from './build-document.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { PlanInput } from './injection-types.ts';

/** The first minor version with ClusterTrustBundles behind feature gates, and the first one that has them by default. */
const TRUST_BUNDLES = { gated: 33, general: 37 };

/** True before `v1.MINOR`; a version that cannot be parsed is taken as new. */
export function isBefore(version: string, minor: number): boolean {
  const [, major, found] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  return major !== undefined && Number(major) === 1 && Number(found) < minor;
}

/** Reports a CA in ClusterTrustBundles, from which an old API server would drop the volume's source without a word. */
export function checkTrustBundle(
  { settings, installation, kubeVersion }: PlanInput,
  needs: Needs,
  diagnostics: Diagnostics,
): void {
  if (needs.vault?.clusterTrustBundle === undefined || kubeVersion === undefined) return;
  if (!isBefore(kubeVersion, TRUST_BUNDLES.general)) return;
  const path = `${installation.annotationPrefix}/vault`;
  const name = settings.settings.vault.value ?? installation.vault.default;
  const where = `the CA of connection "${name}" is in ClusterTrustBundles (clusterTrustBundle)`;
  if (isBefore(kubeVersion, TRUST_BUNDLES.gated)) {
    const message = `${where}, which require Kubernetes 1.37, and this is ${kubeVersion}: set caPem or caConfigMap of the connection`;
    diagnostics.invalid({ path, message });
  } else {
    diagnostics.warn(
      `${path}: ${where}: before Kubernetes 1.37, and this is ${kubeVersion}, the agent sees them only with the feature gates ClusterTrustBundle and ClusterTrustBundleProjection of API server and kubelets`,
    );
  }
}
