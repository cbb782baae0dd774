/**
 * The render processes of the driver. Wiring only.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Installation } from '../../src/config/installation/index.ts';
import type { Clock, Logger, Metrics } from '../../src/core/index.ts';
import type { Task } from '../../src/async/index.ts';
import { sandboxed, systemRandom } from '../../src/platform/index.ts';
import { createRenderCounts, headOf, Renderer, type Setup } from '../../src/renderer/index.ts';
import { Pool } from '../../src/worker-pool/index.ts';
import { RENDER_LIMITS } from '../../src/template/index.ts';

/** Most bytes of all values of a volume together, and of all its files. */
export const MAX_FRAME_BYTES = 16 * 2 ** 20;

/** The parts around {@link startRenderers}. */
export interface RenderersOptions {
  readonly installation: Installation;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Creates the pool; its processes run while `run` does. */
export function startRenderers({ installation, metrics, ...parts }: RenderersOptions): {
  readonly renderer: Renderer;
  readonly run: Task;
} {
  const { processes, timeoutMs, heapBytes } = installation.csi.rendering;
  const { maxDependencies: dependencies, maxRenderBytes: workBytes } = installation.csi;
  const limits = { ...RENDER_LIMITS, workBytes, dependencies };
  const setup: Setup = { limits };
  const pool = new Pool({
    ...parts,
    counts: createRenderCounts(metrics),
    processes,
    timeoutMs,
    maxFrameBytes: MAX_FRAME_BYTES,
    random: systemRandom,
    // A process that keeps more than half of its heap is replaced, which frees the memory.
    maxGrowthBytes: heapBytes / 2,
    setup: [headOf(setup)],
    start: sandboxed({ ...program(), heapBytes }, parts.logger),
  });
  const bounds = { timeoutMs, heapBytes, frameBytes: MAX_FRAME_BYTES };
  return { renderer: new Renderer(pool, bounds), run: (signal) => pool.run(signal) };
}

/** The arguments that start a render process, from source or in the image, and the directory with all files it needs. */
function program(): { readonly args: readonly string[]; readonly directory: string } {
  const here = dirname(fileURLToPath(import.meta.url));
  if (!import.meta.url.endsWith('.ts')) {
    return { args: [join(here, 'vouchsafe.cjs'), 'renderer'], directory: dirname(here) };
  }
  const root = dirname(dirname(here));
  return { args: [join(root, 'cmd', 'renderer', 'main.ts')], directory: root };
}
