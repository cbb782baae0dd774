/**
 * The end-to-end check: an annotated pod is created as a dry run, which the API server sends to the webhook.
 *
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
 */
import { serverMessageOf, statusOf, type ApiObject } from '../kubernetes/index.ts';
import { RESOURCE, rightOf } from './cluster.ts';
import { fieldAt, PODS_WEBHOOK, textAt, type Context, type FoundInstallation } from './context.ts';
import { quoted, runCheck, resultOfApiError, type Finding, type Result } from './finding.ts';
import { restrictedPod } from './pod.ts';
import { selects } from './selector.ts';
import { podsWebhook } from './webhook.ts';

/** Remedies, by the error of the API server when it could not call the webhook. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/x509|certificate|tls:/i, 'the API server does not trust the webhook: see the caBundle above'],
  [/no endpoints available/i, 'no replica is ready: see the Deployment above'],
  [/service .*not found/i, 'the Service does not exist: upgrade the release'],
  [
    /deadline exceeded|timeout|timed out|no route/i,
    'check whether a firewall or NetworkPolicy blocks the API server; webhook.port and webhook.hostNetwork may help',
  ],
  [/connection refused/i, 'nothing listens on the port of the Service: see the Deployment above'],
];

/** Sends a pod through the webhook without creating it. */
export async function* checkAdmission(
  context: Context,
  installed: FoundInstallation,
  prefix: string,
): AsyncGenerator<Finding, void, undefined> {
  const run = (): Promise<Result> => dryRun(context, installed, prefix);
  yield (await runCheck('webhook', 'admits', run)).finding;
}

async function dryRun(
  context: Context,
  installed: FoundInstallation,
  prefix: string,
): Promise<Result> {
  const { cluster, clock, namespace = 'default' } = context;
  const webhook = podsWebhook(installed.configuration);
  const labels = await namespaceLabels(context, namespace);
  if (webhook !== undefined && !selects(fieldAt(webhook, 'namespaceSelector'), labels)) {
    const message = `pods of namespace ${namespace} are not sent to the webhook`;
    return { status: 'unknown', message, remedy: 'set another namespace with --namespace' };
  }
  const pod = restrictedPod({
    // Labels that the webhook configuration selects, so that the pod is sent.
    labels: fieldAt(webhook, 'objectSelector', 'matchLabels'),
    annotations: { [`${prefix}/inject`]: 'true', [`${prefix}/template-check`]: 'checked' },
    container: { image: 'vouchsafe-check' },
  });
  const startMs = clock.monotonicMs();
  try {
    const created = await cluster.createPod(pod, namespace, true);
    const tookMs = Math.ceil(clock.monotonicMs() - startMs);
    return resultOfPod(created, prefix, tookMs);
  } catch (error) {
    return resultOfError(error, namespace);
  }
}

async function namespaceLabels({ cluster }: Context, namespace: string): Promise<unknown> {
  const name = { 'kubernetes.io/metadata.name': namespace };
  try {
    return fieldAt(await cluster.get(RESOURCE.namespaces, namespace), 'metadata', 'labels') ?? name;
  } catch (error) {
    if (statusOf(error) === 403) return name;
    throw error;
  }
}

function resultOfPod(created: ApiObject, prefix: string, tookMs: number): Result {
  if (textAt(created, 'metadata', 'annotations', `${prefix}/injected`) !== '') {
    const message = `a test pod (dry run) was injected in ${tookMs} ms: the webhook is reachable and trusted`;
    return { status: 'ok', message };
  }
  const message = 'a test pod (dry run) was not injected: the API server did not call the webhook';
  const remedy = 'check matchConditions and selectors of the MutatingWebhookConfiguration';
  return { status: 'failure', message, remedy };
}

function resultOfError(error: unknown, namespace: string): Result {
  const refusal = serverMessageOf(error);
  if (refusal === undefined) return resultOfApiError(error);
  const said = quoted(refusal);
  if (said.includes(`"${PODS_WEBHOOK}" denied the request`)) {
    const message = `the webhook is reachable and trusted; it denied a test pod (dry run): ${said}`;
    return { status: 'ok', message };
  }
  if (said.includes(`calling webhook "${PODS_WEBHOOK}"`)) {
    const remedy = REMEDIES.find(([pattern]) => pattern.test(said))?.[1];
    const message = `the API server could not call the webhook: ${said}`;
    return { status: 'failure', message, ...(remedy !== undefined && { remedy }) };
  }
  if (said.includes('ValidatingAdmissionPolicy') && said.includes('Vouchsafe')) {
    return {
      status: 'failure',
      message: `the API server did not send a test pod (dry run) to the webhook: ${said}`,
    };
  }
  const needs = rightOf('create', RESOURCE.pods, namespace);
  const isRight = statusOf(error) === 403 && said.includes('cannot create resource');
  const message = isRight
    ? needs
    : `a test pod (dry run) was denied, but not by the webhook: ${said}`;
  const remedy = 'set another namespace with --namespace';
  return { status: 'unknown', message: `could not be checked: ${message}`, remedy };
}
