/**
 * Shape of the Helm values of the CSI driver.
 */
import { parseQuantity, parseSpiffeId } from '../../core/index.ts';
import { CHART_CSI_FIELDS } from './chart-shape.ts';
import { DEFAULTS as defaults, grammar, shape, type Place } from '../schema/index.ts';

/** With a smaller heap a renderer process does not start. */
const MIN_HEAP_BYTES = 32 * 1024 * 1024;

/** How the driver proves the identity of a pod. */
const CSI_IDENTITIES = ['service-account', 'broker', 'delegated'] as const;

const driverName = grammar.matching(
  'the name of a CSI driver such as `csi.vouchsafe.dev`, up to 63 characters',
  /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/,
);

/** The empty audience is that of the API server, as in a CSIDriver object. */
const audience = grammar.matching('an audience; the empty one is that of the API server', /^/);

const identity = shape.object(
  {
    kind: shape.withDefault(
      shape.parsed(
        grammar.choice(CSI_IDENTITIES),
        "How the driver proves the identity of a pod: by the pod's service-account token from the kubelet, by the SPIFFE Broker API (SPIRE 1.15.2 and later), or by SPIRE's Delegated Identity API.",
      ),
      'service-account',
      'service-account',
    ),
    socket: shape.parsed(
      grammar.workloadSocket,
      'Address of the Broker API, or the admin socket of the SPIRE agent, on the node: a path or `unix:///path`; for the Broker API also `tcp://IP:port`.',
    ),
    agentIds: shape.withDefault(
      shape.list(
        shape.parsed(grammar.spiffeId, 'one SPIFFE ID'),
        64,
        "SPIFFE IDs that the server of the Broker API may have. Default: any SPIRE agent of the driver's own trust domain.",
      ),
      [],
      [],
    ),
  },
  'How the driver proves the identity of a pod.',
  ({ kind, socket, agentIds }, place) => {
    const isSpiffe = kind !== 'service-account';
    if (isSpiffe && socket === undefined) place.at('socket').missing();
    if (!isSpiffe && socket !== undefined) {
      place.at('socket').problem('has no effect unless kind is broker or delegated');
    }
    if (kind === 'delegated' && socket?.startsWith('tcp:') === true) {
      place.at('socket').problem('must be a Unix socket for the Delegated Identity API');
    }
    checkAgentIds(agentIds, kind, place.at('agentIds'));
  },
);

function checkAgentIds(agentIds: readonly string[], kind: string, place: Place): void {
  if (kind !== 'broker' && agentIds.length > 0) {
    place.problem('has no effect unless kind is broker');
  }
  if (new Set(agentIds.map((id) => parseSpiffeId(id).trustDomain)).size > 1) {
    place.problem('must be of one trust domain');
  }
}

const metrics = shape.object(
  {
    perPod: shape.withDefault(
      shape.flag(
        'Whether metrics of the driver name pods and files, visible to every client of its port, instead of only namespaces.',
      ),
      false,
      false,
    ),
  },
  'Metrics of the driver.',
);

const rendering = shape.object(
  {
    processes: shape.withDefault(
      shape.whole(
        2,
        16,
        'Number of processes that parse and render templates and read responses of Vault. One namespace never uses all of them.',
      ),
      2,
      2,
    ),
    timeout: shape.withDefault(
      shape.parsed(
        grammar.duration(100),
        'How long rendering the files of a volume may take; then the process is killed, and the volume fails with `ERR_TEMPLATE_LIMIT`.',
      ),
      2000,
      '2s',
    ),
    memory: shape.withDefault(
      shape.parsed(
        grammar.quantity,
        'Heap size of each process. The memory limit of the driver must cover all of them.',
      ),
      '64Mi',
      '64Mi',
    ),
  },
  'The processes that render for pods, without network, privileges and files.',
  ({ memory }, place) => {
    const bytes = parseQuantity(memory) ?? 0;
    if (bytes < MIN_HEAP_BYTES) place.at('memory').problem('must be at least 32Mi');
  },
);

/** Shape of `csi`. */
export const csiShape = shape.object(
  {
    enabled: shape.withDefault(shape.flag('Whether the driver runs on each node.'), false, false),
    driverName: shape.withDefault(
      shape.parsed(driverName, 'Name of the driver in volumes.'),
      'csi.vouchsafe.dev',
      'csi.vouchsafe.dev',
    ),
    identity: shape.nested(identity),
    tokenAudiences: shape.withDefault(
      shape.list(
        shape.parsed(audience, 'one audience'),
        16,
        'Audiences of the service-account tokens that the kubelet passes to the driver: `""` is the audience of the API server, an empty list means no tokens. Default: `vault`.',
      ),
      [defaults.AUDIENCE],
    ),
    maxVolumeSize: shape.withDefault(
      shape.parsed(
        grammar.quantity,
        "Maximum of the annotation `volume-size`: the files are in the driver's memory.",
      ),
      '8Mi',
      '8Mi',
    ),
    minRefresh: shape.withDefault(
      shape.parsed(
        grammar.duration(1000),
        'Minimum of the annotation `refresh`: all pods of a node share one driver.',
      ),
      10_000,
      '10s',
    ),
    maxDependencies: shape.withDefault(
      shape.whole(
        1,
        10_000,
        'Maximum number of secrets, certificates and SVIDs of one volume, including those that its templates request while they are rendered.',
      ),
      256,
      256,
    ),
    maxRenderBytes: shape.withDefault(
      shape.parsed(
        grammar.renderBytes,
        'Memory that one rendering of a template may allocate for text and items in the driver.',
      ),
      defaults.DRIVER_RENDER_BYTES,
      '8Mi',
    ),
    rendering: shape.nested(rendering),
    volumeStats: shape.withDefault(
      shape.flag(
        'Whether the kubelet polls size and condition of each volume, about once a minute, for its pod statistics.',
      ),
      false,
      false,
    ),
    metrics: shape.nested(metrics),
    ...CHART_CSI_FIELDS,
  },
  'The CSI driver: delivers files without a container in the pod.',
  ({ identity: { kind }, tokenAudiences, maxVolumeSize }, place) => {
    if (kind === 'service-account' && tokenAudiences.length === 0) {
      place.at('tokenAudiences').problem('must not be empty if identity.kind is service-account');
    }
    const twice = tokenAudiences.find((one, index) => tokenAudiences.indexOf(one) < index);
    if (twice !== undefined) place.at('tokenAudiences').problem(`contains "${twice}" twice`);
    if ((parseQuantity(maxVolumeSize) ?? 0) < defaults.MIN_VOLUME_BYTES) {
      place.at('maxVolumeSize').problem(`must be at least ${defaults.MIN_VOLUME_BYTES} bytes`);
    }
  },
);
