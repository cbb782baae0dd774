/**
 * The table of mounts.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { Fields, seconds, textMap } from './fields.ts';
import { Refusal, type Answer, type Json, type VaultRequest } from './messages.ts';
import { SYSTEM_TTL_MS } from './ttl.ts';

/** Serves the paths below a mount. */
export interface Backend {
  /** Paths below the mount that need no token; a trailing `*` matches any rest. */
  readonly open?: readonly string[];
  handle(request: VaultRequest): Promise<Answer>;
  /** Whether a write would change something (`update`) or create it (`create`). Default: `update`. */
  exists?(path: string): boolean;
  /** Called before each request, to apply what is due. */
  tick?(): void;
}

/** A mounted backend. Times to live are in milliseconds, 0 for the system's. */
export interface Mount {
  /** With a trailing slash; starts with `auth/` for a login method. */
  readonly path: string;
  readonly type: string;
  readonly accessor: string;
  readonly uuid: string;
  readonly description: string;
  readonly options: Readonly<Record<string, string>> | null;
  readonly backend: Backend;
  defaultTtlMs: number;
  maxTtlMs: number;
}

/** Creates the backend of a type; undefined for an unknown type. */
export type BackendFactory = (type: string, mount: MountSettings) => Backend | undefined;

/** The mount, as a backend sees it. */
export interface MountSettings {
  readonly path: string;
  readonly options: Readonly<Record<string, string>>;
  defaultTtlMs(): number;
  maxTtlMs(): number;
}

/** The mounts of one namespace. */
export class MountTable {
  readonly #mounts = new Map<string, Mount>();
  readonly #create: BackendFactory;

  constructor(create: BackendFactory) {
    this.#create = create;
  }

  /** In the order of their paths. */
  list(): Mount[] {
    return [...this.#mounts.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  get(path: string): Mount | undefined {
    return this.#mounts.get(path);
  }

  /** The mount that serves a path: the longest that it starts with. */
  find(path: string): Mount | undefined {
    const segments = path.split('/');
    for (let end = segments.length; end > 0; end -= 1) {
      const mount = this.#mounts.get(`${segments.slice(0, end).join('/')}/`);
      if (mount !== undefined) return mount;
    }
    return undefined;
  }

  /** Mounts an existing backend at a path: `sys/`, `auth/token/`. */
  attach(path: string, type: string, description: string, backend: Backend): void {
    const settings = { path, type, description, options: null, backend };
    this.#mounts.set(path, { ...settings, ...freshIds(type), defaultTtlMs: 0, maxTtlMs: 0 });
  }

  /** @throws Refusal 400 with Vault's text for a path in use or an unknown type. */
  enable(path: string, body: Json): void {
    const fields = new Fields(body);
    const config = new Fields(fields.object('config'));
    const type = fields.text('type').replace(/^kv-v[12]$/, 'kv');
    const shown = path.replace(/^auth\//, '');
    if ([...this.#mounts.keys()].some((used) => path.startsWith(used) || used.startsWith(path))) {
      throw new Refusal(400, `path is already in use at ${shown}`);
    }
    const options = textMap(fields.object('options'));
    if (fields.text('type') === 'kv-v2') options['version'] = '2';
    const settings: MountSettings = {
      path,
      options,
      defaultTtlMs: () => effective(this.#mounts.get(path)?.defaultTtlMs),
      maxTtlMs: () => effective(this.#mounts.get(path)?.maxTtlMs),
    };
    const backend = this.#create(path.startsWith('auth/') ? `auth/${type}` : type, settings);
    if (backend === undefined) {
      throw new Refusal(400, `plugin not found in the catalog: ${fields.text('type')}`);
    }
    this.#mounts.set(path, {
      path,
      type,
      options,
      backend,
      description: fields.text('description'),
      ...freshIds(path.startsWith('auth/') ? `auth_${type}` : type),
      defaultTtlMs: config.duration('default_lease_ttl'),
      maxTtlMs: config.duration('max_lease_ttl'),
    });
  }

  disable(path: string): void {
    this.#mounts.delete(path);
  }
}

/** A mount as `sys/mounts` shows it; with `resolved`, the system's times to live in place of zeros. */
export function describeMount(mount: Mount, resolved = false): Json {
  const shown = resolved ? effective : (ms: number): number => ms;
  return {
    accessor: mount.accessor,
    config: {
      default_lease_ttl: seconds(shown(mount.defaultTtlMs)),
      force_no_cache: false,
      max_lease_ttl: seconds(shown(mount.maxTtlMs)),
      ...(mount.path.startsWith('auth/') ? { token_type: 'default-service' } : {}),
    },
    deprecation_status: 'supported',
    description: mount.description,
    external_entropy_access: false,
    local: false,
    options: mount.options,
    plugin_version: '',
    running_plugin_version: '',
    running_sha256: '',
    seal_wrap: false,
    type: mount.type,
    uuid: mount.uuid,
  };
}

/** The mount's own time to live, or the system's. Milliseconds. */
export function effective(ms: number | undefined): number {
  return ms === undefined || ms === 0 ? SYSTEM_TTL_MS : ms;
}

function freshIds(kind: string): { accessor: string; uuid: string } {
  return { accessor: `${kind}_${randomBytes(4).toString('hex')}`, uuid: randomUUID() };
}
