/**
 * The key/value engines: version 1 with one value per path, version 2 with versions.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/kv
 */
import type { Clock } from '../../../core/index.ts';
import type { Backend } from '../core.ts';
import { asObject, seconds } from '../fields.ts';
import { NOT_FOUND, VaultError, type Answer, type Json } from '../messages.ts';
import { Routes } from '../routes.ts';
import { SYSTEM_TTL_MS } from '../terms.ts';

/** Creates a KV engine of version 1. Its values have a lease duration, but no lease. */
export function createKv1Backend(): Backend {
  const values = new Map<string, Json>();
  const routes = new Routes()
    .on('read', '*path', (_, { path = '' }) => {
      const data = values.get(path);
      if (data === undefined) return NOT_FOUND;
      return { data, envelope: { lease_duration: seconds(SYSTEM_TTL_MS) } };
    })
    .on('list', '*path', (_, { path = '' }) => listBelow(values.keys(), path))
    .on('update', '*path', ({ body }, { path = '' }) => {
      values.set(path, body);
      return {};
    })
    .on('delete', '*path', (_, { path = '' }) => {
      values.delete(path);
      return {};
    });
  return { routes };
}

interface Version {
  readonly data: Json;
  readonly createdAtMs: number;
  isDeleted: boolean;
}

/** Creates a KV engine of version 2. */
export function createKv2Backend(clock: Clock): Backend {
  const entries = new Map<string, Version[]>();
  const routes = new Routes()
    .on('read', 'data/*path', ({ query }, { path = '' }) => {
      const versions = entries.get(path) ?? [];
      const number = Number(query.get('version') ?? 0) || versions.length;
      const version = versions[number - 1];
      if (version === undefined) return NOT_FOUND;
      const metadata = describe(version, number);
      if (version.isDeleted) return { status: 404, data: { data: null, metadata } };
      return { data: { data: version.data, metadata } };
    })
    .on('update', 'data/*path', ({ body }, { path = '' }) => {
      const data = asObject(body['data']);
      if (data === undefined) throw new VaultError(400, 'no data provided');
      const version = { data, createdAtMs: clock.now(), isDeleted: false };
      const versions = [...(entries.get(path) ?? []), version];
      entries.set(path, versions);
      return { data: describe(version, versions.length) };
    })
    .on('delete', 'data/*path', (_, { path = '' }) => {
      const current = entries.get(path)?.at(-1);
      if (current !== undefined) current.isDeleted = true;
      return {};
    })
    .on('read', 'metadata/*path', (_, { path = '' }) => {
      const versions = entries.get(path);
      if (versions === undefined) return NOT_FOUND;
      const all = versions.map((version, index) => [index + 1, describe(version, index + 1)]);
      return { data: { current_version: versions.length, versions: Object.fromEntries(all) } };
    })
    .on('list', 'metadata/*path', (_, { path = '' }) => listBelow(entries.keys(), path));
  return { routes };
}

function describe({ createdAtMs, isDeleted }: Version, version: number): Json {
  const at = new Date(createdAtMs).toISOString();
  const state = { deletion_time: isDeleted ? at : '', destroyed: false };
  return { version, created_time: at, ...state, custom_metadata: null };
}

/** Names directly below a folder; names of folders end in a slash. */
function listBelow(paths: Iterable<string>, folder: string): Answer {
  const prefix = folder === '' ? '' : `${folder.replace(/\/$/, '')}/`;
  const below = [...paths].filter((path) => path.startsWith(prefix));
  const names = below.map((path) => path.slice(prefix.length).replace(/\/.*$/, '/'));
  const keys = [...new Set(names)].sort();
  return keys.length === 0 ? NOT_FOUND : { data: { keys } };
}
