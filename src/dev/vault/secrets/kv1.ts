/**
 * The key/value engine, version 1: one value per path, "leased" for the mount's default without a lease.
 * @see https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v1
 */
import { parseVaultDuration, seconds } from '../core/fields.ts';
import { NOTHING_FOUND, Refusal, type Answer, type Json } from '../core/messages.ts';
import type { Backend, MountSettings } from '../core/mounts.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { listBelow } from './listing.ts';

/** Creates a KV engine of version 1. */
export function createKv1Backend(mount: MountSettings): Backend {
  const values = new Map<string, Json>();

  function read(path: string): Answer {
    const data = values.get(path);
    if (data === undefined) return NOTHING_FOUND;
    return { data, leaseSeconds: seconds(ttlOf(data) || mount.defaultTtlMs()) };
  }

  const routes = new Routes()
    .on('read', '*path', (_, { path = '' }) => read(path))
    .on('list', '*path', (_, { path = '' }) => listBelow(values.keys(), path))
    .on(WRITE, '*path', (request, { path = '' }) => {
      if (Object.keys(request.body).length === 0) throw new Refusal(400, 'missing data fields');
      values.set(path, request.body);
      return {};
    })
    .on('delete', '*path', (_, { path = '' }) => {
      values.delete(path);
      return {};
    });
  return {
    exists: (path) => values.has(path),
    handle: (request) => routes.handle(request),
  };
}

/** The value may set its own TTL, as `ttl` or `lease`. */
function ttlOf(data: Json): number {
  const wish = data['ttl'] ?? data['lease'];
  if (typeof wish !== 'string' && typeof wish !== 'number') return 0;
  try {
    return parseVaultDuration(String(wish));
  } catch {
    return 0;
  }
}
