/**
 * The mounter as the image starts it. Wiring only.
 */
import { main } from '../mounter/main.ts';
import { runner } from './process.ts';

export const run = runner(main);
