/**
 * A process that renders, as the image starts it. Wiring only.
 */
import { run as serve } from '../renderer/main.ts';

/** Serves until its input ends. */
export function run(words: readonly string[]): void {
  serve(words);
}
