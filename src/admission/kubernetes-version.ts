/**
 * What an old cluster cannot give an agent.
 */
import { isBefore } from '../core/index.ts';
import type { Needs } from './build-document.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { PlanInput } from './injection-types.ts';

/** The first minor version with ClusterTrustBundles behind feature gates, and the first one that has them by default. */
const TRUST_BUNDLES = { gated: 33, general: 37 };

/** Reports a CA in ClusterTrustBundles, from which an old API server would drop the volume's source without a word. */
export function checkTrustBundle(
  { installation, kubeVersion }: PlanInput,
  { logins }: Needs,
  diagnostics: Diagnostics,
): void {
  const login = logins.find(({ connection }) => connection.clusterTrustBundle !== undefined);
  if (login === undefined || kubeVersion === undefined) return;
  if (!isBefore(kubeVersion, TRUST_BUNDLES.general)) return;
  const path = `${installation.annotationPrefix}/${login.settings.vault}`;
  const where = `the CA of connection "${login.chosen}" is in ClusterTrustBundles (clusterTrustBundle)`;
  if (isBefore(kubeVersion, TRUST_BUNDLES.gated)) {
    const message = `${where}, which require Kubernetes 1.37, and this is ${kubeVersion}: set caPem or caConfigMap of the connection`;
    diagnostics.invalid({ path, message });
  } else {
    diagnostics.warn(
      `${path}: ${where}: before Kubernetes 1.37, and this is ${kubeVersion}, the agent sees them only with the feature gates ClusterTrustBundle and ClusterTrustBundleProjection of API server and kubelets`,
    );
  }
}
