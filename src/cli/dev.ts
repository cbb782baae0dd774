/**
 * `vouchsafe dev`, also `npm start`: identity, login, files and rotation on this machine.
 */
import { fileURLToPath } from 'node:url';
import { resolve } from 'node:path';
import { agentEnvironment, vaultVariable } from '../config/agent/index.ts';
import { ANNOTATIONS } from '../config/annotations/index.ts';
import { EXIT, Secret, VouchsafeError } from '../core/index.ts';
import type { ConfigMap, RealVault } from '../dev/show/index.ts';
import type { Io } from './io.ts';
import {
  admitManifests,
  misplacementLines,
  type InjectedManifests,
  type InjectedPod,
} from './admit.ts';
import { isManifest, namespaceAnnotations, type FoundPod, type Manifest } from './manifest.ts';
import { printableLines } from './mask.ts';

const EXAMPLE = fileURLToPath(new URL('../../manifests/examples/pod.yaml', import.meta.url));
const VOUCHSAFE = fileURLToPath(new URL('../../cmd/vouchsafe/main.ts', import.meta.url));
const DRIVER = fileURLToPath(new URL('../../cmd/csi/main.ts', import.meta.url));
const WEBHOOK = fileURLToPath(new URL('../../cmd/webhook/main.ts', import.meta.url));

/** Options of `vouchsafe dev`. */
export interface DevOptions {
  readonly file?: readonly string[];
  readonly values?: string;
  readonly kubeVersion?: string;
  readonly namespace: string;
  readonly once?: true;
  readonly out?: string;
  readonly showSecrets?: true;
  readonly oidcPort?: string;
  /** `csi` shows the CSI driver of a node instead of an agent in a pod. */
  readonly mode?: string;
  /** How the CSI driver obtains the pod's identity; `service-account` (default), `broker` or `delegated`. */
  readonly identity?: string;
}

/** Shows one pod of the manifest, or the example, until Ctrl-C; with `--once` it ends by itself. */
export async function runDev(io: Io, options: DevOptions, signal: AbortSignal): Promise<number> {
  if (options.mode === 'csi') return runCsi(io, options, signal);
  if (options.identity !== undefined) {
    const text = '--identity is supported only with --mode csi; otherwise the pod sets it';
    throw new VouchsafeError('ERR_USAGE', text);
  }
  const file = options.file ?? [EXAMPLE];
  const admitted = await admitManifests(io, { ...options, file });
  for (const line of misplacementLines(admitted)) io.printError(line);
  const { found } = choosePod(admitted, file.join(', '));
  const { EXIT_WITH_PARENT, ShowConsole, showPod } = await import('../dev/show/index.ts');
  const linesOf = printableLines(options.showSecrets === true);
  const console = new ShowConsole((line) => io.out(`${line}\n`), linesOf);
  for (const fact of factsAbout(admitted, found, options)) console.fact(fact);
  await showPod(
    {
      pod: withNamespaceDefaults(found, admitted),
      owner: found.owner,
      namespace: found.namespace,
      configMaps: configMapsOf(admitted.manifests),
      valuesPath: options.values === undefined ? undefined : resolve(options.values),
      kubeVersion: options.kubeVersion,
      socket: io.variable('SPIFFE_ENDPOINT_SOCKET'),
      vault: realVault(io),
      oidcPort: Number(options.oidcPort ?? 0),
      once: options.once === true,
      outputDirectory: options.out === undefined ? undefined : resolve(options.out),
      agentCommand: [process.execPath, ...EXIT_WITH_PARENT, VOUCHSAFE],
      webhookCommand: [process.execPath, ...EXIT_WITH_PARENT, WEBHOOK],
      clock: io.clock,
      random: io.random,
    },
    console,
    signal,
  );
  return EXIT.ok;
}

