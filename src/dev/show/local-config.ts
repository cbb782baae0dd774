/**
 * The AgentConfig for this machine: that of the pod, with paths and addresses mapped to local ones.
 */
import { formatDuration, parseDuration } from '../../core/index.ts';
import type { RawAgentConfig } from '../../config/agent/index.ts';
import { DEFAULTS } from '../../config/schema/index.ts';
import { localPath } from './volumes.ts';

/** Longest `refresh`, so that changes can be watched. */
const MAX_REFRESH_MS = 3000;

/** Local paths and addresses for those of the pod. */
export interface LocalPlaces {
  readonly mounts: readonly { readonly name: string; readonly mountPath: string }[];
  /** Directory by volume. */
  readonly directories: ReadonlyMap<string, string>;
  readonly socket: string;
  /** Undefined: the pod's own connection. */
  readonly vaultAddress: string | undefined;
  readonly vaultNamespace: string | undefined;
  readonly vaultCaFile: string | undefined;
  readonly vaultCaPem?: string | undefined;
  readonly vaultProxy?: string | undefined;
  readonly terminationLog: string;
  /** Port of the application on this machine. */
  readonly applicationPort: number;
}

/** Maps an AgentConfig. */
export function localConfig(raw: RawAgentConfig, places: LocalPlaces): RawAgentConfig {
  const map = (path: string): string => localPath(path, places.mounts, places.directories);
  const { spiffe, logins, stateDirectory } = raw;
  const directory = map(raw.output?.directory ?? DEFAULTS.OUTPUT_DIRECTORY);
  return {
    ...raw,
    ...(spiffe === undefined ? {} : { spiffe: { ...spiffe, socket: places.socket } }),
    ...localLogin(raw, places, map),
    ...(logins && {
      logins: logins.map((login) => ({ ...login, ...localLogin(login, places, map) })),
    }),
    output: { ...raw.output, directory },
    refresh: shownRefresh(raw.refresh),
    files: (raw.files ?? []).map((file) => ({
      ...file,
      ...(file.templateFile === undefined ? {} : { templateFile: map(file.templateFile) }),
      ...(file.refresh === undefined ? {} : { refresh: shownRefresh(file.refresh) }),
      ...(file.onChange === undefined ? {} : { onChange: localActions(file.onChange, places) }),
    })),
    ...(raw.onChange === undefined ? {} : { onChange: localActions(raw.onChange, places) }),
    ...(stateDirectory === undefined ? {} : { stateDirectory: map(stateDirectory) }),
    listen: '127.0.0.1:0',
    terminationLog: places.terminationLog,
    revokeGrace: '2s',
  };
}

/** Every login is at the one Vault of this machine. */
function localLogin(
  { vault, auth }: Pick<RawAgentConfig, 'vault' | 'auth'>,
  places: LocalPlaces,
  map: (path: string) => string,
): Pick<RawAgentConfig, 'vault' | 'auth'> {
  return {
    ...(vault && { vault: localVault({ vault }, places, map) }),
    ...(auth?.tokenFile !== undefined && { auth: { ...auth, tokenFile: map(auth.tokenFile) } }),
  };
}

function localVault(
  { vault }: Pick<RawAgentConfig, 'vault'>,
  places: LocalPlaces,
  map: (path: string) => string,
): NonNullable<RawAgentConfig['vault']> {
  const { vaultAddress, vaultNamespace, vaultCaFile, vaultCaPem, vaultProxy } = places;
  if (vaultAddress === undefined) {
    return vault?.caFile === undefined ? { ...vault } : { ...vault, caFile: map(vault.caFile) };
  }
  return {
    address: vaultAddress,
    ...(vaultNamespace === undefined ? {} : { namespace: vaultNamespace }),
    ...(vaultCaFile === undefined ? {} : { caFile: vaultCaFile }),
    ...(vaultCaPem === undefined ? {} : { caPem: vaultCaPem }),
    ...(vaultProxy === undefined ? {} : { proxy: vaultProxy }),
  };
}

function shownRefresh(refresh: string | undefined): string {
  const requested = parseDuration(refresh ?? '') ?? Infinity;
  return formatDuration(Math.min(requested, MAX_REFRESH_MS));
}

/** The application's port may be in use on this machine, so its stand-in listens on another one. */
function localActions(actions: readonly string[], places: LocalPlaces): readonly string[] {
  return actions.map((action) =>
    action.replace(/^(http:\w+ \w+:\/\/[^/:]+)(:\d+)?/, `$1:${places.applicationPort}`),
  );
}
