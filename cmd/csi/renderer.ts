/**
 * The processes in which the driver works on what pods ask for. Wiring only.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Installation } from '../../src/config/index.ts';
import type { Clock, Logger, Metrics } from '../../src/core/index.ts';
import type { Task } from '../../src/async/index.ts';
import { sandboxed, systemRandom } from '../../src/platform/index.ts';
import { createRenderCounts, headOf, Renderer, type Setup } from '../../src/renderer/index.ts';
import { Pool } from '../../src/sandbox/index.ts';
import { RENDER_LIMITS } from '../../src/template/index.ts';

/** All values of a volume together, or all of its files. */
export const MAX_FRAME_BYTES = 16 * 2 ** 20;

/** What {@link startRenderers} needs. */
export interface RenderersOptions {
  readonly installation: Installation;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Makes the pool; its processes are there as long as `run` is. */
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
    ...{ processes, timeoutMs, maxFrameBytes: MAX_FRAME_BYTES, random: systemRandom },
    // One that keeps more than half of its heap gives it back by making place for another.
    maxGrowthBytes: heapBytes / 2,
    setup: [headOf(setup)],
    start: sandboxed({ ...program(), heapBytes }, parts.logger),
  });
  const bounds = { timeoutMs, heapBytes, frameBytes: MAX_FRAME_BYTES };
  return { renderer: new Renderer(pool, bounds), run: (signal) => pool.run(signal) };
}

/** The program as a source, or in the image: where it stands, and the directory that holds all that it needs. */
function program(): { readonly args: readonly string[]; readonly directory: string } {
  const here = dirname(fileURLToPath(import.meta.url));
  if (!import.meta.url.endsWith('.ts')) {
    return { args: [join(here, 'vouchsafe.cjs'), 'renderer'], directory: dirname(here) };
  }
  const root = dirname(dirname(here));
  return { args: [join(root, 'cmd', 'renderer', 'main.ts')], directory: root };
}
