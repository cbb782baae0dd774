/**
 * Checks the webhook configuration, the replicas of the webhook, and its CA.
 */
import { fieldsOf } from '../core/index.ts';
import { itemsOf, type ApiObject } from '../kubernetes/index.ts';
import { RESOURCE } from './cluster.ts';
import { fieldAt, PODS_WEBHOOK, textAt, type Context, type FoundInstallation } from './context.ts';
import { runCheck, type ResultWith, type Finding, type Result } from './finding.ts';
import { checkBundle } from './pem.ts';

/** Returns the installation; undefined where none was found. */
export async function* checkWebhook(
  context: Context,
): AsyncGenerator<Finding, FoundInstallation | undefined, undefined> {
  const { finding, value } = await runCheck('webhook', 'registered', () => findRegistered(context));
  yield finding;
  let installed = value;
  if (installed === undefined) {
    const found = await runCheck('webhook', 'installed', () => findDeployed(context));
    yield found.finding;
    installed = found.value;
  }
  if (installed === undefined) return undefined;
  const { name, namespace, configuration } = installed;
  const checks: readonly (readonly [string, () => Promise<Result>])[] = [
    ['deployment', () => deployment(context, name, namespace)],
    ['service', () => service(context, name, namespace)],
    ['endpoints', () => endpoints(context, name, namespace)],
  ];
  for (const [check, run] of checks) yield (await runCheck('webhook', check, run)).finding;
  if (configuration !== undefined) {
    const result = bundle(context, configuration, `deployment/${name} --namespace ${namespace}`);
    yield { group: 'webhook', check: 'ca-bundle', ...result };
  }
  return installed;
}

async function findRegistered(context: Context): Promise<ResultWith<FoundInstallation>> {
  const all = await context.cluster.list(RESOURCE.webhooks);
  const ours = all.filter((one) => podsWebhook(one) !== undefined);
  const chosen = ours.filter((one) => isChosen(context, one, installedBy(one).namespace));
  const [configuration, ...others] = chosen;
  if (configuration === undefined) {
    const message =
      ours.length === 0
        ? 'no MutatingWebhookConfiguration of Vouchsafe exists: no pod is injected'
        : `the installation does not exist; there is: ${ours.map(nameOf).join(', ')}`;
    const remedy = 'install the chart, or check --context, --install-namespace and --release';
    return { status: 'failure', message, remedy };
  }
  if (others.length > 0) {
    const message = `there are several installations: ${chosen.map(nameOf).join(', ')}`;
    const remedy = 'select one with --install-namespace or --release';
    return { status: 'failure', message, remedy };
  }
  const value = installedBy(configuration);
  const { name, namespace } = value;
  const message = `the API server calls the Service ${name} in namespace ${namespace}`;
  if (textAt(podsWebhook(configuration), 'failurePolicy') === 'Fail') {
    return { status: 'ok', message, value };
  }
  const remedy = 'set webhook.failurePolicy: Fail to deny them instead';
  const warning = `${message}, but lets pods start without secrets while the webhook does not answer`;
  return { status: 'warning', message: warning, remedy, value };
}

/** Fallback where the webhook configuration is missing or may not be read: the Deployment has the names, too. */
async function findDeployed(context: Context): Promise<ResultWith<FoundInstallation>> {
  const found = await context.cluster.list(RESOURCE.deployments, {
    namespace: context.installNamespace,
    labelSelector: 'app.kubernetes.io/name=vouchsafe,app.kubernetes.io/component=webhook',
  });
  const [only, ...others] = found.filter((one) =>
    isChosen(context, one, textAt(one, 'metadata', 'namespace')),
  );
  if (only === undefined || others.length > 0) {
    const message = `there is ${only === undefined ? 'no' : 'more than one'} Deployment of the webhook`;
    const remedy = 'select it with --install-namespace and --release';
    return { status: 'failure', message, remedy };
  }
  const { name = '' } = only.metadata;
  const namespace = textAt(only, 'metadata', 'namespace');
  const value: FoundInstallation = { name, namespace, configuration: undefined };
  return { status: 'ok', message: `Deployment ${name} in namespace ${namespace}`, value };
}

