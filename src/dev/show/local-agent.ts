/**
 * An injected pod on this machine: its identity provider, its Vault and its volumes, and the AgentConfig for them.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pod } from '../../admission/index.ts';
import {
  parseAgentConfig,
  type AgentConfig,
  type RawAgentConfig,
} from '../../config/agent/index.ts';
import { localConfig } from './local-config.ts';
import { makeVolumes, mountsOf, withDriverParts } from './local-pod.ts';
import { openIdentities, openVault, type OpenOptions } from './open.ts';

/** A pod after its injection, and the document of its agent or of the CSI driver. */
export interface InjectedPod {
  readonly pod: Pod;
  readonly document: RawAgentConfig;
}

/** Servers and volumes of one pod; disposing ends and removes them. */
export interface LocalAgent extends AsyncDisposable {
  /** Revokes all credentials at its end. */
  readonly config: AgentConfig;
}

/** Prepares what the agent of a pod needs to run on this machine. The caller disposes of it. */
export async function prepareAgent(
  { pod, document: injected }: InjectedPod,
  options: OpenOptions,
  signal: AbortSignal,
): Promise<LocalAgent> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-render-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const original = parseAgentConfig(injected);
  const identities = stack.use(await openIdentities(original, pod, options, signal));
  const { shown } = await openVault(original, identities, options);
  stack.use(shown);
  const volumes = await makeVolumes({
    pod: withDriverParts(pod, injected),
    directory,
    outputDirectory: join(directory, 'secrets'),
    configMaps: options.configMaps,
    serviceAccountToken: (audience) => identities.serviceAccountToken(audience),
  });
  const {
    stateDirectory: _,
    startGate: __,
    ...document
  } = localConfig(injected, {
    mounts: mountsOf(pod),
    directories: volumes,
    socket: identities.socket,
    vaultAddress: shown.address,
    vaultNamespace: options.vault?.namespace,
    vaultCaFile: options.vault?.caFile,
    vaultCaPem: shown.caPem,
    vaultProxy: options.vault?.proxy,
    terminationLog: join(directory, 'termination-log'),
    applicationPort: 1,
  });
  const config = parseAgentConfig({ ...document, revokeOnExit: true });
  const owned = stack.move();
  return { config, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
