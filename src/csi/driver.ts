/**
 * The life of the driver: it takes over from a predecessor, serves the kubelet, and leaves everything to a successor.
 */
import { serveHealth, type Exposition } from '../http/index.ts';
import { createSharedConnections } from '../agent-runtime/index.ts';
import { NO_METRICS, type Metrics } from '../core/index.ts';
import { raceAbort, runAll } from '../async/index.ts';
import { serveSocket, type SocketServer } from './grpc.ts';
import { createCallMetrics, createVolumesRecorder } from './metrics.ts';
import { ASSUMED_LIMIT_BYTES, MemoryBudget } from './memory-budget.ts';
import { lockNode } from './node-lock.ts';
import type { DriverParts, HeldLock, LocksPort } from './ports.ts';
import { Records } from './records.ts';
import { Registration } from './registration.ts';
import { Revocations } from './revocations.ts';
import { csiCalls } from './kubelet-calls.ts';
import { Volumes } from './volumes.ts';
import { DEFAULT_WAITS, type Waits } from './waits.ts';

/** How a driver is started. */
export interface DriverOptions extends Omit<DriverParts, 'waits'> {
  /** Default: {@link DEFAULT_WAITS}. */
  readonly waits?: Partial<Waits>;
  readonly driverName: string;
  readonly version: string;
  readonly nodeName: string;
  /** Whether the kubelet requests statistics of volumes. */
  readonly volumeStats: boolean;
  /** Whether metrics name pods and files. Default: false, only namespaces. */
  readonly perPodMetrics?: boolean;
  /** Path of the socket that the kubelet calls. */
  readonly csiSocket: string;
  /** Path of the socket in the kubelet's plug-in registry; undefined: the driver is not registered. */
  readonly registrationSocket: string | undefined;
  /** {@link csiSocket} as the kubelet sees it. */
  readonly kubeletPath: string;
  /** On a tmpfs of the node; see {@link Records}. */
  readonly stateDirectory: string;
  readonly locks: LocksPort;
  /** Memory limit of the driver, in bytes. Default where it is not known: {@link ASSUMED_LIMIT_BYTES}. */
  readonly memoryLimitBytes: number | undefined;
  /** `host:port` of probes and metrics; undefined opens no port. */
  readonly listen: string | undefined;
  /** Addresses of the node: requests of its kubelet are not rate-limited. */
  readonly nodeAddresses?: readonly string[];
  readonly exposition: Exposition;
}

/** Where the driver listens. */
export interface DriverAddresses {
  readonly csiSocket: string;
  readonly listen: string | undefined;
}

/**
 * Serves until `signal` aborts. Then the driver is unregistered, calls in flight are drained, and engines stop; for the
 * next driver volumes stay mounted, and tokens and leases valid.
 *
 * @throws VouchsafeError `ERR_CSI_STATE`, `ERR_SERVER_LISTEN`
 */
