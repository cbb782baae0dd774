/**
 * The key/value engine, version 2: versions that can be deleted, undeleted and destroyed.
 * @see https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
 */
import type { Clock } from '../../../core/index.ts';
import { asObject, Fields, formatInstant } from '../core/fields.ts';
import {
  NOTHING_FOUND,
  Refusal,
  type Answer,
  type Json,
  type VaultRequest,
} from '../core/messages.ts';
import type { Backend } from '../core/mounts.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { listBelow } from './listing.ts';

const WRONG_PATH =
  'Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. ' +
  "If using the Vault CLI, use 'vault kv get' for this operation.";

/** Versions kept by default. */
const DEFAULT_MAX_VERSIONS = 10;

interface Version {
  data: Json | null;
  readonly createdAtMs: number;
  deletedAtMs: number | undefined;
  destroyed: boolean;
}

interface Entry {
  readonly createdAtMs: number;
  updatedAtMs: number;
  current: number;
  settings: Json;
  readonly versions: Map<number, Version>;
}

/** Creates a KV engine of version 2. */
export function createKv2Backend(clock: Clock): Backend {
  const store = new VersionedStore(clock);
  const routes = new Routes()
    .on('read', 'config', () => ({ data: store.describeConfig() }))
    .on(WRITE, 'config', ({ body }) => {
      store.config = { ...store.config, ...body };
      return {};
    })
    .on('read', 'data/*path', (request, { path = '' }) => store.read(path, request))
    .on([...WRITE, 'patch'], 'data/*path', (request, { path = '' }) => store.write(path, request))
    .on('delete', 'data/*path', (_, { path = '' }) => store.change(path, undefined, remove(clock)))
    .on(WRITE, 'delete/*path', ({ body }, { path = '' }) =>
      store.change(path, versionsIn(body), remove(clock)),
    )
    .on(WRITE, 'undelete/*path', ({ body }, { path = '' }) =>
      store.change(path, versionsIn(body), (version) => (version.deletedAtMs = undefined)),
    )
    .on(WRITE, 'destroy/*path', ({ body }, { path = '' }) =>
      store.change(path, versionsIn(body), (version) => {
        version.destroyed = true;
        version.data = null;
      }),
    )
    .on('list', 'metadata/*path', (_, { path = '' }) => store.list(path))
    .on('list', 'metadata', () => store.list(''))
    .on('read', 'metadata/*path', (_, { path = '' }) => store.describe(path))
    .on(WRITE, 'metadata/*path', ({ body }, { path = '' }) => store.configure(path, body))
    .on('delete', 'metadata/*path', (_, { path = '' }) => store.forget(path))
    .on('read', 'subkeys/*path', (request, { path = '' }) => subkeys(store.read(path, request)))
    .on('read', '*path', () => ({ status: 404, data: null, warnings: [WRONG_PATH] }));
  return {
    exists: (path) => !path.startsWith('data/') || store.has(path.slice('data/'.length)),
    handle: (request) => routes.handle(request),
  };
}

class VersionedStore {
  config: Json = {};
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(path: string): boolean {
    return this.#entries.has(path);
  }

