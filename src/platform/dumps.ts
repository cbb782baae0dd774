/**
 * Keeps secrets out of what a process leaves behind when it dies.
 */
import { writeFileSync } from 'node:fs';

/** Which mappings of memory the kernel writes into a core file; 0 is none, and the registers of its threads remain. */
const COREDUMP_FILTER = '/proc/self/coredump_filter';

/**
 * Leaves the memory of this process, and of the processes it starts, out of core files, and turns Node's
 * diagnostic reports off. Call it before the first secret comes. Does nothing where there is no `/proc`. Node
 * cannot forbid the core file itself: the image does, by a program that its user cannot read.
 *
 * @see https://man7.org/linux/man-pages/man5/core.5.html
 */
export function disableCoreDumps(): void {
  try {
    writeFileSync(COREDUMP_FILTER, '0');
  } catch {
    // Another system than Linux, or a /proc that cannot be written: what the platform does about cores counts.
  }
  const { report } = process;
  report.reportOnFatalError = false;
  report.reportOnSignal = false;
  report.reportOnUncaughtException = false;
}
