/**
 * Reads, lists and writes, whatever engine is behind the path. Ring: vault.
 * KV v2 keeps values under `data/` and names under `metadata/`; users write neither.
 */
import {
  type Clock,
  type ErrorCode,
  hasCode,
  parseVaultPath,
  type Secret,
  toVouchsafeError,
  type Validity,
  type VaultDependency,
  VouchsafeError,
} from '../core/index.ts';
import type { VaultApi } from './api.ts';
import { isObject, objectAt, secondsAt, stringAt, stringsAt, type JsonObject } from './json.ts';
import { isVersioned, kv2Path, mountOf, readRefusal } from './kv.ts';
import { MountTable, prefixesOf, type Mount } from './mounts.ts';
import { printable } from './printable.ts';
import { isPlainNotFound, refusalOf, type RefusedAnswer } from './refusal.ts';
import type { VaultAnswer } from './types.ts';
import { classifyValidity } from './validity.ts';

/** Who asks, and until when. */
export interface Asker {
  readonly token: Secret<string>;
  readonly signal: AbortSignal;
}

/** How many places of a KV v2 mount are tried in a path when Vault does not tell the mount. */
const MAX_GUESSES = 4;

/** Answers the dependencies that Vault has a value for. */
export class Reader {
  readonly #api: VaultApi;
  readonly #clock: Clock;
  readonly #mounts = new MountTable();

  constructor(api: VaultApi, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
  }

