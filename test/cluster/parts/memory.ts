/** Containers that run out of memory. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from './objects.ts';
import { cgroupOf } from './suite.ts';

/** Takes the container's memory away: the next page that it wants is one too many. */
export function starve(pod: Pod, container: string): void {
  const directory = cgroupOf(pod, container, 'memory');
  const limit = join(directory, 'memory.limit_in_bytes');
  const usage = (): number =>
    Number(readFileSync(join(directory, 'memory.usage_in_bytes'), 'utf8'));
  writeFileSync(join(directory, 'memory.swappiness'), '0');
  for (let bytes = usage(); ; bytes -= 256 * 1024) {
    try {
      writeFileSync(limit, String(bytes));
    } catch {
      return; // nothing is left that the kernel could take back
    }
  }
}
