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
  type WriterPort,
  type X509Files,
} from '../agent/index.ts';
import type { AgentConfig } from '../config/index.ts';
import type { Task } from '../lifecycle/index.ts';
import { createNotifier } from '../notify/index.ts';
import { createFileWriter } from '../output/index.ts';
import { readTextFile, watchFiles } from '../platform/index.ts';
import {
  createIdentity,
  createWorkloadApi,
  x509Pem,
  type Identity,
  type X509Identity,
} from '../spiffe/index.ts';
import { formatTemplate, parseTemplate, renderTemplate, type Template } from '../template/index.ts';
import { createVaultClient, type VaultClient } from '../vault/index.ts';
import { loadCaBundle } from './ca-bundle.ts';

/** What surrounds an agent; the writer and the notifier can be others than the real ones (`render`). */
export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly writer?: WriterPort;
  readonly notifier?: NotifierPort;
  /** Changes the parts before the agent is made of them: tests put faults between them. Default: none. */
  readonly wrap?: (parts: AgentParts<Template>) => AgentParts<Template>;
}

/** An agent with what it needs to run beside it. */
export interface BuiltAgent {
  readonly agent: Agent<Template>;
  /** Work that must go on while the agent runs: identity streams, CA files. */
  readonly companions: readonly Task[];
  /** Closes connections; call it when the agent has ended. */
  close(): void;
}

/** The template functions as the engine wants them. */
const TEMPLATES = { formatTemplate, parseTemplate, renderTemplate };

/**
 * Builds the agent that a config describes.
 *
 * @throws VouchsafeError `ERR_CONFIG_*`, `ERR_TEMPLATE_*`, `ERR_SPIFFE_ADDRESS`.
 */
export async function buildAgent(
  config: AgentConfig,
  surroundings: Surroundings,
): Promise<BuiltAgent> {
  const logger = surroundings.logger ?? NO_LOGGER;
  const metrics = surroundings.metrics ?? NO_METRICS;
  const common = { clock: surroundings.clock, random: surroundings.random, logger, metrics };
  const companions: Task[] = [];
  const closers: (() => void)[] = [];

  const vault = await buildVault(config, common, companions);
  if (vault !== undefined) closers.push(() => vault.close());
  const identity = buildIdentity(config, common, closers);
  // What ends it is told to the engine by the port, which knows whether a start or a refresh fails.
  if (identity !== undefined && needsX509(config))
    companions.push((signal) => identity.run(signal).catch(() => undefined));

  const parts: AgentParts<Template> = {
    ...common,
    config,
    vault,
    identity: identity === undefined ? undefined : identityPort(identity),
    templates: TEMPLATES,
    writer:
      surroundings.writer ?? createFileWriter({ directory: config.outputDirectory, ...common }),
    notifier: surroundings.notifier ?? createNotifier(common),
    files: { read: readTextFile, watch: watchFiles },
    stateFile:
      config.stateDirectory === undefined
        ? undefined
        : new StateFile(config.stateDirectory, common.clock),
  };
  const agent = new Agent(surroundings.wrap?.(parts) ?? parts);
  return { agent, companions, close: () => closers.forEach((close) => close()) };
}

type Common = Required<Omit<Surroundings, 'writer' | 'notifier' | 'wrap'>>;

async function buildVault(
  config: AgentConfig,
  common: Common,
  companions: Task[],
): Promise<VaultClient | undefined> {
  const { vault } = config;
  if (vault === undefined || config.auth === undefined) return undefined;
  const ca = await loadCaBundle(vault, common.logger);
  companions.push((signal) => ca.run(signal));
  const { address, namespace, tlsServerName, timeoutMs } = vault;
  return createVaultClient({
    ...common,
    address,
    timeoutMs,
    ca: ca.current,
    ...(namespace === undefined ? {} : { namespace }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
  });
}

function buildIdentity(
  config: AgentConfig,
  common: Common,
  closers: (() => void)[],
): Identity | undefined {
  const { spiffe } = config;
  if (spiffe === undefined) return undefined;
  const api = createWorkloadApi({ ...common, address: spiffe.socket });
  closers.push(() => api.close());
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
