/**
 * The mounter as the image starts it. Wiring only.
 */
import { reportDefects } from '../../src/platform/index.ts';
import { main } from '../mounter/main.ts';

/** Runs the mounter with command-line words; its end sets the exit code. */
export function run(words: readonly string[]): void {
  reportDefects();
  void main(words).then((code) => {
    process.exitCode = code;
  });
}
