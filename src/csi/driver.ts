/**
 * The life of the driver: it takes over from a predecessor, serves the kubelet, and leaves everything to a successor.
 */
import { aborted, serveHealth, type Exposition } from '../http/index.ts';
import { createSharedConnections, type SharedConnections } from '../agent-runtime/index.ts';
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
  const waits = { ...DEFAULT_WAITS, ...options.waits };
  const records = await Records.open(options.stateDirectory, { ...options, waits });
  await new Driver(options, waits, records).run(signal, onListening);
}

type OnListening = (addresses: DriverAddresses) => void;

/** One driver. Its clean-up is in {@link AsyncDisposableStack}s: what was deferred last is done first. */
class Driver {
  readonly #options: DriverOptions;
  readonly #parts: DriverParts;
  readonly #shared: SharedConnections;
  readonly #volumes: Volumes;
  readonly #registration: Registration;
  /** The address of the probes, once they listen. */
  readonly #listening = Promise.withResolvers<string | undefined>();
  #isServing = false;

  constructor(options: DriverOptions, waits: Waits, records: Records) {
    const { metrics } = options;
    // Gauges of single engines mean nothing where there are many; those of the node are in metrics.ts.
    const counters: Metrics = { ...metrics, gauge: () => NO_METRICS.gauge('', '') };
    const parts: DriverParts = { ...options, waits, metrics: counters };
    const shared = createSharedConnections(options);
    const memoryLimitBytes = options.memoryLimitBytes ?? ASSUMED_LIMIT_BYTES;
    const budget = new MemoryBudget(memoryLimitBytes);
    logMemory(options, budget);
    const revocations = new Revocations({ ...options, waits, records });
    this.#options = options;
    this.#parts = parts;
    this.#shared = shared;
    this.#volumes = new Volumes({
      ...options,
      parts,
      records,
      shared,
      revocations,
      budget,
      memoryLimitBytes,
    });
    this.#registration = new Registration({ ...options, endpoint: options.kubeletPath });
  }

  async run(signal: AbortSignal, onListening: OnListening): Promise<void> {
    // Probes and the sweep go on while calls are drained.
    const all = new AbortController();
    await runAll(all.signal, [
      (inner) => this.#volumes.run(inner),
      (inner) => this.#serveProbes(signal, inner),
      async (inner) => {
        await this.#keepVolumes(AbortSignal.any([signal, inner]), onListening);
        all.abort();
      },
    ]);
  }

  async #serveProbes(stopping: AbortSignal, signal: AbortSignal): Promise<void> {
    const { listen, clock, logger, metrics, nodeAddresses = [], perPodMetrics } = this.#options;
    if (listen === undefined) {
      this.#listening.resolve(undefined);
      return;
    }
    const record = createVolumesRecorder(metrics, this.#volumes, perPodMetrics ?? false);
    const exposition = exposedAfter(record, this.#options.exposition);
    const whyNotReady = (): Promise<string | undefined> => Promise.resolve(this.#whyNotReady());
    await serveHealth(
      { listen, exposition, whyNotReady, clock, logger, metrics, nodeAddresses, stopping },
      signal,
      (address) => this.#listening.resolve(address),
    );
  }

  #whyNotReady(): string | undefined {
    if (!this.#isServing) return 'not serving yet';
    return this.#options.registrationSocket === undefined ? undefined : this.#registration.problem;
  }

  /** Takes over from a predecessor, serves until `signal` aborts, and leaves everything to a successor. */
  async #keepVolumes(signal: AbortSignal, onListening: OnListening): Promise<void> {
    await using cleanUp = new AsyncDisposableStack();
    let lock: HeldLock | undefined;
    // The next driver waits for the lock: it is released when no engine runs any more.
    cleanUp.defer(async () => lock?.release());
    cleanUp.defer(() => this.#shared.close());
    cleanUp.defer(() => this.#volumes.end());
    try {
      lock = await lockNode(this.#options, signal);
      await this.#volumes.resume(signal);
      await this.#serveKubelet(signal, onListening);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Serves the calls of the kubelet until `signal` aborts; then unregisters, and drains the calls in flight. */
  async #serveKubelet(signal: AbortSignal, onListening: OnListening): Promise<void> {
    const { csiSocket } = this.#options;
    const servers: SocketServer[] = [];
    await using cleanUp = new AsyncDisposableStack();
    cleanUp.defer(() => closeAll(servers, this.#parts));
    await this.#openSockets(servers);
    cleanUp.defer(() => this.#volumes.stopStartingEngines());
    cleanUp.defer(() => void (this.#isServing = false));
    this.#isServing = true;
    onListening({ csiSocket, listen: await raceAbort(this.#listening.promise, signal) });
    await Promise.all([this.#volumes.startResumed(signal), aborted(signal)]);
  }

  /** The registration comes last, so that the kubelet finds a driver that serves. */
  async #openSockets(servers: SocketServer[]): Promise<void> {
    const { csiSocket, registrationSocket, logger } = this.#options;
    const metrics = createCallMetrics(this.#options.metrics);
    const isReady = (): boolean => this.#isServing;
    const calls = csiCalls({ ...this.#options, volumes: this.#volumes, isReady, metrics });
    servers.push(await serveSocket(csiSocket, calls, logger));
    if (registrationSocket === undefined) return;
    servers.push(await serveSocket(registrationSocket, this.#registration.calls(), logger));
  }
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

function exposedAfter(record: () => void, exposition: Exposition): Exposition {
  return {
    contentType: exposition.contentType,
    expose() {
      record();
      return exposition.expose();
    },
  };
}
