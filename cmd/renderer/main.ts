/**
 * A render process of the CSI driver: reads requests from standard input and writes answers to standard output until the
 * input ends. It reads nothing else, and locks itself down before the first request. Wiring only; see src/renderer and
 * src/worker-pool.
 */
// Not by the indexes of the folders, which load what only the driver needs.
import { lockDown } from '../../src/platform/lockdown.ts';
import { RendererService } from '../../src/renderer/serve.ts';
import type { Setup } from '../../src/renderer/wire.ts';
import { serveFrames } from '../../src/worker-pool/serve.ts';
import { loadFormats } from '../../src/template/index.ts';

/** Longest frame, in bytes; the driver bounds its requests further. */
const MAX_SETUP_BYTES = 64 * 1024 * 1024;

/** Serves until the driver ends; the first argument is the driver's process ID. */
export function run([driver]: readonly string[]): void {
  loadFormats(); // no file is read later
  // Only the build starts it without a driver, to save V8's compiled code.
  if (driver !== undefined) lockDown(Number(driver));
  let service: RendererService | undefined;
  serveFrames(MAX_SETUP_BYTES, (frame) => {
    if (service !== undefined) return service.answer(frame);
    const { limits } = JSON.parse(Buffer.from(frame[0] ?? []).toString()) as Setup; // the driver is trusted
    service = new RendererService(limits);
    return [];
  });
}

if (import.meta.main) run(process.argv.slice(2));
