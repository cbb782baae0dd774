/**
 * The agent as a process, from its config to its exit code. `cmd/agent` and `vouchsafe agent` call it.
 */
import { writeFile } from 'node:fs/promises';
import {
  EXIT,
  exitCodeOf,
  fieldsOf,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Logger,
  type Random,
} from '../core/index.ts';
import { createStatusRecorder, serveAgent, StartGate, type AgentStatus } from '../agent/index.ts';
import {
  parseAgentConfigText,
  type AgentConfig,
  type AgentEnvironment,
} from '../config/agent/index.ts';
import { parseDocumentText } from '../config/schema/index.ts';
import { runAll } from '../async/index.ts';
import { aborted } from '../http/index.ts';
import {
  collectGarbage,
  createMetrics,
  isLastRunningContainer,
  memoryLimit,
  readTextFile,
  startWatchdog,
} from '../platform/index.ts';
import { AgentMemory } from './agent-memory.ts';
import { buildAgent, type AgentDependencies } from './build-agent.ts';
import { delayAbort } from './delay-abort.ts';
import { runWithBackground } from './run-with-background.ts';

const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** The kubelet shows at most this many bytes of a termination message. */
const MAX_TERMINATION_BYTES = 4096;

/** How the agent is started. */
export interface RunAgentOptions {
  /** Path of an AgentConfig, YAML or JSON. */
  readonly configPath: string | undefined;
  /** The AgentConfig itself, used without a path. */
  readonly configText: string | undefined;
  /** Environment variables for settings that the config does not set. */
  readonly environment: AgentEnvironment;
  /** Writes the files once and exits. */
  readonly once: boolean;
  readonly clock: Clock;
  readonly random: Random;
  /** Creates the logger once the level is known. */
  readonly createLogger: (level: AgentConfig['logLevel']) => Logger;
  /** Prints an error while there is no logger yet. */
  readonly print: (line: string) => void;
  /** Addresses of the node: connections of its kubelet are not limited. */
  readonly nodeAddresses?: readonly string[];
  /** Memory limit of the agent. Default: that of its control group. */
  readonly memoryLimitBytes?: number;
  /** See {@link AgentDependencies.wrap}. */
  readonly wrap?: AgentDependencies['wrap'];
}

/** Runs the agent until it has finished or `signal` aborts; resolves to the exit code. */
export async function runAgent(options: RunAgentOptions, signal: AbortSignal): Promise<number> {
  let config: AgentConfig | undefined;
  let logger: Logger | undefined;
  let gate: StartGate | undefined;
  try {
    config = await loadConfig(options);
    logger = options.createLogger(config.logLevel);
    gate = await openGate(config, options, logger);
    await run(config, { ...options, gate }, logger, signal);
    return EXIT.ok;
  } catch (caught) {
    if (signal.aborted && !options.once) return EXIT.ok;
    const error = signal.aborted ? stopped(caught) : toVouchsafeError(caught);
    const line = `${error.code}: ${error.message}`;
    if (logger === undefined) options.print(`vouchsafe: ${line}`);
    else logger.error('agent ends', { error, exit_code: error.exitCode });
    const path = config === undefined ? await terminationLogOf(options) : config.terminationLog;
    await writeTerminationMessage(path, line);
    // After the message: the kubelet kills this container as soon as the hook has failed.
    await gate?.refuse(line);
    return exitCodeOf(error);
  } finally {
    gate?.close();
  }
}

/** The hook of a native sidecar; a single run has none. */
async function openGate(
  { startGate, stateDirectory: directory }: AgentConfig,
  { clock, once }: RunAgentOptions,
  logger: Logger,
): Promise<StartGate | undefined> {
  if (startGate !== 'hook' || directory === undefined || once) return undefined;
  return StartGate.listen({ directory, clock, logger });
}

async function run(
  config: AgentConfig,
  options: RunAgentOptions & { readonly gate: StartGate | undefined },
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { clock, random, once, wrap, gate: startGate } = options;
  logger.debug('agent starts', { once });
  const metrics = createMetrics();
  const limitBytes = options.memoryLimitBytes ?? (await memoryLimit());
  const memory = limitBytes === undefined ? undefined : new AgentMemory(limitBytes, collectGarbage);
  const common = { clock, random, logger, metrics, memory, startGate };
  const dependencies = { ...common, ...(wrap === undefined ? {} : { wrap }) };
  const built = await buildAgent(config, dependencies);
  const { agent } = built;
  const record = createStatusRecorder(metrics);
  const expose = (status: AgentStatus): Promise<string> => {
    record(status);
    return metrics.expose();
  };
  const work = once
    ? (inner: AbortSignal) => agent.runOnce(inner)
    : (inner: AbortSignal) =>
        runAll(inner, [
          (own) => agent.run(own),
          (own) => runWatchdog(clock, own),
          async (own) => {
            const { listen } = config;
            if (listen === undefined) return;
            const { nodeAddresses = [] } = options;
            const parts = { agent, expose, clock, logger, metrics, listen, nodeAddresses };
            await serveAgent(parts, own, (address) => logger.info('listening', { address }));
          },
        ]);
  const linger = (inner: AbortSignal) => agent.linger(isLastRunningContainer, inner);
  try {
    if (once) await runWithBackground(built, work, signal);
    else await delayAbort((end) => runWithBackground(built, work, end), linger, signal);
  } finally {
    built.close();
  }
}

/** The watchdog thread must not delay a start, which has a deadline of its own, in milliseconds. */
const WATCH_AFTER_MS = 10_000;

/** Replaces a liveness probe, which other pods could make fail. */
async function runWatchdog(clock: Clock, signal: AbortSignal): Promise<void> {
  await clock.sleep(WATCH_AFTER_MS, signal);
  const stop = startWatchdog();
  await aborted(signal);
  await stop();
}

/** An init container that was stopped must not look as if it had succeeded. */
function stopped(cause: unknown): VouchsafeError {
  return new VouchsafeError('ERR_AGENT_STOPPED', 'stopped before the files were written', {
    cause,
  });
}

async function loadConfig(options: RunAgentOptions): Promise<AgentConfig> {
  return parseAgentConfigText(await configTextOf(options), options.environment);
}

/** The `terminationLog` of an invalid config; undefined if it cannot be read. */
async function terminationLogOf(options: RunAgentOptions): Promise<string | undefined> {
  try {
    const document = await parseDocumentText(await configTextOf(options));
    const path = fieldsOf(document)['terminationLog'];
    return typeof path === 'string' ? path : undefined;
  } catch {
    return undefined;
  }
}

async function configTextOf({ configPath, configText }: RunAgentOptions): Promise<string> {
  if (configPath !== undefined) return readConfig(configPath);
  if (configText !== undefined) return configText;
  throw new VouchsafeError(
    'ERR_USAGE',
    'there is no configuration: set --config FILE or the environment variable VOUCHSAFE_CONFIG',
  );
}

async function readConfig(path: string): Promise<string> {
  try {
    return await readTextFile(path, MAX_CONFIG_BYTES);
  } catch (error) {
    throw new VouchsafeError('ERR_CONFIG_UNREADABLE', `cannot read ${path}`, { cause: error });
  }
}

async function writeTerminationMessage(path: string | undefined, line: string): Promise<void> {
  if (path === undefined) return;
  const bytes = Buffer.from(line).subarray(0, MAX_TERMINATION_BYTES);
  const message = new TextDecoder().decode(bytes, { stream: true }); // drops an incomplete character
  // The exit code and the log carry the error as well, so a failed write is ignored.
  await writeFile(path, message).catch(() => undefined);
}