/** The webhook that is called for annotated pods. */
export function podsWebhook(configuration: ApiObject | undefined): unknown {
  return itemsOf(configuration?.['webhooks']).find(
    (webhook) => fieldsOf(webhook)['name'] === PODS_WEBHOOK,
  );
}

function installedBy(configuration: ApiObject): FoundInstallation {
  const service = fieldAt(podsWebhook(configuration), 'clientConfig', 'service');
  const name = textAt(service, 'name') || nameOf(configuration);
  return { name, namespace: textAt(service, 'namespace'), configuration };
}

function isChosen(
  { installNamespace, release }: Context,
  object: ApiObject,
  namespace: string,
): boolean {
  const instance = textAt(object, 'metadata', 'labels', 'app.kubernetes.io/instance');
  return (installNamespace ?? namespace) === namespace && (release ?? instance) === instance;
}

function nameOf({ metadata }: ApiObject): string {
  return metadata.name ?? '';
}

async function deployment({ cluster }: Context, name: string, namespace: string): Promise<Result> {
  const found = await cluster.get(RESOURCE.deployments, name, namespace);
  if (found === undefined) {
    return {
      status: 'warning',
      message: `Deployment ${name} in namespace ${namespace} does not exist`,
    };
  }
  const wanted = numberAt(fieldAt(found, 'spec', 'replicas'), 1);
  const there = numberAt(fieldAt(found, 'status', 'availableReplicas'), 0);
  const message = `${there} of ${wanted} replicas are available`;
  if (there >= wanted && there > 0) return { status: 'ok', message };
  const remedy = `kubectl --namespace ${namespace} describe pods --selector app.kubernetes.io/component=webhook`;
  return { status: there === 0 ? 'failure' : 'warning', message, remedy };
}

async function service({ cluster }: Context, name: string, namespace: string): Promise<Result> {
  const found = await cluster.get(RESOURCE.services, name, namespace);
  if (found !== undefined) return { status: 'ok', message: `Service ${name} exists` };
  const message = `Service ${name} in namespace ${namespace} does not exist: the API server cannot call the webhook`;
  return {
    status: 'failure',
    message,
    remedy: 'upgrade the release, so that Helm creates it again',
  };
}

async function endpoints({ cluster }: Context, name: string, namespace: string): Promise<Result> {
  const slices = await cluster.list(RESOURCE.endpointSlices, {
    namespace,
    labelSelector: `kubernetes.io/service-name=${name}`,
  });
  const all = slices.flatMap((slice) => itemsOf(slice['endpoints']));
  const ready = all.filter((one) => fieldAt(one, 'conditions', 'ready') !== false).length;
  if (ready > 0) return { status: 'ok', message: `${ready} of ${all.length} endpoints are ready` };
  const message = `0 of ${all.length} endpoints of the Service are ready`;
  const remedy = `kubectl --namespace ${namespace} logs deployment/${name}`;
  return { status: 'failure', message, remedy };
}

/** Every webhook of the configuration has its own caBundle; the worst result is reported. */
function bundle({ clock }: Context, { webhooks }: ApiObject, logs: string): Result {
  const results = itemsOf(webhooks).map((webhook) => {
    const text = Buffer.from(textAt(webhook, 'clientConfig', 'caBundle'), 'base64').toString();
    const { status, message } = checkBundle(text, clock.now());
    return { status, message: `the caBundle of ${textAt(webhook, 'name')} ${message}` };
  });
  const [first = { status: 'failure', message: 'there is no caBundle' }] = results;
  const isGood = results.every(({ status }) => status === 'ok');
  if (isGood) return first;
  const worst = ['failure', 'warning'].flatMap((bad) =>
    results.filter((one) => one.status === bad),
  );
  return { ...(worst[0] ?? first), remedy: `find out why it is not renewed: kubectl logs ${logs}` };
}

function numberAt(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}
