/**
 * The installation's configuration: the Helm values that admission needs.
 */
import {
  parseQuantity,
  problemsError,
  VERSION,
  type Operation,
  type Problem,
} from '../core/index.ts';
import type { SettingName } from './annotations.ts';
import {
  installationShape,
  SYSTEM_NAMESPACES,
  type ConnectionValues,
  type InstallationValues,
  type PolicyValues,
} from './installation-shape.ts';
import { deepFreeze, Place } from './shape.ts';

/** A Vault that pods may choose by name. */
export interface VaultConnection {
  readonly address: string;
  readonly namespace: string | undefined;
  readonly caPem: string | undefined;
  /** A ConfigMap with the CA, in the pod's own namespace (trust-manager puts such ones everywhere). */
  readonly caConfigMap: { readonly name: string; readonly key: string } | undefined;
  readonly tlsServerName: string | undefined;
  /** Hosts that redirects may lead to, beside that of the address. */
  readonly redirectHosts: readonly string[];
}

/** Who may use what. In each list `*` stands for any characters, slashes too. */
export interface VaultPolicy {
  readonly name: string;
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  readonly connections: readonly string[];
  readonly roles: readonly string[];
  readonly authMounts: readonly string[];
  readonly paths: readonly string[];
  readonly operations: readonly Operation[];
  /** Of JWT-SVIDs that are delivered. */
  readonly audiences: readonly string[];
}

/** The webhook's serving certificate. */
export interface CertificateInstallation {
  readonly mode: 'own' | 'certManager' | 'secret' | 'spiffe';
  readonly validityMs: number;
  readonly renewBeforeMs: number;
  /** Given where the configuration of the webhook holds it already; PEM. */
  readonly caBundle: string | undefined;
}

/** How pods reach the Workload API. */
export interface SpiffeInstallation {
  /** `unix:///run/spire/sockets/agent.sock` */
  readonly socket: string;
  /** What is mounted at the socket's directory: a CSI volume, a directory of the node, or nothing. */
  readonly volume: 'csi' | 'hostPath' | 'none';
  readonly csiDriver: string;
  /** The node's directory, where `volume` is `hostPath`. */
  readonly hostPath: string;
}

/** The CSI driver. */
export interface CsiInstallation {
  readonly enabled: boolean;
  readonly driverName: string;
  readonly identity: {
    /** What proves who a pod is: its token from the kubelet, or an SVID that the driver obtains for it. */
    readonly kind: 'service-account' | 'broker' | 'delegated';
    /** `unix:///path` or `tcp://IP:port` of the Broker API or the admin socket; empty for service accounts. */
    readonly socket: string;
    /** SPIFFE IDs of servers of the Broker API; empty for any SPIRE agent of the driver's own trust domain. */
    readonly agentIds: readonly string[];
  };
  /** Audiences of the tokens that the kubelet gives the driver; the empty one is the API server's own. */
  readonly tokenAudiences: readonly string[];
  /** Most that one volume may hold. */
  readonly maxVolumeBytes: number;
  /** Least time between two reads of a secret without a lease. */
  readonly minRefreshMs: number;
  /** Most that one volume may depend on. */
  readonly maxDependencies: number;
  /** Bytes of texts and items that one rendering may make. */
  readonly maxRenderBytes: number;
  /** The processes that render: how many, how long they may take, in milliseconds, and how large their heaps are. */
  readonly rendering: {
    readonly processes: number;
    readonly timeoutMs: number;
    readonly heapBytes: number;
  };
  /** Whether the kubelet is to ask for statistics of volumes. */
  readonly volumeStats: boolean;
  /** Whether metrics of the driver name pods and files. */
  readonly perPodMetrics: boolean;
}

/** Everything about one installation that admission goes by. */
export interface Installation {
  /** Without the slash: `vouchsafe.dev`. */
  readonly annotationPrefix: string;
  readonly agent: {
    readonly image: string;
    readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
    /** False where the platform assigns UIDs itself, as OpenShift does. */
    readonly setUser: boolean;
    /** Whether pods may set image and user of the agent. */
    readonly allowImageOverride: boolean;
    /** Bytes of texts and items that one rendering may make. */
    readonly maxRenderBytes: number;
  };
  readonly certificate: CertificateInstallation;
  readonly events: { readonly enabled: boolean };
  /** Defaults of settings by annotation name without prefix. */
  readonly defaults: Readonly<Record<string, string>>;
  readonly vault: {
    /** Name of the connection of pods that name none. */
    readonly default: string;
    /** Whether a pod may give an address of its own. */
    readonly allowPodAddress: boolean;
    /** Settings that a Namespace may set for its pods. */
    readonly namespaceAnnotations: readonly SettingName[];
    readonly connections: Readonly<Record<string, VaultConnection>>;
    /** A pod is allowed what some policy for it allows; without any policy everything. */
    readonly policies: readonly VaultPolicy[];
  };
  readonly spiffe: SpiffeInstallation;
  readonly csi: CsiInstallation;
  readonly webhook: {
    /** Namespaces whose pods are never touched. */
    readonly excludedNamespaces: readonly string[];
    /** Limit of one request. */
    readonly maxBodyBytes: number;
    /** CA in PEM of the certificate that the API server must show; without it callers are not asked for one. */
    readonly clientCa: string | undefined;
  };
}

