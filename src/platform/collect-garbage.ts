/**
 * Frees memory at once. V8 waits with a collection until the heap has grown by much, and counts buffers outside of it only
 * coarsely: in a container with little memory the kernel would kill the process before.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collect: (() => void) | undefined;

/** Collects all garbage; takes some milliseconds. */
export function collectGarbage(): void {
  collect ??= collector();
  collect();
}

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const found: unknown = runInNewContext('gc');
  return typeof found === 'function'
    ? () => void Reflect.apply(found, undefined, [])
    : () => undefined;
}
