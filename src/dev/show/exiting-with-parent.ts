/**
 * Options of Node that stop a process when its parent ends; its standard input must be a pipe.
 */
import { fileURLToPath } from 'node:url';

/** Precedes the script. */
export const EXIT_WITH_PARENT = [
  '--import',
  fileURLToPath(new URL('./exit-with-parent.ts', import.meta.url)),
] as const;
