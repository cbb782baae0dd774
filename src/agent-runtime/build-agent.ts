/**
 * Builds an agent from the real implementations of its ports.
 */
import {
  NO_LOGGER,
  NO_METRICS,
  type Clock,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import {
  Agent,
  needsX509,
  StateFile,
  type StartGate,
  type AgentParts,
  type IdentityPort,
  type NotifierPort,
  type TemplatePort,
  type TokenPort,
  type ValuesRoom,
  type WriterPort,
  type X509Files,
} from '../agent/index.ts';
import type { AgentConfig, VaultConfig } from '../config/agent/index.ts';
import type { Task } from '../async/index.ts';
import { createEnvReader, createNotifier } from '../notify/index.ts';
import { createEnvWriter, createFileWriter } from '../output/index.ts';
import { readTextFile, watchFiles } from '../platform/index.ts';
import {
  createIdentity,
  createWorkloadApi,
  x509Pem,
  type Identity,
  type SvidApi,
  type X509Identity,
} from '../spiffe/index.ts';
import {
  createVaultClient,
  type ResponseParser,
  type ResponseBudget,
  type VaultClient,
} from '../vault/index.ts';
import type { AgentMemory } from './agent-memory.ts';
import { loadCaBundle } from './ca-bundle.ts';
import { localTemplates } from './local-templates.ts';
import type { SharedConnections } from './shared-connections.ts';

/** The dependencies of an agent. `render` replaces the writer and the notifier. */
export interface AgentDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly writer?: WriterPort;
  readonly notifier?: NotifierPort;
  /** The hook that waits for the first delivery. Default: none does. */
  readonly startGate?: StartGate | undefined;
  /** The workload's SVIDs. Default: the Workload API of the config. Closed with the agent, or if building it fails. */
  readonly svids?: SvidApi | undefined;
  /** The workload's service-account token. Default: the file of the config. */
  readonly token?: TokenPort | undefined;
  /** Connections shared with other agents of this process. Default: its own. */
  readonly shared?: SharedConnections | undefined;
  /** The tenant whose share of the connections it uses. Default: one share for all agents without an owner. */
  readonly owner?: string;
  /** Renders the templates. Default: {@link localTemplates}. */
  readonly templates?: TemplatePort<unknown> | undefined;
  /** Parses responses of Vault that hold values. Default: the Vault client itself. */
  readonly parser?: ResponseParser | undefined;
  /** Bounds the memory of values, and of responses while they are read. Default: no bound. */
  readonly room?: (ResponseBudget & ValuesRoom) | undefined;
  /** Bounds the memory of values and files by the limit of the agent's own container. Default: no bound. */
  readonly memory?: AgentMemory | undefined;
  /** Replaces parts before the agent is built: tests inject faults. Default: no change. */
  readonly wrap?: (parts: AgentParts<unknown>) => AgentParts<unknown>;
}

/** An agent with the tasks that must run beside it. */
export interface BuiltAgent {
  readonly agent: Agent<unknown>;
  /** Tasks that must run while the agent runs: identity streams, CA files. */
  readonly backgroundTasks: readonly Task[];
  /** Closes the connections; call it when the agent has ended. */
  close(): void;
}

/**
 * Builds the agent that a config describes.
 *
 * @throws VouchsafeError `ERR_CONFIG_*`, `ERR_TEMPLATE_*`, `ERR_SPIFFE_ADDRESS`.
 */
export async function buildAgent(
  config: AgentConfig,
  dependencies: AgentDependencies,
): Promise<BuiltAgent> {
  const closers: (() => void)[] = [];
  const close = (): void => closers.forEach((one) => one());
  try {
    return { ...(await assemble(config, dependencies, closers)), close };
  } catch (error) {
    close(); // releases what was opened so far
    throw error;
  }
}

async function assemble(
  config: AgentConfig,
  dependencies: AgentDependencies,
  closers: (() => void)[],
): Promise<Omit<BuiltAgent, 'close'>> {
  const logger = dependencies.logger ?? NO_LOGGER;
  const metrics = dependencies.metrics ?? NO_METRICS;
  const common = { clock: dependencies.clock, random: dependencies.random, logger, metrics };
  const backgroundTasks: Task[] = [];

  const { token, svids, memory, room = memory } = dependencies;
  if (svids !== undefined) closers.push(() => svids.close());
  const connected = { ...dependencies, room };
  const building = { ...common, backgroundTasks, closers, dependencies: connected };
  const { vault, vaults } = await buildVaults(config, building);
  const identity = buildIdentity(config, { ...common, closers, svids });
  // The engine gets its error from the port, and knows whether a start or a refresh fails.
  if (identity !== undefined && needsX509(config))
    backgroundTasks.push((signal) => identity.run(signal).catch(() => undefined));

  const parts: AgentParts<unknown> = {
    ...common,
    config,
    vault,
    vaults,
    identity: identity === undefined ? undefined : identityPort(identity),
    ...outputParts(config, dependencies, common),
    token,
    room,
    notifier: dependencies.notifier ?? createNotifier(common),
    env: createEnvReader(),
    files: { read: readTextFile, watch: watchFiles },
    stateFile: stateFileOf(config, common.clock),
    startGate: dependencies.startGate,
  };
  const agent = new Agent(dependencies.wrap?.(parts) ?? parts);
  return { agent, backgroundTasks };
}

