/**
 * The CSI driver of one node: serves the kubelet until SIGTERM. Wiring only.
 */
import { join } from 'node:path';
import { planVolume, volumeGrants } from '../../src/admission/index.ts';
import { parseInstallation, type Installation } from '../../src/config/installation/index.ts';
import { VERSION, VouchsafeError, type Clock, type Logger } from '../../src/core/index.ts';
import { runDriver, type DriverOptions } from '../../src/csi/index.ts';
import {
  createKubernetesApi,
  watchNamespaces,
  inClusterAccess,
  loopbackAccess,
  type KubernetesApi,
} from '../../src/kubernetes/index.ts';
import { runAll } from '../../src/async/index.ts';
import { Mounter, MounterClient } from '../../src/mounter/index.ts';
import {
  createLogger,
  createMetrics,
  environmentVariable,
  setPrivateUmask,
  disableCoreDumps,
  memoryLimit,
  nodeAddresses,
  readTextFile,
  reportDefects,
  systemClock,
  systemLocks,
  systemMounts,
  systemRandom,
  terminationSignal,
} from '../../src/platform/index.ts';
import { exitCodeOfRun, readFlags, readValues, usageOf, type Flags } from '../flags.ts';
import { podIdentities } from './identities.ts';
import { MAX_FRAME_BYTES, startRenderers } from './renderer.ts';

const OPTIONS = {
  config: { type: 'string' },
  'node-name': { type: 'string' },
  'api-server': { type: 'string' },
  'csi-socket': { type: 'string', default: '/csi/csi.sock' },
  'registration-directory': { type: 'string' },
  'kubelet-registration-path': { type: 'string' },
  'mounter-socket': { type: 'string' },
  'pods-directory': { type: 'string', default: '/var/lib/kubelet/pods' },
  'state-directory': { type: 'string', default: '/run/vouchsafe/csi' },
  listen: { type: 'string', default: '0.0.0.0:8080' },
  'memory-limit': { type: 'string' },
  'log-level': { type: 'string', default: 'info' },
} as const;

const USAGE = usageOf('csi', OPTIONS);

/** Runs the driver with command-line arguments; resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  disableCoreDumps();
  setPrivateUmask();
  return exitCodeOfRun(async () => run(readFlags(args, OPTIONS, USAGE)));
}

async function run({ values: flags, level }: Flags<typeof OPTIONS>): Promise<void> {
  const signal = terminationSignal();
  const [clock, metrics] = [systemClock, createMetrics()];
  const logger = createLogger(level, process.stderr);
  const installation = parseInstallation(await readValues(flags.config));
  const { driverName, volumeStats, perPodMetrics } = installation.csi;
  const common = { clock, logger, metrics };
  const nodeName = nodeNameOf(flags['node-name']);
  const kubernetes = connectCluster(flags['api-server'], clock);
  const identities = podIdentities({ installation, nodeName, kubernetes, ...common });
  const renderers = startRenderers({ installation, ...common });
  const { annotationPrefix: prefix } = installation;
  // Outside of a cluster there are no namespaces, and so no namespace defaults.
  const namespaces =
    kubernetes && watchNamespaces({ api: kubernetes, prefix, clock, logger, random: systemRandom });
  const registry = flags['registration-directory'];
  const client = mounterAt(flags['mounter-socket'], clock);
  const options: DriverOptions = {
    ...common,
    driverName,
    volumeStats,
    perPodMetrics,
    version: VERSION,
    nodeName,
    csiSocket: flags['csi-socket'],
    registrationSocket:
      registry === undefined ? undefined : join(registry, `${driverName}-reg.sock`),
    kubeletPath: flags['kubelet-registration-path'] ?? flags['csi-socket'],
    stateDirectory: flags['state-directory'],
    listen: flags.listen === '' ? undefined : flags.listen,
    nodeAddresses: nodeAddresses(),
    exposition: metrics,
    plan: (input, checkTemplate) => planVolume({ ...input, installation, checkTemplate }),
    renderer: renderers.renderer,
    maxDependencies: installation.csi.maxDependencies,
    maxValueBytes: MAX_FRAME_BYTES,
    grants: (pod, config) => volumeGrants(installation, pod, config),
    svids: identities.svids,
    namespaces: namespaces?.lookup,
    mounts: systemMounts,
    mounter: client ?? ownMounter(installation, flags['pods-directory'], logger),
    locks: systemLocks,
    memoryLimitBytes: smallest(memoryLimitOf(flags['memory-limit']), await memoryLimit()),
    random: systemRandom,
  };
  // The companions outlive `signal`: calls that are drained still need them.
  const companions = new AbortController();
  try {
    await runAll(companions.signal, [
      ...identities.companions,
      renderers.run,
      ...(namespaces === undefined ? [] : [namespaces.run]),
      async (inner) => {
        const stopped = AbortSignal.any([signal, inner]);
        await runDriver(options, stopped, (listening) => {
          process.stdout.write(`${JSON.stringify({ listening })}\n`);
        });
        companions.abort();
      },
    ]);
  } finally {
    identities.close();
    client?.close();
  }
}

function mounterAt(socket: string | undefined, clock: Clock): MounterClient | undefined {
  return socket === undefined ? undefined : new MounterClient({ socket, clock });
}

/** Without a mounter process, as in development, the driver mounts by itself, and needs the privileges for it. */
function ownMounter({ csi }: Installation, podsDirectory: string, logger: Logger): Mounter {
  const { driverName: source, maxVolumeBytes: maxBytes } = csi;
  return new Mounter({ mounts: systemMounts, source, podsDirectory, maxBytes, logger });
}

function connectCluster(address: string | undefined, clock: Clock): KubernetesApi | undefined {
  if (address !== undefined) return createKubernetesApi(loopbackAccess(address), clock);
  const host = environmentVariable('KUBERNETES_SERVICE_HOST');
  const port = environmentVariable('KUBERNETES_SERVICE_PORT') ?? '443';
  if (host === undefined) return undefined;
  return createKubernetesApi(inClusterAccess({ host, port, read: readTextFile, clock }), clock);
}

function nodeNameOf(flag: string | undefined): string {
  const name = flag ?? environmentVariable('NODE_NAME');
  if (name !== undefined) return name;
  throw new VouchsafeError(
    'ERR_USAGE',
    `--node-name or the environment variable NODE_NAME is required\n${USAGE}`,
  );
}

/** The container's memory limit as the chart passes it, for kernels that do not report it. */
function memoryLimitOf(bytes: string | undefined): number | undefined {
  if (bytes === undefined || bytes === '') return undefined;
  const limit = Number(bytes);
  if (/^\d+$/.test(bytes) && Number.isSafeInteger(limit) && limit > 0) return limit;
  throw new VouchsafeError('ERR_USAGE', `--memory-limit is not a number of bytes\n${USAGE}`);
}

function smallest(...limits: readonly (number | undefined)[]): number | undefined {
  const known = limits.filter((limit) => limit !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

if (import.meta.main) {
  reportDefects();
  process.exitCode = await main(process.argv.slice(2));
}
