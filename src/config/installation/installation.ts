/**
 * The installation's configuration: the Helm values that webhook and driver need.
 */
import {
  parseQuantity,
  problemsError,
  VERSION,
  type Operation,
  type Problem,
} from '../../core/index.ts';
import type { SettingName } from '../annotations/index.ts';
import {
  installationShape,
  SYSTEM_NAMESPACES,
  type ConnectionValues,
  type InstallationValues,
  type PolicyValues,
} from './installation-shape.ts';
import { trustBundleOf, type TrustBundle } from './trust-bundle.ts';
import { shape, type Place } from '../schema/index.ts';

/** A Vault that pods may choose by name. */
export interface VaultConnection {
  readonly address: string;
  readonly namespace: string | undefined;
  readonly caPem: string | undefined;
  /** A ConfigMap with the CA, in the pod's own namespace (trust-manager can put one into each). */
  readonly caConfigMap: { readonly name: string; readonly key: string } | undefined;
  /** ClusterTrustBundles with the CA, which the kubelet projects into the pod of the agent or the driver. */
  readonly clusterTrustBundle: TrustBundle | undefined;
  readonly tlsServerName: string | undefined;
  /** Hosts that Vault may redirect to, besides the host of the address. */
  readonly redirectHosts: readonly string[];
  /** Origin of the HTTP(S) proxy; undefined connects directly. */
  readonly proxy: string | undefined;
}

/** Who may use what. In each list `*` stands for any characters, including slashes. */
export interface VaultPolicy {
  readonly name: string;
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  readonly connections: readonly string[];
  readonly roles: readonly string[];
  readonly authMounts: readonly string[];
  readonly paths: readonly string[];
  readonly operations: readonly Operation[];
  /** Audiences of delivered JWT-SVIDs. */
  readonly audiences: readonly string[];
}

/** The webhook's serving certificate. */
interface CertificateInstallation {
  readonly mode: 'own' | 'certManager' | 'secret' | 'spiffe';
  readonly validityMs: number;
  readonly renewBeforeMs: number;
  /** PEM; defined if the MutatingWebhookConfiguration already has it. */
  readonly caBundle: string | undefined;
}

/** How pods reach the Workload API. */
interface SpiffeInstallation {
  /** `unix:///run/spire/sockets/agent.sock` */
  readonly socket: string;
  /** What is mounted at the socket's directory: a CSI volume, a directory of the node, or nothing. */
  readonly volume: 'csi' | 'hostPath' | 'none';
  readonly csiDriver: string;
  /** The node's directory, if `volume` is `hostPath`. */
  readonly hostPath: string;
}

/** The CSI driver. */
interface CsiInstallation {
  readonly enabled: boolean;
  readonly driverName: string;
  readonly identity: {
    /** What proves the identity of a pod: its token from the kubelet, or an SVID that the driver fetches for it. */
    readonly kind: 'service-account' | 'broker' | 'delegated';
    /** `unix:///path` or `tcp://IP:port` of the Broker API or the admin socket; empty for service accounts. */
    readonly socket: string;
    /** SPIFFE IDs of Broker API servers; empty for any SPIRE agent of the driver's own trust domain. */
    readonly agentIds: readonly string[];
  };
  /** Audiences of the tokens that the kubelet passes to the driver; the empty one is the API server's. */
  readonly tokenAudiences: readonly string[];
  /** Maximum size of one volume. */
  readonly maxVolumeBytes: number;
  /** Minimum time between two reads of a secret without a lease. */
  readonly minRefreshMs: number;
  /** Maximum number of dependencies of one volume. */
  readonly maxDependencies: number;
  /** Memory that one rendering may allocate for text and items. */
  readonly maxRenderBytes: number;
  /** The renderer processes: their number, their timeout and the size of their heaps. */
  readonly rendering: {
    readonly processes: number;
    readonly timeoutMs: number;
    readonly heapBytes: number;
  };
  /** Whether the driver reports statistics of volumes to the kubelet. */
  readonly volumeStats: boolean;
  /** Whether metrics of the driver name pods and files. */
  readonly perPodMetrics: boolean;
}

