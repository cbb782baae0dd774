/**
 * A process that renders for the CSI driver: asked by its standard input, answering by its standard output, until the
 * input ends. It reads nothing else, and before it reads that it locks itself up. Wiring only; see src/renderer and
 * src/sandbox.
 */
// Not by the index of the folders, which bring what the driver needs of them.
import { lockDown } from '../../src/platform/lockdown.ts';
import { RendererService } from '../../src/renderer/serve.ts';
import type { Setup } from '../../src/renderer/wire.ts';
import { serveFrames } from '../../src/sandbox/serve.ts';
import { loadFormats } from '../../src/template/index.ts';

/** Longest frame that tells what is to be known first. */
const MAX_SETUP_BYTES = 64 * 1024 * 1024;

/** Serves until the driver ends; the first of `words` is the driver's process id. */
export function run([driver]: readonly string[]): void {
  loadFormats(); // no file is read later
  // Only the build starts one without, to keep what V8 compiles.
  if (driver !== undefined) lockDown(Number(driver));
  let service: RendererService | undefined;
  serveFrames(MAX_SETUP_BYTES, (frame) => {
    if (service !== undefined) return service.answer(frame);
    const { limits } = JSON.parse(Buffer.from(frame[0] ?? []).toString()) as Setup; // the driver's own
    service = new RendererService(limits);
    return [];
  });
}

if (import.meta.main) run(process.argv.slice(2));
