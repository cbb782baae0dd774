/**
 * What the webhook has besides its listeners when it runs in a cluster: namespaces that are watched, Events, and
 * certificates that the API server is told to trust. Wiring only.
 */
import {
  OwnCertificates,
  Registration,
  SvidCertificates,
  TrustedCertificates,
  type Certificates,
} from '../../src/webhook-certificates/index.ts';
import type { Installation } from '../../src/config/index.ts';
import { VouchsafeError, type Clock, type Logger, type Metrics } from '../../src/core/index.ts';
import {
  createKubernetesApi,
  EventRecorder,
  followedNamespaces,
  inClusterAccess,
  kubeconfigAccess,
  type KubernetesApi,
} from '../../src/kubernetes/index.ts';
import type { Task } from '../../src/async/index.ts';
import { environmentVariable, readTextFile, systemRandom } from '../../src/platform/index.ts';
import type { NamespaceLookup, Notice } from '../../src/webhook/index.ts';
import { createIdentity, createWorkloadApi } from '../../src/spiffe/index.ts';

/** Names of the webhook's own objects; without `webhookConfiguration` certificates are files and nothing else. */
export interface OwnObjects {
  readonly service: string | undefined;
  readonly tlsSecret: string | undefined;
  readonly lease: string | undefined;
  readonly webhookConfiguration: string | undefined;
}

/** What {@link connectCluster} needs. */
export interface ClusterOptions {
  readonly installation: Installation;
  readonly objects: OwnObjects;
  /** Certificates from files, by the DNS name of the service where that is known. */
  readonly files: (serverName?: string) => Certificates;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** What a server in a cluster is given. */
export interface Cluster {
  readonly namespaces: NamespaceLookup;
  readonly knows: (namespace: string) => boolean;
  readonly tell: ((notice: Notice) => void) | undefined;
  readonly certificates: Certificates;
  readonly companions: readonly Task[];
}

/** Connects with the service account of the pod, or outside of a cluster with a person's kubeconfig. */
export async function connectCluster(options: ClusterOptions): Promise<Cluster> {
  const { installation, clock, logger, metrics } = options;
  const host = environmentVariable('KUBERNETES_SERVICE_HOST');
  const port = environmentVariable('KUBERNETES_SERVICE_PORT') ?? '443';
  const access =
    host === undefined
      ? await kubeconfigAccess()
      : inClusterAccess({ host, port, read: readTextFile, clock });
  const api = createKubernetesApi(access);
  const prefix = installation.annotationPrefix;
  const common = { api, clock, logger, random: systemRandom };
  const namespaces = followedNamespaces({ ...common, prefix });
  const instance = environmentVariable('POD_NAME');
  // Without a name nobody could tell who speaks: outside of a cluster there are no Events.
  const events =
    installation.events.enabled && instance !== undefined
      ? new EventRecorder({ ...common, controller: `${prefix}/webhook`, instance, metrics })
      : undefined;
  return {
    namespaces: namespaces.lookup,
    knows: namespaces.knows,
    tell:
      events &&
      ((notice) => {
        // The chart excludes it, a webhook that was installed by hand may not.
        if (notice.namespace !== environmentVariable('POD_NAMESPACE')) events.record(notice);
      }),
    certificates: certificatesOf(options, api),
    companions: [namespaces.run, ...(events ? [(signal: AbortSignal) => events.run(signal)] : [])],
  };
}

function certificatesOf(options: ClusterOptions, api: KubernetesApi): Certificates {
  const { objects, installation, files, clock, logger } = options;
  if (objects.webhookConfiguration === undefined) return files();
  const name = objects.webhookConfiguration;
  const registration = new Registration({ api, name, clock, logger, random: systemRandom });
  const namespace = environmentVariable('POD_NAMESPACE');
  const service = needed(objects.service, '--service');
  const serverName = `${service}.${needed(namespace, 'the variable POD_NAMESPACE')}.svc`;
  const trusted = { registration, serverName, clock, logger };
  const { mode, caBundle } = installation.certificate;
  if (mode === 'own') {
    const source = ownCertificates(options, api, { registration, serverName });
    const patches = (): 'exact' | 'missing' => (source.isLeader ? 'exact' : 'missing');
    return new TrustedCertificates({ ...trusted, source, patches });
  }
  const isPatched = mode === 'spiffe' || (mode === 'secret' && caBundle === undefined);
  const source = mode === 'spiffe' ? svidCertificates(options, serverName) : files(serverName);
  return new TrustedCertificates({
    ...trusted,
    source,
    patches: () => (isPatched ? 'missing' : 'never'),
  });
}

function ownCertificates(
  { objects, installation, clock, logger, metrics }: ClusterOptions,
  api: KubernetesApi,
  {
    registration,
    serverName,
  }: { readonly registration: Registration; readonly serverName: string },
): OwnCertificates {
  const { validityMs, renewBeforeMs } = installation.certificate;
  return new OwnCertificates({
    api,
    validityMs,
    renewBeforeMs,
    namespace: needed(environmentVariable('POD_NAMESPACE'), 'the variable POD_NAMESPACE'),
    secretName: needed(objects.tlsSecret, '--tls-secret'),
    leaseName: needed(objects.lease, '--lease'),
    identity: needed(environmentVariable('POD_NAME'), 'the variable POD_NAME'),
    dnsName: serverName,
    trusted: () => registration.bundles?.join('') ?? '',
    random: systemRandom,
    ...{ clock, logger, metrics },
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

function needed(value: string | undefined, name: string): string {
  if (value !== undefined) return value;
  throw new VouchsafeError('ERR_USAGE', `--webhook-configuration needs ${name}`);
}
