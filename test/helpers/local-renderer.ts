/** Renders as the processes of the driver do, frames included, but in the process of the test. */
import { Renderer, RendererService } from '../../src/renderer/index.ts';
import { RENDER_LIMITS } from '../../src/template/index.ts';

/** A renderer without a pool: for tests that are about something else. */
export function localRenderer(): Renderer {
  const service = new RendererService(RENDER_LIMITS);
  return new Renderer(
    {
      async do(job, signal) {
        await Promise.resolve();
        signal.throwIfAborted();
        job.onBegin?.();
        try {
          return job.read(service.answer(job.frame));
        } finally {
          job.onEnd?.();
        }
      },
    },
    { timeoutMs: 2000, heapBytes: 64 * 2 ** 20, frameBytes: 16 * 2 ** 20 },
  );
}
