/**
 * Reads, lists and writes, whatever engine is behind the path.
 * KV v2 keeps values under `data/` and names under `metadata/`; users write neither.
 */
import {
  type ErrorCode,
  hasCode,
  JsonText,
  parseVaultPath,
  type Secret,
  toVouchsafeError,
  type VaultDependency,
  VouchsafeError,
} from '../core/index.ts';
import type { Opened, VaultApi } from './api.ts';
import { isObject, type JsonObject } from './json.ts';
import { kv2Path, mountOf, readRefusal } from './kv.ts';
import { MountTable, prefixesOf, type Mount } from './mounts.ts';
import { isPlainNotFound, refusalOf, type RefusedAnswer } from './refusal.ts';
import type { VaultAnswer } from './types.ts';

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
  readonly #mounts = new MountTable();

  constructor(api: VaultApi) {
    this.#api = api;
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
        const call = { operation, path, token, body: dependency.params, isMaking: true };
        return answerOf(await this.#api.value(call, { ...VALUE, mount: 'other' }, signal));
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
    const isMaking = mount.kind === 'other' || mount.kind === 'unknown';
    const call = { operation: 'read', path: actual, token, refuse, isMaking, ...query } as const;
    const isVersion = mount.kind === 'kv2' && actual.startsWith(`${mount.prefix}data/`);
    const opened = await this.#api.value(call, { ...VALUE, mount: mount.kind, isVersion }, signal);
    if (opened === undefined) throw notFound(path);
    return answerOf(opened);
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
    const shape = { ...VALUE, mount: 'other', isList: true } as const;
    const opened = await this.#forgetting(mount, () =>
      this.#api.value({ ...call, refuse: listRefusal }, shape, signal),
    );
    if (opened === undefined) throw this.#api.malformed(actual, 'holds no keys');
    const { value: keys } = opened;
    return answerOf({ ...opened, value: keys instanceof JsonText ? keys : { keys } });
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
}

/** A value that may be anything. */
const VALUE = { isVersion: false, isList: false } as const;

/** Nothing at all is an answer to a write: without data, and good for good. */
function answerOf(opened: Opened | undefined): VaultAnswer {
  const { value = {}, validity, warnings } = opened ?? NO_VALUE;
  if (value instanceof JsonText || isObject(value)) return { data: value, validity, warnings };
  throw new TypeError('a value is an object'); // as openAnswer gives it
}

const NO_VALUE: Opened = { value: {}, validity: { kind: 'static' }, warnings: [] };

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