/** The configuration of one installation. */
export interface Installation {
  /** Without the slash: `vouchsafe.dev`. */
  readonly annotationPrefix: string;
  readonly agent: {
    readonly image: string;
    readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
    /** False if the platform assigns UIDs itself, as OpenShift does. */
    readonly setUser: boolean;
    /** Whether pods may set image and user of the agent. */
    readonly allowImageOverride: boolean;
    /** Memory that one rendering may allocate for text and items. */
    readonly maxRenderBytes: number;
    /** Architectures of the image, as in the label `kubernetes.io/arch`. */
    readonly architectures: readonly string[];
  };
  readonly certificate: CertificateInstallation;
  /** Whether pods may request secrets in environment variables. */
  readonly env: { readonly enabled: boolean };
  readonly events: { readonly enabled: boolean };
  /** Defaults of settings by annotation name without prefix. */
  readonly defaults: Readonly<Record<string, string>>;
  readonly vault: {
    /** Name of the connection of pods that set none. */
    readonly default: string;
    /** Whether a pod may set an address of its own. */
    readonly allowPodAddress: boolean;
    /** Settings that a Namespace may set for its pods. */
    readonly namespaceAnnotations: readonly SettingName[];
    readonly connections: Readonly<Record<string, VaultConnection>>;
    /** A pod may do what one policy that applies to it allows; without policies everything. */
    readonly policies: readonly VaultPolicy[];
  };
  readonly spiffe: SpiffeInstallation;
  readonly csi: CsiInstallation;
  readonly webhook: {
    /** Namespaces whose pods are never injected. */
    readonly excludedNamespaces: readonly string[];
    /** Maximum size of a request. */
    readonly maxBodyBytes: number;
    /** CA in PEM of the API server's client certificate; undefined requests no certificate. */
    readonly clientCa: string | undefined;
  };
}

/** The address of a Vault that was installed by its own chart with defaults and TLS. */
const DEFAULT_CONNECTIONS = { default: { address: 'https://vault.vault.svc:8200' } };

/**
 * Reads the values of an installation; an empty document has every default. The result is deeply frozen.
 *
 * @throws VouchsafeError `ERR_CONFIG_INVALID` that lists every problem with its path.
 */
export function parseInstallation(values: unknown): Installation {
  const problems: Problem[] = [];
  const place = new shape.Place('', problems);
  const raw = installationShape.read(values ?? {}, place);
  const result = raw === undefined ? undefined : build(raw, place);
  if (result === undefined || problems.length > 0) {
    throw problemsError('ERR_CONFIG_INVALID', 'the installation values are not valid', problems);
  }
  return shape.deepFreeze(result);
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
      architectures: agent.architectures,
    },
    certificate: {
      mode: certificate.mode,
      validityMs: certificate.validity,
      renewBeforeMs: certificate.renewBefore ?? certificate.validity / 3,
      caBundle: certificate.caBundle,
    },
    env: raw.env,
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
    place.at('enabled').problem('must be true if defaults.mode is csi');
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

/** Each part defaults to that of the webhook's image. A digest is sufficient; a tag beside it is for readers. */
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
      ([name, given]) => [name, connectionOf(name, given)],
    ),
  );
  const names = Object.keys(connections);
  const known = names.join(', ');
  const fallback = vault.default ?? onlyOf(names) ?? 'default';
  if (!names.includes(fallback)) {
    place.at('default').missing(`"${fallback}" is not one of the connections: ${known}`);
  }
  const chosen = defaults['vault'] ?? fallback;
  const isAddress = allowPodAddress && /^https?:/.test(chosen);
  if (!isAddress && chosen !== fallback && !names.includes(chosen)) {
    const message = `must contain "${chosen}", which is set in defaults.vault; found: ${known}`;
    place.at('connections').problem(message);
  }
  const policies = vault.policies.map(policyOf);
  return { default: fallback, allowPodAddress, namespaceAnnotations, connections, policies };
}

function onlyOf(names: readonly string[]): string | undefined {
  return names.length === 1 ? names[0] : undefined;
}

function policyOf({ name = '', namespaces = [], ...lists }: PolicyValues): VaultPolicy {
  return { name, namespaces, ...lists }; // missing fields were reported, and the result is discarded
}

function connectionOf(connection: string, given: Partial<ConnectionValues>): VaultConnection {
  const { namespace, caPem, caConfigMap, tlsServerName, redirectHosts = [], proxy } = given;
  // A missing address, name or key was reported, and the result is discarded.
  const { address = '' } = given;
  const { name = '', key = '' } = caConfigMap ?? {};
  const map = caConfigMap === undefined ? undefined : { name, key };
  const { clusterTrustBundle: bundle } = given;
  return {
    address,
    namespace,
    caPem,
    caConfigMap: map,
    clusterTrustBundle: bundle && trustBundleOf(connection, bundle),
    tlsServerName,
    redirectHosts,
    proxy,
  };
}