function factsAbout(
  { pods }: InjectedManifests,
  { owner }: FoundPod,
  { file = ['manifests/examples/pod.yaml'] }: DevOptions,
): readonly string[] {
  const manifest = `manifest ${file.join(', ')}; Ctrl-C stops it`;
  const several = `it contains ${pods.length} pods; showing ${owner}`;
  return pods.length > 1 ? [manifest, several] : [manifest];
}

/** Shows the CSI driver with a built-in volume; a manifest is not used. */
async function runCsi(io: Io, options: DevOptions, signal: AbortSignal): Promise<number> {
  const unsupported = [options.file, options.values, options.kubeVersion, options.out];
  if (unsupported.some((one) => one !== undefined)) {
    const text =
      '--mode csi shows a built-in volume: remove -f, --values, --kube-version and --out';
    throw new VouchsafeError('ERR_USAGE', text);
  }
  const { CSI_IDENTITIES, EXIT_WITH_PARENT, ShowConsole, showVolume } =
    await import('../dev/show/index.ts');
  const linesOf = printableLines(options.showSecrets === true);
  const console = new ShowConsole((line) => io.out(`${line}\n`), linesOf);
  const driverCommand = [process.execPath, ...EXIT_WITH_PARENT, DRIVER] as const;
  const mayMount = process.getuid?.() === 0;
  const once = options.once === true;
  const requested = options.identity ?? 'service-account';
  const identity = CSI_IDENTITIES.find((kind) => kind === requested);
  if (identity === undefined) {
    const text = `--identity must be one of ${CSI_IDENTITIES.join(', ')}`;
    throw new VouchsafeError('ERR_USAGE', text);
  }
  const show = { once, identity, driverCommand, mayMount, clock: io.clock };
  await showVolume(show, console, signal);
  return EXIT.ok;
}

/** The real Vault or OpenBao of the environment; undefined where no address is set. */
export function realVault({ variable }: Pick<Io, 'variable'>): RealVault | undefined {
  const { vaultAddress, vaultNamespace, vaultCaFile, vaultProxy } = agentEnvironment(variable);
  if (vaultAddress === undefined) return undefined;
  const token = vaultVariable(variable, 'TOKEN');
  return {
    address: vaultAddress,
    namespace: vaultNamespace,
    caFile: vaultCaFile,
    proxy: vaultProxy,
    token: token === undefined ? undefined : new Secret(token),
  };
}

/** The first pod of a manifest that requests injection, otherwise the first pod. */
export function choosePod({ pods }: InjectedManifests, file: string): InjectedPod {
  const chosen = pods.find(({ result }) => result.reason !== 'not_requested') ?? pods[0];
  if (chosen !== undefined) return chosen;
  throw new VouchsafeError('ERR_CONFIG_INVALID', `${file} contains no pod and no workload`);
}

/** The webhook of the demo knows no namespaces: their annotations are copied to the pod. */
function withNamespaceDefaults(
  { pod, namespace }: FoundPod,
  { manifests, installation }: InjectedManifests,
): Manifest {
  const defaults = namespaceAnnotations(manifests).get(namespace) ?? {};
  const names = ANNOTATIONS.filter(({ levels }) => levels.includes('namespace')).map(
    ({ name }) => `${installation.annotationPrefix}/${name}`,
  );
  const inherited = Object.entries(defaults).filter(([name]) => names.includes(name));
  if (inherited.length === 0) return pod;
  const metadata = isManifest(pod['metadata']) ? pod['metadata'] : {};
  const annotations = { ...Object.fromEntries(inherited), ...(metadata['annotations'] ?? {}) };
  return { ...pod, metadata: { ...metadata, annotations } };
}

/** The ConfigMaps of a manifest, which hold templates and CA bundles. */
export function configMapsOf(manifests: readonly Manifest[]): readonly ConfigMap[] {
  return manifests.flatMap(({ kind, metadata, data }) => {
    if (kind !== 'ConfigMap' || !isManifest(metadata) || !isManifest(data)) return [];
    const texts = Object.entries(data).map(([key, value]) => [key, String(value)] as const);
    return [{ name: String(metadata['name']), data: Object.fromEntries(texts) }];
  });
}