  list(folder: string): Answer {
    return listBelow(this.#entries.keys(), folder);
  }

  describeConfig(): Json {
    const fields = new Fields(this.config);
    return {
      cas_required: fields.flag('cas_required'),
      delete_version_after: fields.text('delete_version_after') || '0s',
      max_versions: fields.whole('max_versions'),
    };
  }

  read(path: string, request: VaultRequest): Answer {
    const entry = this.#entries.get(path);
    const asked = new Fields({ version: request.query.get('version') }).whole('version');
    const number = asked === 0 ? entry?.current : asked;
    const version = number === undefined ? undefined : entry?.versions.get(number);
    if (entry === undefined || number === undefined || version === undefined) return NOTHING_FOUND;
    const metadata = describeVersion(entry, number, version);
    if (version.destroyed || version.deletedAtMs !== undefined) {
      return { status: 404, data: { data: null, metadata } };
    }
    return { data: { data: version.data, metadata } };
  }

  write(path: string, request: VaultRequest): Answer {
    const { body } = request;
    if (path === '' || request.path.endsWith('/')) {
      throw new Refusal(400, "cannot write to a path ending in '/'");
    }
    if (body['data'] === undefined) throw new Refusal(400, 'no data provided');
    const given = asObject(body['data']) ?? {};
    const before = this.#entries.get(path);
    this.#checkAndSet(asObject(body['options']) ?? {}, before);
    if (request.operation !== 'patch') return this.#append(path, given);
    const latest = before?.versions.get(before.current)?.data ?? undefined;
    return latest === undefined ? NOTHING_FOUND : this.#append(path, mergePatch(latest, given));
  }

  change(
    path: string,
    numbers: readonly number[] | undefined,
    edit: (version: Version) => void,
  ): Answer {
    const entry = this.#entries.get(path);
    for (const number of numbers ?? [entry?.current ?? 0]) {
      const version = entry?.versions.get(number);
      if (version !== undefined) edit(version);
    }
    return {};
  }

  configure(path: string, body: Json): Answer {
    const entry = this.#entries.get(path) ?? this.#create(path);
    entry.settings = { ...entry.settings, ...body };
    return {};
  }

  forget(path: string): Answer {
    this.#entries.delete(path);
    return {};
  }

  describe(path: string): Answer {
    const entry = this.#entries.get(path);
    if (entry === undefined) return NOTHING_FOUND;
    const settings = new Fields(entry.settings);
    const kept = [...entry.versions.keys()];
    return {
      data: {
        cas_required: settings.flag('cas_required'),
        created_time: formatInstant(entry.createdAtMs),
        current_version: entry.current,
        custom_metadata: entry.settings['custom_metadata'] ?? null,
        delete_version_after: settings.text('delete_version_after') || '0s',
        max_versions: settings.whole('max_versions'),
        oldest_version: entry.current > kept.length ? Math.min(...kept) : 0,
        updated_time: formatInstant(entry.updatedAtMs),
        versions: Object.fromEntries(
          [...entry.versions].map(([number, version]) => [number, describeState(version)]),
        ),
      },
    };
  }

  #append(path: string, data: Json): Answer {
    const entry = this.#entries.get(path) ?? this.#create(path);
    const createdAtMs = this.#clock.now();
    const version = { data, createdAtMs, deletedAtMs: undefined, destroyed: false };
    entry.current += 1;
    entry.updatedAtMs = createdAtMs;
    entry.versions.set(entry.current, version);
    entry.versions.delete(entry.current - this.#maxVersions(entry));
    return { data: describeVersion(entry, entry.current, version) };
  }

  #create(path: string): Entry {
    const nowMs = this.#clock.now();
    const entry: Entry = {
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      current: 0,
      settings: {},
      versions: new Map(),
    };
    this.#entries.set(path, entry);
    return entry;
  }

  #checkAndSet(options: Json, entry: Entry | undefined): void {
    const expected = options['cas'];
    const isRequired = [this.config, entry?.settings ?? {}].some((settings) =>
      new Fields(settings).flag('cas_required'),
    );
    if (expected === undefined) {
      if (!isRequired) return;
      throw new Refusal(400, 'check-and-set parameter required for this call');
    }
    if (!Number.isInteger(Number(expected))) {
      throw new Refusal(400, 'error parsing check-and-set parameter');
    }
    if (Number(expected) !== (entry?.current ?? 0)) {
      throw new Refusal(400, 'check-and-set parameter did not match the current version');
    }
  }

  #maxVersions(entry: Entry): number {
    const own = new Fields(entry.settings).whole('max_versions');
    return own || new Fields(this.config).whole('max_versions') || DEFAULT_MAX_VERSIONS;
  }
}

function describeState(version: Version): Json {
  return {
    created_time: formatInstant(version.createdAtMs),
    deletion_time: version.deletedAtMs === undefined ? '' : formatInstant(version.deletedAtMs),
    destroyed: version.destroyed,
  };
}

function describeVersion(entry: Entry, number: number, version: Version): Json {
  const custom_metadata = entry.settings['custom_metadata'] ?? null;
  return { ...describeState(version), custom_metadata, version: number };
}

function remove(clock: Clock): (version: Version) => void {
  return (version) => {
    version.deletedAtMs ??= clock.now();
  };
}

function versionsIn(body: Json): number[] {
  const numbers = new Fields(body).list('versions').map(Number);
  if (numbers.length === 0) throw new Refusal(400, 'No version number provided');
  return numbers;
}

/** A read without its values. */
function subkeys(answer: Answer): Answer {
  const { data, metadata } = answer.data ?? {};
  if (answer.status !== undefined) return answer;
  return { data: { subkeys: withoutLeaves(data), metadata } };
}

function withoutLeaves(value: unknown): unknown {
  const entries = Object.entries(asObject(value) ?? {});
  if (entries.length === 0) return null;
  return Object.fromEntries(entries.map(([name, inner]) => [name, withoutLeaves(inner)]));
}

/** @see https://www.rfc-editor.org/rfc/rfc7396 */
function mergePatch(target: Json, patch: Json): Json {
  const merged = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    const inner = asObject(value);
    if (value === null) merged.delete(name);
    else
      merged.set(
        name,
        inner === undefined ? value : mergePatch(asObject(merged.get(name)) ?? {}, inner),
      );
  }
  return Object.fromEntries(merged);
}
