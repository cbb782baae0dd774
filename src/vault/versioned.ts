/**
 * Recognises a version of a KV v2 secret.
 */
import { isRecord } from '../core/index.ts';
import type { JsonObject } from './json.ts';

/** The shape of a KV v2 read: `data` beside the `metadata` of a version. */
export function isVersioned(outer: unknown): outer is JsonObject {
  return (
    isRecord(outer) &&
    'data' in outer &&
    isRecord(outer['metadata']) &&
    'version' in outer['metadata'] &&
    'created_time' in outer['metadata']
  );
}