export async function runDriver(
  options: DriverOptions,
  signal: AbortSignal,
  onListening: (addresses: DriverAddresses) => void = () => undefined,
): Promise<void> {
  const { stateDirectory, logger, listen, metrics } = options;
  const waits = { ...DEFAULT_WAITS, ...options.waits };
  const records = await Records.open(stateDirectory, { ...options, waits });
  const shared = createSharedConnections(options);
  // Gauges of single engines mean nothing where there are many; those of the node are in metrics.ts.
  const counters: Metrics = { ...metrics, gauge: () => NO_METRICS.gauge('', '') };
  const parts: DriverParts = { ...options, waits, metrics: counters };
  const memoryLimitBytes = options.memoryLimitBytes ?? ASSUMED_LIMIT_BYTES;
  const budget = new MemoryBudget(memoryLimitBytes);
  logMemory(options, budget);
  const revocations = new Revocations({ ...options, waits, records });
  const volumes = new Volumes({
    ...{ ...options, parts, records, shared, revocations, budget, memoryLimitBytes },
  });
  const registration = new Registration({ ...options, endpoint: options.kubeletPath });
  const record = createVolumesRecorder(metrics, volumes, options.perPodMetrics ?? false);
  const listening = Promise.withResolvers<string | undefined>();
  let isServing = false;
  // Probes and the sweep go on while calls are drained.
  const all = new AbortController();
  await runAll(all.signal, [
    (inner) => volumes.run(inner),
    async (inner) => {
      if (listen === undefined) {
        listening.resolve(undefined);
        return;
      }
      const exposition = exposedAfter(record, options.exposition);
      const whyNotReady = (): Promise<string | undefined> =>
        Promise.resolve(isServing ? registrationProblem(options, registration) : 'not serving yet');
      const { nodeAddresses = [] } = options;
      const { clock } = options;
      const health = { listen, exposition, whyNotReady, clock, logger, metrics, nodeAddresses };
      await serveHealth({ ...health, stopping: signal }, inner, (address) =>
        listening.resolve(address),
      );
    },
    async (inner) => {
      const stopped = AbortSignal.any([signal, inner]);
      let lock: HeldLock | undefined;
      try {
        lock = await lockNode(options, stopped);
        await volumes.resume(stopped);
        const serving = await serve(options, parts, {
          volumes,
          registration,
          isReady: () => isServing,
        });
        isServing = true;
        try {
          onListening({
            csiSocket: options.csiSocket,
            listen: await raceAbort(listening.promise, stopped),
          });
          await Promise.all([volumes.startResumed(stopped), ended(stopped)]);
        } finally {
          isServing = false;
          volumes.stopStartingEngines();
          await closeAll(serving, parts);
        }
      } catch (error) {
        if (!stopped.aborted) throw error;
      } finally {
        await volumes.end();
        shared.close();
        await lock?.release();
      }
      all.abort();
    },
  ]);
}

function logMemory(
  { memoryLimitBytes, logger }: Pick<DriverOptions, 'memoryLimitBytes' | 'logger'>,
  budget: MemoryBudget,
): void {
  const fields = {
    limit_bytes: memoryLimitBytes ?? ASSUMED_LIMIT_BYTES,
    files_bytes: budget.budgetBytes,
    files_of_namespace_bytes: budget.shareBytes,
  };
  if (memoryLimitBytes !== undefined) logger.info('memory', fields);
  else {
    const text = 'the memory limit is not known, and is assumed: set csi.resources.limits.memory';
    logger.warn(text, fields);
  }
}

interface Serving {
  readonly volumes: Volumes;
  readonly registration: Registration;
  readonly isReady: () => boolean;
}

/** Close them in reverse order. */
async function serve(
  options: DriverOptions,
  parts: DriverParts,
  { volumes, registration, isReady }: Serving,
): Promise<readonly SocketServer[]> {
  const { csiSocket, registrationSocket, logger } = options;
  const metrics = createCallMetrics(options.metrics);
  const calls = csiCalls({ ...options, volumes, isReady, metrics });
  const servers = [await serveSocket(csiSocket, calls, logger)];
  if (registrationSocket === undefined) return servers;
  try {
    servers.push(await serveSocket(registrationSocket, registration.calls(), logger));
  } catch (error) {
    await closeAll(servers, parts);
    throw error;
  }
  return servers;
}

/** The registration first, so that the kubelet makes no more calls. Calls in flight may take `waits.drainMs`. */
async function closeAll(
  servers: readonly SocketServer[],
  { clock, waits }: Pick<DriverParts, 'clock' | 'waits'>,
): Promise<void> {
  const enough = new AbortController();
  const done = new AbortController();
  const limit = clock.sleep(waits.drainMs, done.signal).then(
    () => enough.abort(),
    () => undefined,
  );
  for (const server of servers.toReversed()) await server.close(enough.signal);
  done.abort();
  await limit;
}

function registrationProblem(
  { registrationSocket }: DriverOptions,
  registration: Registration,
): string | undefined {
  return registrationSocket === undefined ? undefined : registration.problem;
}

function exposedAfter(record: () => void, exposition: Exposition): Exposition {
  return {
    contentType: exposition.contentType,
    expose() {
      record();
      return exposition.expose();
    },
  };
}

async function ended(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  signal.addEventListener('abort', () => resolve(undefined), { once: true });
  await promise;
}
