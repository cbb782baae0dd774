/**
 * The webhook as the image starts it. Wiring only.
 */
import { main } from '../webhook/main.ts';
import { runner } from './process.ts';

export const run = runner(main);
