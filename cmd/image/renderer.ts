/**
 * A render process, as the image starts it. Wiring only.
 */
import { run as serve } from '../renderer/main.ts';

/** Serves until its input ends. */
export function run(args: readonly string[]): void {
  serve(args);
}
