/**
 * Shape of the Helm values of the CSI driver.
 */
import { parseQuantity, parseSpiffeId } from '../core/index.ts';
import { CHART_CSI_FIELDS } from './chart-shape.ts';
import * as defaults from './defaults.ts';
import * as grammar from './grammar.ts';
import * as shape from './shape.ts';

/** Less, and a process that renders does not start. */
const MIN_HEAP_BYTES = 32 * 1024 * 1024;

/** What the driver shows the identity provider, or hands on from the kubelet. */
export const CSI_IDENTITIES = ['service-account', 'broker', 'delegated'] as const;

const driverName = grammar.matching(
  'the name of a CSI driver such as `csi.vouchsafe.dev`, up to 63 characters',
  /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/,
);

/** The empty audience is the API server's own, as in a CSIDriver object. */
const audience = grammar.matching('an audience; an empty one is that of the API server', /^/);

const identity = shape.object(
  {
    kind: shape.withDefault(
      shape.parsed(
        grammar.choice(CSI_IDENTITIES),
        "How the driver proves who a pod is: by the pod's service-account token from the kubelet, by the SPIFFE Broker API (SPIRE 1.15.2 and later), or by SPIRE's Delegated Identity API.",
      ),
      'service-account',
      'service-account',
    ),
    socket: shape.parsed(
      grammar.workloadSocket,
      'Broker API, or admin socket of the SPIRE agent, on the node: a path, or `unix:///path`; the Broker API may be at `tcp://IP:port`.',
    ),
    agentIds: shape.withDefault(
      shape.list(
        shape.parsed(grammar.spiffeId, 'one SPIFFE ID'),
        64,
        "SPIFFE IDs that the server of the Broker API may have; any SPIRE agent of the driver's own trust domain by default.",
      ),
      [],
      [],
    ),
  },
  'How the driver proves who a pod is.',
  ({ kind, socket, agentIds }, place) => {
    const isSpiffe = kind !== 'service-account';
    if (isSpiffe && socket === undefined) place.at('socket').missing();
    if (!isSpiffe && socket !== undefined) {
      place.at('socket').problem('has no effect unless kind is broker or delegated');
    }
    if (kind === 'delegated' && socket?.startsWith('tcp:') === true) {
      place.at('socket').problem('the Delegated Identity API has a Unix socket alone');
    }
    if (kind !== 'broker' && agentIds.length > 0) {
      place.at('agentIds').problem('has no effect unless kind is broker');
    }
    if (new Set(agentIds.map((id) => parseSpiffeId(id).trustDomain)).size > 1) {
      place.at('agentIds').problem('must be of one trust domain');
    }
  },
);

const metrics = shape.object(
  {
    perPod: shape.withDefault(
      shape.flag(
        'Whether metrics of the driver name pods and their files to whoever reaches its port; else they name namespaces alone.',
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
        'Processes that parse and render templates and read answers of Vault; a namespace never has all of them.',
      ),
      2,
      2,
    ),
    timeout: shape.withDefault(
      shape.parsed(
        grammar.duration(100),
        'How long one of them may take over the files of a volume; then it is killed, and the volume has `ERR_TEMPLATE_LIMIT`.',
      ),
      2000,
      '2s',
    ),
    memory: shape.withDefault(
      shape.parsed(
        grammar.quantity,
        'Heap of each of them; the memory limit of the driver must hold them all.',
      ),
      '64Mi',
      '64Mi',
    ),
  },
  'Where the driver works on what pods ask for: in processes that have no network, no privileges and no files.',
  ({ memory }, place) => {
    const bytes = parseQuantity(memory) ?? 0;
    if (bytes < MIN_HEAP_BYTES) place.at('memory').problem('must be at least 32Mi');
  },
);

/** Shape of `csi`. */
export const csiShape = shape.object(
  {
    enabled: shape.withDefault(shape.flag('Whether each node has the driver.'), false, false),
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
        'Audiences of the service-account tokens that the kubelet gives the driver; none for none, `""` for that of the API server. Default: `vault`.',
      ),
      [defaults.AUDIENCE],
    ),
    maxVolumeSize: shape.withDefault(
      shape.parsed(
        grammar.quantity,
        "Most that a pod may ask for with `volume-size`: its files lie in the driver's memory.",
      ),
      '8Mi',
      '8Mi',
    ),
    minRefresh: shape.withDefault(
      shape.parsed(
        grammar.duration(1000),
        'Least that a pod may ask for with `refresh`: all pods of a node share one driver.',
      ),
      10_000,
      '10s',
    ),
    maxDependencies: shape.withDefault(
      shape.whole(
        1,
        10_000,
        'Most secrets, certificates and SVIDs that one volume may depend on, those included that its templates ask for when they are rendered.',
      ),
      256,
      256,
    ),
    maxRenderBytes: shape.withDefault(
      shape.parsed(
        grammar.renderBytes,
        'Most that all texts and items made by one rendering of a template take, in the driver.',
      ),
      defaults.DRIVER_RENDER_BYTES,
      '8Mi',
    ),
    rendering: shape.nested(rendering),
    volumeStats: shape.withDefault(
      shape.flag(
        'Whether the kubelet asks for size and condition of each volume every minute or so, for its statistics of pods.',
      ),
      false,
      false,
    ),
    metrics: shape.nested(metrics),
    ...CHART_CSI_FIELDS,
  },
  'The CSI driver: files without a container in the pod.',
  ({ identity: { kind }, tokenAudiences, maxVolumeSize }, place) => {
    if (kind === 'service-account' && tokenAudiences.length === 0) {
      place
        .at('tokenAudiences')
        .problem('must not be empty where identity.kind is service-account');
    }
    const twice = tokenAudiences.find((one, index) => tokenAudiences.indexOf(one) < index);
    if (twice !== undefined) place.at('tokenAudiences').problem(`holds "${twice}" twice`);
    if ((parseQuantity(maxVolumeSize) ?? 0) < defaults.MIN_VOLUME_BYTES) {
      place.at('maxVolumeSize').problem(`must be at least ${defaults.MIN_VOLUME_BYTES} bytes`);
    }
  },
);
