/**
 * Makes an agent of the real parts. Ring: host, the only one that knows both the engine and the parts.
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
  type AgentParts,
  type IdentityPort,
  type NotifierPort,
  type TemplatePort,
  type TokenPort,
  type ValuesRoom,
  type WriterPort,
  type X509Files,
} from '../agent/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { Task } from '../async/index.ts';
import { createNotifier } from '../notify/index.ts';
import { createFileWriter } from '../output/index.ts';
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
import { loadCaBundle } from './ca-bundle.ts';
import { localTemplates } from './local-templates.ts';
import type { SharedConnections } from './shared-connections.ts';

/** What surrounds an agent; the writer and the notifier can be others than the real ones (`render`). */
export interface AgentDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly writer?: WriterPort;
  readonly notifier?: NotifierPort;
  /** The workload's SVIDs, instead of the Workload API that the config names; closed with the agent, or where none can be made. */
  readonly svids?: SvidApi | undefined;
  /** The workload's service-account token, instead of the file that the config names. */
  readonly token?: TokenPort | undefined;
  /** Connections that other agents of this process share with this one. Default: its own. */
  readonly shared?: SharedConnections | undefined;
  /** Whose part of what is shared it uses: that of its tenant. Default: that of nobody in particular. */
  readonly owner?: string;
  /** What renders. Default: {@link localTemplates}. */
  readonly templates?: TemplatePort<unknown> | undefined;
  /** What opens answers of Vault that hold values. Default: the Vault client, at once. */
  readonly parser?: ResponseParser | undefined;
  /** Where values are counted, and answers while they are read. Default: nowhere. */
  readonly room?: (ResponseBudget & ValuesRoom) | undefined;
  /** Changes the parts before the agent is made of them: tests put faults between them. Default: none. */
  readonly wrap?: (parts: AgentParts<unknown>) => AgentParts<unknown>;
}

/** An agent with what it needs to run beside it. */
export interface BuiltAgent {
  readonly agent: Agent<unknown>;
  /** Work that must go on while the agent runs: identity streams, CA files. */
  readonly backgroundTasks: readonly Task[];
  /** Closes connections; call it when the agent has ended. */
  close(): void;
}

/**
 * Builds the agent that a config describes.
 *
 * @throws VouchsafeError `ERR_CONFIG_*`, `ERR_TEMPLATE_*`, `ERR_SPIFFE_ADDRESS`.
 */
export async function buildAgent(
  config: AgentConfig,
  surroundings: AgentDependencies,
): Promise<BuiltAgent> {
  const closers: (() => void)[] = [];
  const close = (): void => closers.forEach((one) => one());
  try {
    return { ...(await assemble(config, surroundings, closers)), close };
  } catch (error) {
    close(); // nobody else would give back what was borrowed so far
    throw error;
  }
}

async function assemble(
  config: AgentConfig,
  surroundings: AgentDependencies,
  closers: (() => void)[],
): Promise<Omit<BuiltAgent, 'close'>> {
  const logger = surroundings.logger ?? NO_LOGGER;
  const metrics = surroundings.metrics ?? NO_METRICS;
  const common = { clock: surroundings.clock, random: surroundings.random, logger, metrics };
  const companions: Task[] = [];

  const { token, svids } = surroundings;
  if (svids !== undefined) closers.push(() => svids.close());
  const vault = await buildVault(config, { ...common, companions, closers, surroundings });
  const identity = buildIdentity(config, { ...common, closers, svids });
  // What ends it is told to the engine by the port, which knows whether a start or a refresh fails.
  if (identity !== undefined && needsX509(config))
    companions.push((signal) => identity.run(signal).catch(() => undefined));

  const parts: AgentParts<unknown> = {
    ...common,
    config,
    vault,
    identity: identity === undefined ? undefined : identityPort(identity),
    templates: surroundings.templates ?? localTemplates(config.maxRenderBytes),
    token,
    room: surroundings.room,
    writer:
      surroundings.writer ?? createFileWriter({ directory: config.outputDirectory, ...common }),
    notifier: surroundings.notifier ?? createNotifier(common),
    files: { read: readTextFile, watch: watchFiles },
    stateFile: stateFileOf(config, common.clock),
  };
  const agent = new Agent(surroundings.wrap?.(parts) ?? parts);
  return { agent, backgroundTasks: companions };
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
  readonly companions: Task[];
  /** What is to be called at the end. */
  readonly closers: (() => void)[];
  readonly surroundings: Pick<AgentDependencies, 'shared' | 'owner' | 'parser' | 'room'>;
}

async function buildVault(
  config: AgentConfig,
  { companions, closers, surroundings: { shared, owner = '', parser, room }, ...common }: Building,
): Promise<VaultClient | undefined> {
  const { vault } = config;
  if (vault === undefined || config.auth === undefined) return undefined;
  const { address, namespace, tlsServerName, redirectHosts, timeoutMs } = vault;
  const options = {
    ...{ ...common, address, timeoutMs },
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
  companions.push((signal) => ca.run(signal));
  const client = createVaultClient({
    ...options,
    ca: ca.current,
    redirectHosts,
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
