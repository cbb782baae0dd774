/**
 * The mounter as the image starts it. Wiring only.
 */
import { reportDefects } from '../../src/platform/index.ts';
import { main } from '../mounter/main.ts';

/** Runs the mounter with command-line arguments; sets the exit code when it ends. */
export function run(args: readonly string[]): void {
  reportDefects();
  void main(args).then((code) => {
    process.exitCode = code;
  });
}
