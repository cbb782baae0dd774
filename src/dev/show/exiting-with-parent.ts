/**
 * Options of Node that tie a process to the life of its parent; its standard input must be a pipe.
 */
import { fileURLToPath } from 'node:url';

/** Goes before the script. */
export const EXIT_WITH_PARENT = [
  '--import',
  fileURLToPath(new URL('./exit-with-parent.ts', import.meta.url)),
] as const;
