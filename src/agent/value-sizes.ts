/**
 * How much memory values take.
 */
import { JsonText, type Dependency } from '../core/index.ts';
import type { Entry } from './entry.ts';
import type { ObtainedValue } from './obtain.ts';
import type { ValuesSize } from './ports.ts';

/** A saved value is in memory, in the saved state and, while that is replaced, in the next one. */
const SAVED_COPIES = 3;

/** True for values that each request creates, so that a successor reuses them: credentials, certificates, tokens, writes. */
export function isIssued(
  { kind }: Dependency,
  { lease, isMade }: Pick<ObtainedValue, 'lease' | 'isMade'>,
): boolean {
  return lease !== undefined || isMade === true || kind === 'write' || kind === 'pki';
}

/** The size of all values, with the new value of `coming`. */
export function sizeOf(entries: Iterable<Entry>, coming?: Pick<Entry, 'key' | 'held'>): ValuesSize {
  const size = { valueBytes: 0, heldBytes: 0 };
  for (const { key, dependency, held: present } of entries) {
    const held = key === coming?.key ? coming.held : present;
    if (held === undefined) continue;
    const bytes = bytesOf(held.value);
    size.valueBytes += bytes;
    size.heldBytes += bytes * (isIssued(dependency, held) ? SAVED_COPIES : 1);
  }
  return size;
}

function bytesOf(value: unknown): number {
  if (value instanceof JsonText) return value.bytes.byteLength;
  // An SVID, whose size the Workload API client limits.
  return typeof value === 'string' ? value.length : JSON.stringify(value ?? null).length;
}
