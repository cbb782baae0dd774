/**
 * Renders the files of an injected pod in this process, without writing them anywhere.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../core/index.ts';
import type { Pod } from '../../admission/index.ts';
import type { WriterPort } from '../../agent/index.ts';
import { parseAgentConfig, type AgentConfig, type RawAgentConfig } from '../../config/index.ts';
import { buildAgent } from '../../agent-runtime/index.ts';
import { runAll } from '../../async/index.ts';
import { localConfig } from './local-config.ts';
import { makeVolumes, mountsOf, withDriverParts } from './local-pod.ts';
import { openIdentities, openVault, type OpenOptions } from './open.ts';

/** What the agent would have written. */
export interface RenderedFiles {
  readonly config: AgentConfig;
  /** Content by path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A pod after its injection, and the document of its agent or of the CSI driver. */
export interface RenderedPod {
  readonly pod: Pod;
  readonly document: RawAgentConfig;
}

/** Logs in, reads, renders, and gives everything back to Vault. */
export async function renderOnce(
  { pod, document: given }: RenderedPod,
  options: OpenOptions & { readonly logger: Logger },
  signal: AbortSignal,
): Promise<RenderedFiles> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-render-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const asked = parseAgentConfig(given);
  const identities = stack.use(await openIdentities(asked, pod, options, signal));
  const { shown } = await openVault(asked, identities, options);
  stack.use(shown);

  const directories = await makeVolumes({
    ...{ pod: withDriverParts(pod, given), directory, outputDirectory: join(directory, 'secrets') },
    configMaps: options.configMaps,
    serviceAccountToken: (audience) => identities.serviceAccountToken(audience),
  });
  const { stateDirectory: _, ...document } = localConfig(given, {
    ...{ mounts: mountsOf(pod), directories, socket: identities.socket },
    vaultAddress: shown.address,
    vaultNamespace: options.vault?.namespace,
    vaultCaFile: options.vault?.caFile,
    vaultCaPem: shown.caPem,
    terminationLog: join(directory, 'termination-log'),
    applicationPort: 1,
  });
  const config = parseAgentConfig({ ...document, revokeOnExit: true });
  return { config, files: await deliverOnce(config, options, signal) };
}

async function deliverOnce(
  config: AgentConfig,
  options: OpenOptions & { readonly logger: Logger },
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const rendered = new Map<string, Uint8Array>();
  const writer: WriterPort = {
    write(files) {
      for (const { path, content } of files) rendered.set(path, content);
      return Promise.resolve({ changed: files.map(({ path }) => path), swapped: true });
    },
  };
  const notifier = { notify: () => Promise.resolve() };
  const { clock, random, logger } = options;
  const built = await buildAgent(config, { clock, random, logger, writer, notifier });
  const done = new AbortController();
  const companions = new AbortController();
  const beside = runAll(companions.signal, built.backgroundTasks);
  try {
    await runAll(AbortSignal.any([signal, done.signal]), [
      // Ends by revoking what it was given.
      (inner) => built.agent.run(inner),
      async (inner) => {
        await built.agent.delivered(inner);
        done.abort();
      },
    ]);
    signal.throwIfAborted();
    return rendered;
  } finally {
    companions.abort();
    await beside;
    built.close();
  }
}
