/**
 * Reads, lists and writes with any secrets engine.
 * KV v2 has values under `data/` and names under `metadata/`; users set neither.
 */
import {
  hasCode,
  isAbsence,
  isOptional,
  isRecord,
  JsonText,
  parseVaultPath,
  toVouchsafeError,
  VouchsafeError,
  type ErrorCode,
  type Secret,
  type VaultDependency,
} from '../core/index.ts';
import type { ParsedValue, VaultApi } from './api.ts';
import type { JsonObject } from './json.ts';
import { kv2Path, mountOf, readError } from './kv.ts';
import { MountTable, prefixesOf, type Mount } from './mounts.ts';
import { isPlainNotFound, errorForResponse, type ErrorResponse } from './error-response.ts';
import type { VaultValue } from './types.ts';

/** The token of a request, and the signal that ends it. */
export interface Requester {
  readonly token: Secret<string>;
  readonly signal: AbortSignal;
}

/** A secret to read. */
interface Wanted {
  readonly path: string;
  readonly version: string | undefined;
  /** Whether it may be absent. */
  readonly mayBeAbsent: boolean;
}

/** How many prefixes of a path are tried as a KV v2 mount when Vault does not disclose the mount. */
const MAX_GUESSES = 4;

/** Resolves dependencies on Vault. */
export class Reader {
  readonly #api: VaultApi;
  readonly #mounts = new MountTable();

  constructor(api: VaultApi) {
    this.#api = api;
  }

  async fetch(dependency: VaultDependency, requester: Requester): Promise<VaultValue> {
    const { path, version } = parsePath(dependency.path);
    switch (dependency.kind) {
      case 'read':
        return await this.#read({ path, version, mayBeAbsent: isOptional(dependency) }, requester);
      case 'list':
        return await this.#list(path, requester);
      case 'write':
      case 'pki': {
        const { token, signal } = requester;
        const operation = dependency.kind;
        const call = { operation, path, token, body: dependency.params, isCreating: true };
        const shape = { ...VALUE, mount: 'other', isBare: isBareEndpoint(path) } as const;
        const opened = await this.#api.value(call, shape, signal);
        if (opened === undefined && operation === 'pki') throw this.#api.noValue(path, 'is empty');
        return valueOf(opened);
      }
    }
  }

  async #read(wanted: Wanted, requester: Requester): Promise<VaultValue> {
    const mount = await this.#mountOf(wanted.path, requester);
    try {
      return await this.#readIn(mount, wanted, requester);
    } catch (error) {
      if (!wanted.mayBeAbsent || mount === undefined || !isAbsence(error)) throw error;
      // Only a secret of a mount that is still there is absent: Vault is asked for the mount again.
      const now = await this.#mountOf(wanted.path, requester);
      if (now?.prefix === mount.prefix && now.kind === mount.kind) throw error;
      return await this.#readIn(now, wanted, requester);
    }
  }

  async #readIn(
    mount: Mount | undefined,
    wanted: Wanted,
    requester: Requester,
  ): Promise<VaultValue> {
    const { path, version } = wanted;
    if (mount === undefined) return await this.#readByTrying(wanted, requester);
    if (version !== undefined && mount.kind !== 'kv2') {
      const text = `a version of ${path} cannot be read: ${mount.prefix} is not KV version 2`;
      throw new VouchsafeError('ERR_VAULT_BAD_REQUEST', text, { details: { path } });
    }
    return await this.#forgetMountOnRejection(mount, () =>
      this.#readAt(path, mount, version, requester),
    );
  }

  async #readAt(
    path: string,
    mount: Mount,
    version: string | undefined,
    { token, signal }: Requester,
  ): Promise<VaultValue> {
    const actual = mount.kind === 'kv2' ? kv2Path(path, mount.prefix, 'data') : path;
    const query = version === undefined ? {} : { query: `version=${version}` };
    const onErrorResponse = readError(path);
    const isCreating = mount.kind === 'other' || mount.kind === 'unknown';
    const call = {
      operation: 'read',
      path: actual,
      token,
      onErrorResponse,
      isCreating,
      ...query,
    } as const;
    const isVersion = mount.kind === 'kv2' && actual.startsWith(`${mount.prefix}data/`);
    const isBare = isCreating && isBareEndpoint(path);
    const shape = { ...VALUE, mount: mount.kind, isVersion, isBare };
    const opened = await this.#api.value(call, shape, signal);
    if (opened === undefined) throw this.#api.noValue(actual, 'is empty');
    return valueOf(opened);
  }

  /**
   * If Vault does not disclose the mount: tries the path as it is, then with `data/` at each possible place.
   * Only a successful guess is remembered.
   */
  async #readByTrying(
    { path, version, mayBeAbsent }: Wanted,
    requester: Requester,
  ): Promise<VaultValue> {
    const candidates: Mount[] = prefixesOf(path)
      .slice(1)
      .reverse()
      .slice(0, MAX_GUESSES)
      .map((prefix) => ({ prefix, kind: 'kv2' }));
    if (version === undefined) candidates.unshift({ prefix: path, kind: 'unknown' });
    const failures: VouchsafeError[] = [];
    for (const mount of candidates) {
      try {
        const answer = await this.#readAt(path, mount, version, requester);
        this.#mounts.remember(mount);
        return answer;
      } catch (error) {
        // A response without a value to a guess does not prove the guess; one to the path itself is final.
        const mayBeElsewhere = mount.kind === 'kv2' && hasCode(error, 'ERR_VAULT_NO_VALUE');
        const isOther = hasCode(error, 'ERR_VAULT_MALFORMED') || mayBeElsewhere;
        if (!isRejection(error) && !isOther) throw error;
        failures.push(toVouchsafeError(error));
      }
    }
    throw mostSpecific(failures, mayBeAbsent) ?? notFound(path);
  }

  async #list(path: string, requester: Requester): Promise<VaultValue> {
    const { token, signal } = requester;
    const mount = await this.#mountOf(path, requester);
    const actual = mount?.kind === 'kv2' ? kv2Path(path, mount.prefix, 'metadata') : path;
    const call = { operation: 'list', path: actual, query: 'list=true', token } as const;
    const shape = { ...VALUE, mount: 'other', isList: true } as const;
    const opened = await this.#forgetMountOnRejection(mount, () =>
      this.#api.value({ ...call, onErrorResponse: listError }, shape, signal),
    );
    if (opened === undefined) throw this.#api.noValue(actual, 'is empty');
    const { value: keys } = opened;
    return valueOf({ ...opened, value: keys instanceof JsonText ? keys : { keys } });
  }

  async #forgetMountOnRejection<T>(mount: Mount | undefined, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (mount !== undefined && isRejection(error)) this.#mounts.forget(mount);
      throw error;
    }
  }

  /** The mount of a path; undefined if Vault does not disclose it to this token. */
  async #mountOf(path: string, { token, signal }: Requester): Promise<Mount | undefined> {
    const lookUp = async (): Promise<Mount | undefined> => {
      const call = {
        operation: 'mount-lookup',
        path: `sys/internal/ui/mounts/${path}`,
        token,
      } as const;
      try {
        return mountOf(path, await this.#api.call(call, signal));
      } catch (error) {
        if (isRejection(error)) return undefined;
        throw error;
      }
    };
    return await this.#mounts.find(path, lookUp, signal);
  }
}