/** What renders and writes the files, within the agent's memory. */
function outputParts(
  config: AgentConfig,
  { templates: given, writer: chosen, memory }: AgentDependencies,
  common: Common,
): Pick<AgentParts<unknown>, 'templates' | 'writer'> {
  const templates: TemplatePort<unknown> = given ?? localTemplates(config.maxRenderBytes);
  const writer = chosen ?? outputWriter(config, common);
  return memory === undefined
    ? { templates, writer }
    : { templates: memory.templates(templates), writer: memory.writer(writer) };
}

function outputWriter(config: AgentConfig, common: Common): WriterPort {
  const { outputDirectory, env } = config;
  const files = createFileWriter({ directory: outputDirectory, ...common });
  if (env === undefined) return files;
  const { directory } = env;
  const variables = createFileWriter({ directory, ...common });
  const names = config.files.flatMap(({ variable }) => (variable === undefined ? [] : [variable]));
  return createEnvWriter({ files, variables, directory, names, ...common });
}

function stateFileOf({ stateDirectory }: AgentConfig, clock: Clock): StateFile | undefined {
  return stateDirectory === undefined ? undefined : new StateFile(stateDirectory, clock);
}

interface Common {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

interface Building extends Common {
  readonly backgroundTasks: Task[];
  /** Called by {@link BuiltAgent.close}. */
  readonly closers: (() => void)[];
  readonly dependencies: Pick<AgentDependencies, 'shared' | 'owner' | 'parser' | 'room'>;
}

/** The clients of all logins; logins to the same Vault share one. */
async function buildVaults(
  config: AgentConfig,
  building: Building,
): Promise<{
  readonly vault: VaultClient | undefined;
  readonly vaults: ReadonlyMap<string, VaultClient>;
}> {
  const clients = new Map<string, VaultClient>();
  const clientOf = async (vault: VaultConfig): Promise<VaultClient> => {
    const key = JSON.stringify(vault);
    const client = clients.get(key) ?? (await buildVault(vault, building));
    clients.set(key, client);
    return client;
  };
  const { vault, auth } = config;
  if (vault === undefined || auth === undefined) return { vault: undefined, vaults: new Map() };
  const own = await clientOf(vault);
  const vaults = new Map<string, VaultClient>();
  for (const login of config.logins) vaults.set(login.name, await clientOf(login.vault));
  return { vault: own, vaults };
}

async function buildVault(
  vault: VaultConfig,
  {
    backgroundTasks,
    closers,
    dependencies: { shared, owner = '', parser, room },
    ...common
  }: Building,
): Promise<VaultClient> {
  const { address, namespace, tlsServerName, redirectHosts, proxy, timeoutMs } = vault;
  const options = {
    ...common,
    address,
    timeoutMs,
    ...(namespace !== undefined && { namespace }),
    ...(parser !== undefined && { parser }),
    ...(room !== undefined && { budget: room }),
  };
  if (shared !== undefined) {
    const borrowed = await shared.connect(vault, owner);
    closers.push(() => borrowed.giveBack());
    const { connections, limiter } = borrowed;
    return createVaultClient({ ...options, connections, limiter });
  }
  const ca = await loadCaBundle(vault, common.logger);
  backgroundTasks.push((signal) => ca.run(signal));
  const client = createVaultClient({
    ...options,
    ca: ca.current,
    redirectHosts,
    proxy,
    ...(tlsServerName !== undefined && { tlsServerName }),
  });
  closers.push(() => client.close());
  return client;
}

function buildIdentity(
  config: AgentConfig,
  {
    closers,
    svids,
    ...common
  }: Common & Pick<Building, 'closers'> & Pick<AgentDependencies, 'svids'>,
): Identity | undefined {
  const { spiffe } = config;
  if (spiffe === undefined) return undefined;
  const api = svids ?? createWorkloadApi({ ...common, address: spiffe.socket });
  if (svids === undefined) closers.push(() => api.close());
  const { spiffeId, hint } = spiffe;
  return createIdentity({
    ...common,
    api,
    ...(spiffeId === undefined ? {} : { spiffeId }),
    ...(hint === undefined ? {} : { hint }),
  });
}

function identityPort(identity: Identity): IdentityPort {
  return {
    jwtSvid: (audiences, signal) => identity.jwtSvid(audiences, signal),
    x509Svid: async (signal) => x509Files(await identity.x509Svid(signal)),
    async *x509Updates(signal) {
      for await (const update of identity.x509Updates(signal)) yield x509Files(update);
    },
    get lastError() {
      return identity.lastError;
    },
  };
}

function x509Files(identity: X509Identity): X509Files {
  const { spiffeId, expiresAtMs } = identity.svid;
  return { ...x509Pem(identity), spiffeId: spiffeId.uri, expiresAtMs };
}
