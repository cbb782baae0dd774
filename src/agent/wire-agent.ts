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
import { createRevoker, type CredentialRevoker } from './credential-revoker.ts';
import { Delivery, type DeliveryParts } from './delivery.ts';
import { EnvContainers } from './env-containers.ts';
import { createFileSet, type FileSet } from './file-set.ts';
import { Handover } from './handover.ts';
import { loginOnce } from './login.ts';
import { loginTable, type Login, type Logins } from './logins.ts';
import { MountedTemplates } from './mounted-templates.ts';
import { createObtainer } from './obtain.ts';
import type { FilesState } from './phase.ts';
import type {
  EnvPort,
  FilesPort,
  IdentityPort,
  NotifierPort,
  StartGatePort,
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
  /** The Vault of each login of the config that has a name. Default: none. */
  readonly vaults?: ReadonlyMap<string, VaultPort>;
  /** Undefined where the config has no Workload API. */
  readonly identity: IdentityPort | undefined;
  readonly templates: TemplatePort<T>;
  readonly writer: WriterPort;
  readonly notifier: NotifierPort;
  /** The environment of other containers. Default: not visible. */
  readonly env?: EnvPort | undefined;
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
  /** The hook that waits for the first delivery. Default: none does. */
  readonly startGate?: StartGatePort | undefined;
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
  readonly logins: Logins;
  readonly values: Values;
  readonly revoker: CredentialRevoker;
  readonly handover: Handover;
  /** Undefined without environment variables. */
  readonly envContainers: EnvContainers | undefined;
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
  const logins = createLogins(parts, { ...common, save: hooks.save });
  const obtainer = createObtainer({ ...parts, logins, grants: config.grants });
  const values = new Values({
    ...common,
    obtainer,
    maxValues,
    room,
    onFailure,
    token: (name) => {
      const session = logins.get(name)?.sessions.current;
      return session && tokenLife(session);
    },
    logIn: (name) => logins.get(name)?.sessions.replaceBeforeEnd(),
  });
  const notifiedDigests = new Map<string, string>();
  const state = { stateFile, logins, values, notifiedDigests, clock, logger };
  const handover = new Handover(config, state);
  const revoker = revokerOf(parts, { logins, values, logger });
  return {
    logger,
    metrics,
    fileSet,
    templates,
    logins,
    values,
    revoker,
    handover,
    envContainers: envContainersOf(parts),
    notifiedDigests,
  };
}

function envContainersOf<T>({
  config,
  env = INVISIBLE,
  notifier,
  clock,
}: AgentParts<T>): EnvContainers | undefined {
  if (config.env === undefined) return undefined;
  return new EnvContainers({ names: config.env.containers, env, notifier, clock });
}

/** The environment of containers of which the agent sees no process. */
const INVISIBLE: EnvPort = { versionOf: () => Promise.resolve(undefined) };

/** What is known of a login before it has sessions. */
type LoginSettings = Omit<Login, 'sessions'>;

function createLogins<T>(
  parts: AgentParts<T>,
  common: Omit<ConstructorParameters<typeof Sessions>[0], 'vault' | 'login'>,
): Logins {
  const logins = loginSettings(parts).map((settings): Login => {
    const { name, vault } = settings;
    const login = (signal: AbortSignal) => loginOnce({ ...parts, ...settings }, signal);
    const logger = name === undefined ? common.logger : common.logger.child({ login: name });
    return { ...settings, sessions: new Sessions({ ...common, logger, vault, login }) };
  });
  return loginTable(logins);
}

function loginSettings<T>({ config, vault, vaults }: AgentParts<T>): readonly LoginSettings[] {
  const { auth, grants } = config;
  if (vault === undefined || auth === undefined) return [];
  const named = config.logins.map(({ name, ...login }) => {
    const own = vaults?.get(name);
    if (own === undefined) throw new TypeError(`the login ${name} has no Vault`);
    return { name, auth: login.auth, grants: login.grants, vault: own };
  });
  return [{ name: undefined, auth, grants, vault }, ...named];
}

function revokerOf<T>(
  { config, revokeAllMs, clock, random }: AgentParts<T>,
  { logins, values, logger }: Pick<Wiring, 'logins' | 'values' | 'logger'>,
): CredentialRevoker {
  const graceMs = config.revokeGraceMs;
  const common = { values, graceMs, revokeAllMs, clock, random, logger };
  return createRevoker({ ...common, logins: logins.values() });
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
  { fileSet, values, revoker, logger, metrics, notifiedDigests, envContainers }: Wiring,
  { found, ...hooks }: DeliveryHooks,
): Delivery {
  const ports = { config, writer, notifier, clock, random };
  const own = { fileSet, values, revoker, logger, metrics, notifiedDigests, envContainers };
  return new Delivery({ ...ports, ...own, ...hooks }, found === 'none' ? 'none' : 'by-predecessor');
}
