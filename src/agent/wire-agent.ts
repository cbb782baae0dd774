/**
 * Makes the collaborators of an agent and connects them.
 */
import {
  NO_LOGGER,
  NO_METRICS,
  type Clock,
  type Logger,
  type Metrics,
  type Random,
  type VouchsafeError,
} from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import { createRevoker, NO_REVOKER, type CredentialRevoker } from './credential-revoker.ts';
import { Delivery, type DeliveryParts } from './delivery.ts';
import { createFileSet, type FileSet } from './file-set.ts';
import { Handover } from './handover.ts';
import { loginOnce } from './login.ts';
import { MountedTemplates } from './mounted-templates.ts';
import { createObtainer } from './obtain.ts';
import type { FilesState } from './phase.ts';
import type {
  FilesPort,
  IdentityPort,
  NotifierPort,
  TemplatePort,
  TokenPort,
  ValuesRoom,
  VaultPort,
  WriterPort,
} from './ports.ts';
import { Sessions } from './sessions.ts';
import type { StateFile } from './state-file.ts';
import { tokenLife } from './token-life.ts';
import { Values } from './values.ts';

/** The parts of an agent. */
export interface AgentParts<T> {
  readonly config: AgentConfig;
  /** Undefined where the config has no Vault. */
  readonly vault: VaultPort | undefined;
  /** Undefined where the config has no Workload API. */
  readonly identity: IdentityPort | undefined;
  readonly templates: TemplatePort<T>;
  readonly writer: WriterPort;
  readonly notifier: NotifierPort;
  readonly files: FilesPort;
  /** The service-account token. Default: the file that the config names. */
  readonly token?: TokenPort | undefined;
  /** The most dependencies of all files. Default 10 000. */
  readonly maxValues?: number | undefined;
  /** Time for all revocations at the end, in milliseconds. Default: 5 s. */
  readonly revokeAllMs?: number | undefined;
  /** Bounds the memory of the values. Default: no bound. */
  readonly room?: ValuesRoom | undefined;
  /** Where the state is saved for a successor. Undefined: nowhere. */
  readonly stateFile: StateFile | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** What the collaborators report to the agent. */
export interface AgentHooks {
  /** Something has changed that a successor has to know; it is saved soon. */
  readonly onChange: () => void;
  /** The state has to be saved now. */
  readonly save: () => void;
  /** Other templates are in use. */
  readonly onTemplates: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
}

/** The collaborators of an agent. */
export interface Wiring {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly fileSet: FileSet;
  readonly templates: MountedTemplates;
  /** Undefined where the config has no Vault or no login. */
  readonly sessions: Sessions | undefined;
  readonly values: Values;
  readonly revoker: CredentialRevoker;
  readonly handover: Handover;
  /** Path -> digest of each file in the last notification. */
  readonly notifiedDigests: Map<string, string>;
}

/**
 * Makes the collaborators; nothing runs yet.
 *
 * @throws VouchsafeError `ERR_TEMPLATE_*` for a template that can never be rendered.
 */
export function wireAgent<T>(parts: AgentParts<T>, hooks: AgentHooks): Wiring {
  const { config, clock, random, maxValues, room, stateFile } = parts;
  const { onChange, onFailure } = hooks;
  const logger = parts.logger ?? NO_LOGGER;
  const metrics = parts.metrics ?? NO_METRICS;
  const fileSet = createFileSet(config, parts.templates, parts.files);
  const templates = new MountedTemplates({
    fileSet,
    files: parts.files,
    logger,
    onChange: hooks.onTemplates,
    onFailure,
  });
  const common = { clock, random, logger, metrics, onChange };
  const sessions = createSessions(parts, { ...common, save: hooks.save });
  const { auth, grants } = config;
  const obtainer = createObtainer({ ...parts, sessions, auth, grants });
  const values = new Values({
    ...common,
    obtainer,
    maxValues,
    room,
    onFailure,
    token: () => sessions?.current && tokenLife(sessions.current),
    logIn: () => sessions?.replaceBeforeEnd(),
  });
  const notifiedDigests = new Map<string, string>();
  const state = { stateFile, sessions, values, notifiedDigests, clock, logger };
  const handover = new Handover(config, state);
  const revoker = revokerOf(parts, { sessions, values, logger });
  return {
    logger,
    metrics,
    fileSet,
    templates,
    sessions,
    values,
    revoker,
    handover,
    notifiedDigests,
  };
}

function createSessions<T>(
  parts: AgentParts<T>,
  common: Omit<ConstructorParameters<typeof Sessions>[0], 'vault' | 'login'>,
): Sessions | undefined {
  const { vault, config } = parts;
  const { auth, grants } = config;
  if (vault === undefined || auth === undefined) return undefined;
  const login = (signal: AbortSignal) => loginOnce({ ...parts, auth, vault, grants }, signal);
  return new Sessions({ ...common, vault, login });
}

function revokerOf<T>(
  { vault, config, revokeAllMs, clock, random }: AgentParts<T>,
  { sessions, values, logger }: Pick<Wiring, 'sessions' | 'values' | 'logger'>,
): CredentialRevoker {
  if (vault === undefined || sessions === undefined) return NO_REVOKER;
  const graceMs = config.revokeGraceMs;
  return createRevoker({ vault, sessions, values, graceMs, revokeAllMs, clock, random, logger });
}

/** What the delivery of a run depends on, beside the collaborators. */
export interface DeliveryHooks extends Pick<
  DeliveryParts,
  'onNotified' | 'beforeWrite' | 'onDelivered' | 'onFailure'
> {
  /** The files that a predecessor left. */
  readonly found: FilesState;
}

/** Makes the delivery of a run. */
export function createDelivery<T>(
  { config, writer, notifier, clock, random }: AgentParts<T>,
  { fileSet, values, revoker, logger, metrics, notifiedDigests }: Wiring,
  { found, ...hooks }: DeliveryHooks,
): Delivery {
  const ports = { config, writer, notifier, clock, random };
  const own = { fileSet, values, revoker, logger, metrics, notifiedDigests };
  return new Delivery({ ...ports, ...own, ...hooks }, found === 'none' ? 'none' : 'by-predecessor');
}
