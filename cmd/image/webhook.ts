/**
 * The webhook as the image starts it. Wiring only.
 */
import { reportDefects } from '../../src/platform/index.ts';
import { main } from '../webhook/main.ts';

/** Runs the webhook with command-line arguments; sets the exit code when it ends. */
export function run(args: readonly string[]): void {
  reportDefects();
  void main(args).then((code) => {
    process.exitCode = code;
  });
}
