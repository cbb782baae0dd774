/**
 * How the image runs a process: with defects reported, and the exit code of its main function. Wiring only.
 */
import { reportDefects } from '../../src/platform/index.ts';

/** The `run` of a process: takes command-line arguments, and sets the exit code when the process ends. */
export function runner(
  main: (args: readonly string[]) => Promise<number>,
): (args: readonly string[]) => void {
  return (args) => {
    reportDefects();
    void main(args).then((code) => {
      process.exitCode = code;
    });
  };
}
