/**
 * A process that renders for the CSI driver: asked by its standard input, answering by its standard output, until the
 * input ends. It reads nothing else. Wiring only; see src/renderer and src/sandbox.
 */
// Not by the index of the folder, which brings what the driver needs of it.
import { RendererService } from '../../src/renderer/serve.ts';
import type { Setup } from '../../src/renderer/wire.ts';
import { serveFrames } from '../../src/sandbox/serve.ts';

/** Longest frame that tells what is to be known first. */
const MAX_SETUP_BYTES = 64 * 1024 * 1024;

/** Serves until the driver ends. */
export function run(): void {
  let service: RendererService | undefined;
  serveFrames(MAX_SETUP_BYTES, (frame) => {
    if (service !== undefined) return service.answer(frame);
    const { limits } = JSON.parse(Buffer.from(frame[0] ?? []).toString()) as Setup; // the driver's own
    service = new RendererService(limits);
    return [];
  });
}

if (import.meta.main) run();