  async fetch(dependency: VaultDependency, asker: Asker): Promise<VaultAnswer> {
    const { path, version } = parsePath(dependency.path);
    switch (dependency.kind) {
      case 'read':
        return await this.#read(path, version, asker);
      case 'list':
        return await this.#list(path, asker);
      case 'write':
      case 'pki': {
        const { token, signal } = asker;
        const operation = dependency.kind;
        const body = await this.#api.call(
          { operation, path, token, body: dependency.params },
          signal,
        );
        return this.#answer(body, path, 'other');
      }
    }
  }

  async #read(path: string, version: string | undefined, asker: Asker): Promise<VaultAnswer> {
    const mount = await this.#mountOf(path, asker);
    if (mount === undefined) return await this.#readByTrying(path, version, asker);
    if (version !== undefined && mount.kind !== 'kv2') {
      const text = `${path} cannot be read in a version: ${mount.prefix} is not KV version 2`;
      throw new VouchsafeError('ERR_VAULT_BAD_REQUEST', text, { details: { path } });
    }
    return await this.#forgetting(mount, () => this.#readAt(path, mount, version, asker));
  }

  async #readAt(
    path: string,
    mount: Mount,
    version: string | undefined,
    { token, signal }: Asker,
  ): Promise<VaultAnswer> {
    const actual = mount.kind === 'kv2' ? kv2Path(path, mount.prefix, 'data') : path;
    const query = version === undefined ? {} : { query: `version=${version}` };
    const refuse = readRefusal(path);
    const call = { operation: 'read', path: actual, token, refuse, ...query } as const;
    const body = await this.#api.call(call, signal);
    if (body === undefined) throw notFound(path);
    const isValue = mount.kind === 'kv2' && actual.startsWith(`${mount.prefix}data/`);
    if (isValue && !isVersioned(body['data'])) {
      throw this.#api.malformed(actual, 'is not one of KV version 2');
    }
    return this.#answer(body, actual, mount.kind);
  }

  /**
   * Without Vault's word on the mount: the path as it stands, then with `data/` at each place it can have.
   * Only what was read successfully is remembered.
   */
  async #readByTrying(
    path: string,
    version: string | undefined,
    asker: Asker,
  ): Promise<VaultAnswer> {
    const candidates: Mount[] = prefixesOf(path)
      .slice(1)
      .reverse()
      .slice(0, MAX_GUESSES)
      .map((prefix) => ({ prefix, kind: 'kv2' }));
    if (version === undefined) candidates.unshift({ prefix: path, kind: 'unknown' });
    const failures: VouchsafeError[] = [];
    for (const mount of candidates) {
      try {
        const answer = await this.#readAt(path, mount, version, asker);
        this.#mounts.remember(mount);
        return answer;
      } catch (error) {
        if (!isRefusal(error) && !hasCode(error, 'ERR_VAULT_MALFORMED')) throw error;
        failures.push(toVouchsafeError(error));
      }
    }
    throw mostTelling(failures) ?? notFound(path);
  }

  async #list(path: string, asker: Asker): Promise<VaultAnswer> {
    const { token, signal } = asker;
    const mount = await this.#mountOf(path, asker);
    const actual = mount?.kind === 'kv2' ? kv2Path(path, mount.prefix, 'metadata') : path;
    const call = { operation: 'list', path: actual, query: 'list=true', token } as const;
    const body = await this.#forgetting(mount, () =>
      this.#api.call({ ...call, refuse: listRefusal }, signal),
    );
    const data = objectAt(body, 'data');
    if (!Array.isArray(data['keys'])) throw this.#api.malformed(actual, 'holds no keys');
    const keys = stringsAt(data, 'keys');
    return { data: { keys }, validity: { kind: 'static' }, warnings: warningsOf(body) };
  }

  async #forgetting<T>(mount: Mount | undefined, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (mount !== undefined && isRefusal(error)) this.#mounts.forget(mount);
      throw error;
    }
  }

  /** The mount of a path; undefined where Vault does not tell it to this token. */
  async #mountOf(path: string, { token, signal }: Asker): Promise<Mount | undefined> {
    const ask = async (): Promise<Mount | undefined> => {
      const call = {
        operation: 'mount-lookup',
        path: `sys/internal/ui/mounts/${path}`,
        token,
      } as const;
      try {
        return mountOf(path, await this.#api.call(call, signal));
      } catch (error) {
        if (isRefusal(error)) return undefined;
        throw error;
      }
    };
    return await this.#mounts.find(path, ask, signal);
  }

  #answer(body: JsonObject | undefined, path: string, kind: Mount['kind']): VaultAnswer {
    const warnings = warningsOf(body);
    const data = body?.['data'] ?? {};
    if (!isObject(data)) throw this.#api.malformed(path, 'has data that is no object');
    if (isVersioned(data) && (kind === 'kv2' || kind === 'unknown')) {
      return { data: objectAt(data, 'data'), validity: { kind: 'static' }, warnings };
    }
    const auth = body?.['auth'];
    if (isObject(auth)) return { data: auth, validity: this.#authLife(auth), warnings };
    const facts = {
      leaseId: stringAt(body, 'lease_id'),
      leaseDurationMs: secondsAt(body, 'lease_duration'),
      renewable: body?.['renewable'] === true,
      // What users keep in KV means nothing to Vault, whatever its names.
      data: kind === 'kv1' || kind === 'kv2' ? {} : data,
    };
    return { data, validity: classifyValidity(facts, this.#clock.now()), warnings };
  }

  /** A write that makes a token has no data and no lease: the token is its value. */
  #authLife(auth: JsonObject): Validity {
    const lifeMs = secondsAt(auth, 'lease_duration');
    if (lifeMs === 0) return { kind: 'static' };
    return { kind: 'expires', expiresAtMs: this.#clock.now() + lifeMs };
  }
}

/** Splits off `?version=N` and brings the rest to Vault's spelling. */
function parsePath(text: string): { path: string; version: string | undefined } {
  const parsed = parseVaultPath(text);
  if (parsed?.path.isWellFormed() === true) return parsed;
  throw new VouchsafeError(
    'ERR_VAULT_BAD_REQUEST',
    'a Vault path is empty, too long, or has dot segments or control characters',
  );
}

/** Vault has no empty lists: it answers 404. */
function listRefusal(answer: RefusedAnswer): VouchsafeError | JsonObject {
  return isPlainNotFound(answer) ? { data: { keys: [] } } : refusalOf(answer);
}

/** True where Vault understood the request and turns it down; what the mount is may have been guessed wrong. */
function isRefusal(error: unknown): error is VouchsafeError {
  return error instanceof VouchsafeError && REFUSALS.includes(error.code);
}

const REFUSALS: readonly ErrorCode[] = [
  'ERR_VAULT_DENIED',
  'ERR_VAULT_NOT_FOUND',
  'ERR_VAULT_BAD_REQUEST',
  'ERR_VAULT_UNSUPPORTED',
];

/** A deleted version says most, then a denial (it can be put right), then whatever came first. */
function mostTelling(failures: readonly VouchsafeError[]): VouchsafeError | undefined {
  const deleted = failures.find((error) => 'version' in error.details);
  return deleted ?? failures.find((error) => error.code === 'ERR_VAULT_DENIED') ?? failures[0];
}

function notFound(path: string): VouchsafeError {
  const text = `there is no secret at ${path}; check mount and name`;
  return new VouchsafeError('ERR_VAULT_NOT_FOUND', text, { details: { path } });
}

function warningsOf(body: JsonObject | undefined): readonly string[] {
  return stringsAt(body, 'warnings').map((warning) => printable(warning, []));
}
