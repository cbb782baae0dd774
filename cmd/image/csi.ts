/**
 * The CSI driver as the image starts it. Wiring only.
 */
import { main } from '../csi/main.ts';
import { runner } from './process.ts';

export const run = runner(main);
