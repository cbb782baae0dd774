/** The release in the cluster: installed again or otherwise, and its replicas. */
import { admits } from './asking.ts';
import type { List, Pod } from './objects.ts';
import { CHART, RELEASE, VALUES_FILE } from './release.ts';
import { api, eventually, helm, isReady, Space } from './suite.ts';

/** Installs the chart as the suite has it, or with other values; the replicas that were there before are gone then. */
export async function install(...more: readonly string[]): Promise<void> {
  const flags = [`--namespace=${RELEASE}`, '--wait', '--timeout=2m', `--values=${VALUES_FILE}`];
  await helm('upgrade', '--install', RELEASE, CHART, ...flags, ...more);
  await eventually('those that were replaced have ended', async () => {
    const { items } = await webhookPods();
    return items.every((pod) => isReady(pod) && !('deletionTimestamp' in pod.metadata))
      ? true
      : undefined;
  });
  await answers();
}

/** Waits until the API server reaches the webhook: kube-proxy learns of replicas a little later than others. */
export async function answers(): Promise<void> {
  await using space = await Space.create();
  await eventually('the Service leads to the webhook', async () => {
    await admits(space);
    return true;
  });
}

/** Replicas of the webhook, those that end among them. */
export function webhookPods(): Promise<List<Pod>> {
  const selector = 'app.kubernetes.io%2Fcomponent%3Dwebhook';
  return api.get(`/api/v1/namespaces/${RELEASE}/pods?labelSelector=${selector}`);
}
