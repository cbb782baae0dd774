/**
 * The agent as the image starts it. Wiring only.
 */
import { main } from '../agent/main.ts';
import { runner } from './process.ts';

export const run = runner(main);
