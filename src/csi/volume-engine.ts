/**
 * Builds the engine of a volume: an agent that runs in the driver, bounded by the driver's shares, and that writes only
 * while the volume is mounted.
 */
import type { TemplatePort, WriterPort } from '../agent/index.ts';
import { buildAgent, type BuiltAgent, type SharedConnections } from '../agent-runtime/index.ts';
import type { FairShares } from '../async/index.ts';
import { parseAgentConfig, type AgentConfig } from '../config/agent/index.ts';
import { VouchsafeError, type Logger } from '../core/index.ts';
import type { Client, SentTemplate } from '../renderer/index.ts';
import type { FileOwner, MemoryBudget } from './memory-budget.ts';
import type { OrphanedLogins } from './orphaned-logins.ts';
import type { DriverParts, RendererPort } from './ports.ts';
import type { StoredRecord } from './records.ts';
import type { TokenSource } from './service-account-tokens.ts';
import { VolumeRoom } from './volume-room.ts';

/** Admission denies the settings that would notify a container. */
const NO_NOTIFIER = { notify: () => Promise.resolve() };

/** The parts around a volume and its engine. */
export type VolumeParts = Pick<
  DriverParts,
  | 'maxDependencies'
  | 'maxValueBytes'
  | 'grants'
  | 'svids'
  | 'renderer'
  | 'clock'
  | 'random'
  | 'logger'
  | 'metrics'
  | 'waits'
> & {
  readonly shared: SharedConnections;
  /** Logins in flight, by namespace. */
  readonly logins: FairShares;
  readonly budget: MemoryBudget;
  /** Whether a volume is mounted at a target path. */
  readonly isMounted: (target: string) => Promise<boolean>;
};

/** What the engine of one volume works with. */
export interface EngineOptions {
  readonly stored: StoredRecord;
  readonly parts: VolumeParts;
  /** Owner of the memory that files and values take. */
  readonly owner: FileOwner;
  /** For whom the renderer works. */
  readonly client: Client;
  /** Tokens of the kubelet; undefined where an SVID logs in. */
  readonly tokens: TokenSource | undefined;
  readonly logins: OrphanedLogins;
  readonly logger: Logger;
}

/** Builds an engine. Without a signal it can only revoke, and gets no identity. @throws VouchsafeError for an invalid document. */
export async function buildEngine(
  options: EngineOptions,
  signal?: AbortSignal,
): Promise<BuiltAgent> {
  const { stored, parts, owner, client, tokens, logins, logger } = options;
  const { clock, random, metrics, shared, renderer } = parts;
  const { pod } = stored.record.spec;
  const config = configOf(stored, parts);
  const needsSvids = config.spiffe !== undefined && signal !== undefined;
  const svids = needsSvids ? await parts.svids(pod, signal) : undefined;
  return buildAgent(config, {
    clock,
    random,
    metrics,
    shared,
    logger,
    notifier: NO_NOTIFIER,
    token: tokens,
    svids,
    owner: owner.namespace,
    room: new VolumeRoom(parts.budget, owner, parts.maxValueBytes),
    templates: templatesOf(renderer, client),
    parser: { parse: (answer, inner) => renderer.open(answer, client, inner) },
    wrap: (agent) => ({
      ...agent,
      maxValues: parts.maxDependencies,
      revokeAllMs: parts.waits.revokeMs,
      writer: guardedWriter(agent.writer, options, signal),
      vault: agent.vault && logins.watch(agent.vault),
    }),
  });
}

/** Writes only while the volume is mounted: below the mount is a directory on the node's disk, where no secret may be written. */
function guardedWriter(
  writer: WriterPort,
  { stored, parts, owner }: EngineOptions,
  engine: AbortSignal | undefined,
): WriterPort {
  const { target } = stored.record.spec;
  return {
    write: async (files, signal) => {
      engine?.throwIfAborted(); // the directory may belong to another volume by now
      if (await parts.isMounted(target)) {
        return parts.budget.within(owner, files, () => writer.write(files, signal));
      }
      const text = `${target} is no longer mounted: not writing to the directory below it`;
      throw new VouchsafeError('ERR_OUTPUT_IO', text);
    },
  };
}

function configOf(
  { record, directory }: StoredRecord,
  { grants }: Pick<VolumeParts, 'grants'>,
): AgentConfig {
  const config = parseAgentConfig(record.document);
  return {
    ...config,
    grants: grants(record.spec.pod, config),
    outputDirectory: record.spec.target,
    stateDirectory: directory,
    // The kubelet calls again and again, and the pod's events show why its files are missing.
    onMissingVault: 'wait',
    listen: undefined,
    terminationLog: undefined,
  };
}

/** Sends templates to the renderer as they are. */
function templatesOf(
  renderer: Pick<RendererPort, 'render'>,
  client: Client,
): TemplatePort<SentTemplate> {
  return {
    parseTemplate: (source, name) => ({ name, source }),
    formatTemplate: (format) => ({ name: `${format} format`, format }),
    renderTemplates: (jobs, values, signal) => renderer.render({ jobs, values }, client, signal),
  };
}
