/**
 * How much memory values have.
 */
import { JsonText, type Dependency } from '../core/index.ts';
import type { Entry } from './entry.ts';
import type { ObtainedValue } from './obtain.ts';
import type { ValuesSize } from './ports.ts';

/** Of what is saved there is the state for a successor, and for a moment the next one beside it. */
const SAVED_COPIES = 3;

/** What each request makes anew, and a successor goes on with: credentials, certificates, answers to writes. */
export function isIssued({ kind }: Dependency, { lease }: Pick<ObtainedValue, 'lease'>): boolean {
  return lease !== undefined || kind === 'write' || kind === 'pki';
}

/** All values together, where that of `coming` is to be another one. */
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
  // An SVID: whoever gave it has bounded it.
  return typeof value === 'string' ? value.length : JSON.stringify(value ?? null).length;
}
