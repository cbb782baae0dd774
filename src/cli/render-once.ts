/**
 * Renders the files of an injected pod in this process, without writing them to disk.
 */
import type { WriterPort } from '../agent/index.ts';
import { buildAgent } from '../agent-runtime/index.ts';
import { runAll } from '../async/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { Logger } from '../core/index.ts';
import type { InjectedPod, OpenOptions } from '../dev/show/index.ts';

/** The files that the agent would write. */
export interface RenderedFiles {
  readonly config: AgentConfig;
  /** Content by path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Options of {@link renderOnce}: the servers around the pod, and where problems are reported. */
export type RenderOptions = OpenOptions & { readonly logger: Logger };

/** Logs in, reads and renders the files, and revokes all credentials. */
export async function renderOnce(
  injected: InjectedPod,
  options: RenderOptions,
  signal: AbortSignal,
): Promise<RenderedFiles> {
  const { prepareAgent } = await import('../dev/show/index.ts');
  await using local = await prepareAgent(injected, options, signal);
  return { config: local.config, files: await deliverOnce(local.config, options, signal) };
}

async function deliverOnce(
  config: AgentConfig,
  { clock, random, logger }: RenderOptions,
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
  const built = await buildAgent(config, { clock, random, logger, writer, notifier });
  const delivered = new AbortController();
  const background = new AbortController();
  const backgroundEnded = runAll(background.signal, built.backgroundTasks);
  try {
    await runAll(AbortSignal.any([signal, delivered.signal]), [
      // Revokes all credentials when it ends.
      (inner) => built.agent.run(inner),
      async (inner) => {
        await built.agent.delivered(inner);
        delivered.abort();
      },
    ]);
    signal.throwIfAborted();
    return rendered;
  } finally {
    background.abort();
    await backgroundEnded;
    built.close();
  }
}
