/**
 * The agent's document for this machine: the same as in the pod, with the pod's places mapped to local ones.
 */
import { formatDuration, parseDuration } from '../../core/index.ts';
import type { RawAgentConfig } from '../../config/agent/index.ts';
import { DEFAULTS } from '../../config/schema/index.ts';
import { localPath } from './volumes.ts';

/** A static secret is read this often at the most seldom, so that a person sees it change. */
export const SHOWN_REFRESH_MS = 3000;

/** Where the pod's places are on this machine. */
export interface LocalPlaces {
  readonly mounts: readonly { readonly name: string; readonly mountPath: string }[];
  /** Directory by volume. */
  readonly directories: ReadonlyMap<string, string>;
  readonly socket: string;
  /** Undefined keeps the pod's own connection. */
  readonly vaultAddress: string | undefined;
  readonly vaultNamespace: string | undefined;
  readonly vaultCaFile: string | undefined;
  readonly vaultCaPem?: string | undefined;
  readonly terminationLog: string;
  /** Port of the application by the port that the pod names. */
  readonly applicationPort: number;
}

/** Maps a document. */
export function localConfig(raw: RawAgentConfig, places: LocalPlaces): RawAgentConfig {
  const map = (path: string): string => localPath(path, places.mounts, places.directories);
  const { spiffe, auth, stateDirectory } = raw;
  const directory = map(raw.output?.directory ?? DEFAULTS.OUTPUT_DIRECTORY);
  return {
    ...raw,
    ...(spiffe === undefined ? {} : { spiffe: { ...spiffe, socket: places.socket } }),
    ...(raw.vault === undefined ? {} : { vault: localVault(raw, places, map) }),
    ...(auth?.tokenFile === undefined ? {} : { auth: { ...auth, tokenFile: map(auth.tokenFile) } }),
    output: { ...raw.output, directory },
    files: (raw.files ?? []).map((file) => ({
      ...file,
      ...(file.templateFile === undefined ? {} : { templateFile: map(file.templateFile) }),
      refresh: shownRefresh(file.refresh),
      ...(file.onChange === undefined ? {} : { onChange: localActions(file.onChange, places) }),
    })),
    ...(raw.onChange === undefined ? {} : { onChange: localActions(raw.onChange, places) }),
    ...(stateDirectory === undefined ? {} : { stateDirectory: map(stateDirectory) }),
    listen: '127.0.0.1:0',
    terminationLog: places.terminationLog,
    revokeGrace: '2s',
  };
}

function localVault(
  { vault }: RawAgentConfig,
  places: LocalPlaces,
  map: (path: string) => string,
): NonNullable<RawAgentConfig['vault']> {
  const { vaultAddress, vaultNamespace, vaultCaFile, vaultCaPem } = places;
  if (vaultAddress === undefined) {
    return vault?.caFile === undefined ? { ...vault } : { ...vault, caFile: map(vault.caFile) };
  }
  return {
    address: vaultAddress,
    ...(vaultNamespace === undefined ? {} : { namespace: vaultNamespace }),
    ...(vaultCaFile === undefined ? {} : { caFile: vaultCaFile }),
    ...(vaultCaPem === undefined ? {} : { caPem: vaultCaPem }),
  };
}

function shownRefresh(refresh: string | undefined): string {
  const asked = parseDuration(refresh ?? '') ?? Infinity;
  return formatDuration(Math.min(asked, SHOWN_REFRESH_MS));
}

/** The application's port is taken on many machines: its stand-in listens where there is room. */
function localActions(actions: readonly string[], places: LocalPlaces): readonly string[] {
  return actions.map((action) =>
    action.replace(/^(http:\w+ \w+:\/\/[^/:]+)(:\d+)?/, `$1:${places.applicationPort}`),
  );
}
