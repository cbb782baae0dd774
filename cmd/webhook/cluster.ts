/**
 * What the webhook has besides its listeners when it runs in a cluster: a watch on namespaces, Events, and certificates
 * that the API server trusts by its configuration. Wiring only.
 */
import {
  OwnCertificates,
  WebhookConfiguration,
  SvidCertificates,
  TrustedCertificates,
  type Certificates,
} from '../../src/webhook-certificates/index.ts';
import type { Installation } from '../../src/config/installation/index.ts';
import { VouchsafeError, type Clock, type Logger, type Metrics } from '../../src/core/index.ts';
import {
  createKubernetesApi,
  listOldNodes,
  EventRecorder,
  watchNamespaces,
  inClusterAccess,
  kubeconfigAccess,
  type KubernetesApi,
} from '../../src/kubernetes/index.ts';
import type { Task } from '../../src/async/index.ts';
import { environmentVariable, readTextFile, systemRandom } from '../../src/platform/index.ts';
import type {
  AdmissionEvent,
  NamespaceLookup,
  WebhookServerOptions,
} from '../../src/webhook/index.ts';
import { createIdentity, createWorkloadApi } from '../../src/spiffe/index.ts';

/** Names of the webhook's own objects. Without `webhookConfiguration`, certificates are only read from files. */
export interface OwnObjects {
  readonly service: string | undefined;
  readonly tlsSecret: string | undefined;
  readonly lease: string | undefined;
  readonly webhookConfiguration: string | undefined;
}

export interface ClusterOptions {
  readonly installation: Installation;
  readonly objects: OwnObjects;
  /** Certificates from files, for the DNS name of the service where that is known. */
  readonly files: (serverName?: string) => Certificates;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** The parts of the webhook server that need the API server. */
export interface Cluster {
  readonly namespaces: NamespaceLookup;
  readonly isKnownNamespace: (namespace: string) => boolean;
  readonly oldNodes: WebhookServerOptions['oldNodes'];
  readonly recordEvent: ((notice: AdmissionEvent) => void) | undefined;
  readonly certificates: Certificates;
  readonly backgroundTasks: readonly Task[];
}

/** Connects with the service account of the pod; outside of a cluster, with the current kubeconfig. */
export async function connectCluster(options: ClusterOptions): Promise<Cluster> {
  const { installation, clock, logger, metrics } = options;
  const host = environmentVariable('KUBERNETES_SERVICE_HOST');
  const port = environmentVariable('KUBERNETES_SERVICE_PORT') ?? '443';
  const access =
    host === undefined
      ? await kubeconfigAccess()
      : inClusterAccess({ host, port, read: readTextFile, clock });
  const api = createKubernetesApi(access, clock);
  const prefix = installation.annotationPrefix;
  const common = { api, clock, logger, random: systemRandom };
  const namespaces = watchNamespaces({ ...common, prefix });
  // The right to list nodes is granted only with variables.
  const oldNodes = installation.env.enabled ? listOldNodes(common) : undefined;
  const instance = environmentVariable('POD_NAME');
  // Events name the reporting pod, so there are none outside of a cluster.
  const events =
    installation.events.enabled && instance !== undefined
      ? new EventRecorder({ ...common, controller: `${prefix}/webhook`, instance, metrics })
      : undefined;
  return {
    namespaces: namespaces.lookup,
    isKnownNamespace: namespaces.has,
    oldNodes: oldNodes?.current,
    recordEvent:
      events &&
      ((notice) => {
        // The chart excludes this namespace; a webhook that was installed by hand may not.
        if (notice.namespace !== environmentVariable('POD_NAMESPACE')) events.record(notice);
      }),
    certificates: certificatesOf(options, api),
    backgroundTasks: [
      namespaces.run,
      ...(oldNodes ? [oldNodes.run] : []),
      ...(events ? [(signal: AbortSignal) => events.run(signal)] : []),
    ],
  };
}

function certificatesOf(options: ClusterOptions, api: KubernetesApi): Certificates {
  const { objects, installation, files, clock, logger } = options;
  if (objects.webhookConfiguration === undefined) return files();
  const name = objects.webhookConfiguration;
  const configuration = new WebhookConfiguration({
    api,
    name,
    clock,
    logger,
    random: systemRandom,
  });
  const namespace = environmentVariable('POD_NAMESPACE');
  const service = requireSet(objects.service, '--service');
  const serverName = `${service}.${requireSet(namespace, 'the variable POD_NAMESPACE')}.svc`;
  const trusted = { configuration, serverName, clock, logger };
  const { mode, caBundle } = installation.certificate;
  if (mode === 'own') {
    const source = ownCertificates(options, api, { configuration, serverName });
    const patchMode = (): 'exact' | 'missing' => (source.isLeader ? 'exact' : 'missing');
    return new TrustedCertificates({ ...trusted, source, patchMode });
  }
  const isPatched = mode === 'spiffe' || (mode === 'secret' && caBundle === undefined);
  const source = mode === 'spiffe' ? svidCertificates(options, serverName) : files(serverName);
  return new TrustedCertificates({
    ...trusted,
    source,
    patchMode: () => (isPatched ? 'missing' : 'never'),
  });
}

function ownCertificates(
  { objects, installation, clock, logger, metrics }: ClusterOptions,
  api: KubernetesApi,
  {
    configuration,
    serverName,
  }: { readonly configuration: WebhookConfiguration; readonly serverName: string },
): OwnCertificates {
  const { validityMs, renewBeforeMs } = installation.certificate;
  return new OwnCertificates({
    api,
    validityMs,
    renewBeforeMs,
    namespace: requireSet(environmentVariable('POD_NAMESPACE'), 'the variable POD_NAMESPACE'),
    secretName: requireSet(objects.tlsSecret, '--tls-secret'),
    leaseName: requireSet(objects.lease, '--lease'),
    identity: requireSet(environmentVariable('POD_NAME'), 'the variable POD_NAME'),
    dnsName: serverName,
    trusted: () => configuration.bundles?.join('') ?? '',
    random: systemRandom,
    clock,
    logger,
    metrics,
  });
}

function svidCertificates(
  { installation, clock, logger, metrics }: ClusterOptions,
  dnsName: string,
): SvidCertificates {
  const api = createWorkloadApi({ address: installation.spiffe.socket, clock });
  const identity = createIdentity({ api, clock, random: systemRandom, logger, metrics });
  const run = (signal: AbortSignal): Promise<void> =>
    identity.run(signal).finally(() => api.close());
  const x509Updates = (signal: AbortSignal): ReturnType<typeof identity.x509Updates> =>
    identity.x509Updates(signal);
  return new SvidCertificates({ identity: { run, x509Updates }, dnsName, logger });
}

function requireSet(value: string | undefined, name: string): string {
  if (value !== undefined) return value;
  throw new VouchsafeError('ERR_USAGE', `--webhook-configuration requires ${name}`);
}