/** What a cluster has where the chart of Vault was installed with its own defaults and TLS. */
const DEFAULT_CONNECTIONS = { default: { address: 'https://vault.vault.svc:8200' } };

/**
 * Reads the values of an installation; an empty document is an installation with every default. Deeply frozen.
 *
 * @throws VouchsafeError `ERR_CONFIG_INVALID` that lists every problem with its place.
 */
export function parseInstallation(values: unknown): Installation {
  const problems: Problem[] = [];
  const place = new Place('', problems);
  const raw = installationShape.read(values ?? {}, place);
  const result = raw === undefined ? undefined : build(raw, place);
  if (result === undefined || problems.length > 0) {
    throw problemsError('ERR_CONFIG_INVALID', 'the installation values are not valid', problems);
  }
  return deepFreeze(result);
}

function build(raw: InstallationValues, place: Place): Installation {
  const { agent, certificate, spiffe, webhook } = raw;
  const directory = spiffe.socket.slice('unix://'.length, spiffe.socket.lastIndexOf('/'));
  return {
    annotationPrefix: raw.annotationPrefix,
    agent: {
      image: imageOf(raw),
      imagePullPolicy: agent.image.pullPolicy ?? raw.image.pullPolicy,
      setUser: agent.setUser,
      allowImageOverride: agent.allowImageOverride,
      maxRenderBytes: agent.maxRenderBytes,
    },
    certificate: {
      mode: certificate.mode,
      validityMs: certificate.validity,
      renewBeforeMs: certificate.renewBefore ?? certificate.validity / 3,
      caBundle: certificate.caBundle,
    },
    events: raw.events,
    defaults: raw.defaults,
    vault: vaultOf(raw, place.at('vault')),
    spiffe: { ...spiffe, hostPath: spiffe.hostPath ?? directory },
    csi: csiOf(raw, place.at('csi')),
    webhook: {
      excludedNamespaces: [...SYSTEM_NAMESPACES, ...webhook.excludedNamespaces],
      maxBodyBytes: webhook.maxBodyBytes,
      clientCa: webhook.clientCA,
    },
  };
}

function csiOf({ csi, defaults }: InstallationValues, place: Place): CsiInstallation {
  const { enabled, driverName, tokenAudiences, maxVolumeSize, volumeStats, metrics } = csi;
  const { minRefresh, maxDependencies, rendering } = csi;
  const { kind, socket = '', agentIds } = csi.identity;
  if (defaults['mode'] === 'csi' && !enabled) {
    place.at('enabled').problem('must be true, because defaults.mode is csi');
  }
  return {
    enabled,
    driverName,
    identity: { kind, socket, agentIds },
    tokenAudiences,
    maxVolumeBytes: Math.floor(parseQuantity(maxVolumeSize) ?? 0),
    minRefreshMs: minRefresh,
    maxDependencies,
    maxRenderBytes: csi.maxRenderBytes,
    rendering: {
      processes: rendering.processes,
      timeoutMs: rendering.timeout,
      heapBytes: Math.floor(parseQuantity(rendering.memory) ?? 0),
    },
    volumeStats,
    perPodMetrics: metrics.perPod,
  };
}

/** Part by part that of the webhook. A digest alone is enough; a tag beside it is for people. */
function imageOf({ agent, image }: InstallationValues): string {
  const own = agent.image;
  const { repository = image.repository, tag = image.tag ?? VERSION } = own;
  const isOther = own.repository !== undefined || own.tag !== undefined;
  const digest = own.digest ?? (isOther ? undefined : image.digest);
  return digest === undefined ? `${repository}:${tag}` : `${repository}:${tag}@${digest}`;
}

function vaultOf({ vault, defaults }: InstallationValues, place: Place): Installation['vault'] {
  const { allowPodAddress, namespaceAnnotations } = vault;
  const connections = Object.fromEntries(
    Object.entries<Partial<ConnectionValues>>(vault.connections ?? DEFAULT_CONNECTIONS).map(
      ([name, given]) => [name, connectionOf(given)],
    ),
  );
  const names = Object.keys(connections);
  const known = names.join(', ');
  const [only = 'default'] = names.length === 1 ? names : [];
  const fallback = vault.default ?? only;
  if (!names.includes(fallback)) {
    place.at('default').missing(`there is no connection "${fallback}", only: ${known}`);
  }
  const chosen = defaults['vault'] ?? fallback;
  const isAddress = allowPodAddress && /^https?:/.test(chosen);
  if (!isAddress && chosen !== fallback && !names.includes(chosen)) {
    const message = `defaults.vault names "${chosen}"; there is no such connection, only: ${known}`;
    place.at('connections').problem(message);
  }
  const policies = vault.policies.map(policyOf);
  return { default: fallback, allowPodAddress, namespaceAnnotations, connections, policies };
}

function policyOf({ name = '', namespaces = [], ...lists }: PolicyValues): VaultPolicy {
  return { name, namespaces, ...lists }; // what was missing was reported; the result is thrown away then
}

function connectionOf(given: Partial<ConnectionValues>): VaultConnection {
  const { namespace, caPem, caConfigMap, tlsServerName, redirectHosts = [] } = given;
  // A missing address, name or key was reported; the result is thrown away then.
  const { address = '' } = given;
  const { name = '', key = '' } = caConfigMap ?? {};
  const map = caConfigMap === undefined ? undefined : { name, key };
  return { address, namespace, caPem, caConfigMap: map, tlsServerName, redirectHosts };
}
