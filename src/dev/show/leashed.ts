/**
 * Options of Node that tie a process to the life of its parent; its standard input must be a pipe. Ring: dev.
 */
import { fileURLToPath } from 'node:url';

/** Goes before the script. */
export const LEASH = ['--import', fileURLToPath(new URL('./leash.ts', import.meta.url))] as const;