/** A value of any shape. */
const VALUE = { isVersion: false, isList: false, isBare: false } as const;

/**
 * True for endpoints that send JSON without Vault's envelope: the state of the server, and documents for others than Vault's clients,
 * such as signing keys (JWKS). They are known by their paths, so that the page of a proxy is not taken for a value.
 */
function isBareEndpoint(path: string): boolean {
  return /^sys\/|(^|\/)\.well-known\/|(^|\/)acme\/directory$/.test(path);
}

/** An empty response to a write has no data and is static. */
function valueOf(opened: ParsedValue | undefined): VaultValue {
  const { value = {}, validity, warnings } = opened ?? NO_VALUE;
  if (value instanceof JsonText || isRecord(value)) return { data: value, validity, warnings };
  throw new TypeError('a value must be an object'); // parseResponse ensures it
}

const NO_VALUE: ParsedValue = { value: {}, validity: { kind: 'static' }, warnings: [] };

/** Splits off `?version=N` and normalises the path. */
function parsePath(text: string): { path: string; version: string | undefined } {
  const parsed = parseVaultPath(text);
  if (parsed?.path.isWellFormed() === true) return parsed;
  throw new VouchsafeError(
    'ERR_VAULT_BAD_REQUEST',
    'a Vault path must not be empty, too long, or contain dot segments or control characters',
  );
}

/** For an empty list Vault responds with 404. */
function listError(answer: ErrorResponse): VouchsafeError | JsonObject {
  return isPlainNotFound(answer) ? { data: { keys: [] } } : errorForResponse(answer);
}

/** True if Vault understood the request and rejected it; the guess of the mount may be wrong. */
function isRejection(error: unknown): error is VouchsafeError {
  return error instanceof VouchsafeError && REJECTIONS.includes(error.code);
}

const REJECTIONS: readonly ErrorCode[] = [
  'ERR_VAULT_DENIED',
  'ERR_VAULT_NOT_FOUND',
  'ERR_VAULT_BAD_REQUEST',
  'ERR_VAULT_UNSUPPORTED',
];

/** A secret is absent if one guess says so, and no other has found anything. A denial does not count: most guesses are wrong. */
function absenceIn(failures: readonly VouchsafeError[]): VouchsafeError | undefined {
  return failures.every(isRejection) ? failures.find(isAbsence) : undefined;
}

/** Prefers the error of a deleted version, then a secret without a value, then a denial (which can be fixed), then the first error. */
function mostSpecific(
  failures: readonly VouchsafeError[],
  mayBeAbsent: boolean,
): VouchsafeError | undefined {
  const absence = mayBeAbsent ? absenceIn(failures) : undefined;
  const of = (code: ErrorCode): VouchsafeError | undefined =>
    failures.find((error) => error.code === code);
  const deleted = failures.find((error) => 'version' in error.details);
  return absence ?? deleted ?? of('ERR_VAULT_NO_VALUE') ?? of('ERR_VAULT_DENIED') ?? failures[0];
}

function notFound(path: string): VouchsafeError {
  const text = `there is no secret at ${path}; check the mount and the name`;
  return new VouchsafeError('ERR_VAULT_NOT_FOUND', text, { details: { path } });
}
