/**
 * Keeps secrets out of core files and diagnostic reports.
 */
import { writeFileSync } from 'node:fs';

/** Selects the memory mappings that the kernel writes into a core file; 0 writes only the registers of the threads. */
const COREDUMP_FILTER = '/proc/self/coredump_filter';

/**
 * Keeps the memory of this process and its children out of core files, and turns Node's diagnostic reports off.
 * Call it before the first secret is read. Core files are left to the platform without a writable `/proc`. Node cannot
 * prevent the core file itself: the image does, by a program that its user cannot read.
 *
 * @see https://man7.org/linux/man-pages/man5/core.5.html
 */
export function disableCoreDumps(): void {
  try {
    writeFileSync(COREDUMP_FILTER, '0');
  } catch {
    // Not Linux, or /proc is read-only: the platform decides about core files.
  }
  const { report } = process;
  report.reportOnFatalError = false;
  report.reportOnSignal = false;
  report.reportOnUncaughtException = false;
}
