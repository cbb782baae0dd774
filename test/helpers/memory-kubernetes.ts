/** A Kubernetes API in memory: versions, conflicts, watches, patches, and what goes wrong with them. */
import { applyJsonPatch } from '../../src/admission/index.ts';
import { fieldsOf, VouchsafeError } from '../../src/core/index.ts';
import {
  apiError,
  itemsOf,
  type ApiObject,
  type ApiRequest,
  type KubernetesApi,
  type WatchEvent,
} from '../../src/kubernetes/index.ts';
import { Latest } from '../../src/async/index.ts';

type Fields = Record<string, unknown>;

/** One API server; each replica is given a connection of its own by {@link MemoryKubernetes.connect}. */
export class MemoryKubernetes {
  readonly #objects = new Map<string, ApiObject>();
  readonly #log: { readonly version: number; readonly path: string; readonly event: WatchEvent }[] =
    [];
  readonly #changed = new Latest<undefined>();
  #version = 100;
  /** Versions before this one are forgotten: watches from there are answered with 410. */
  #oldest = 0;
  /** Every request, `PATCH /path`. */
  readonly requests: string[] = [];
  /** Answers of requests to come, by the beginning of `METHOD /path`. */
  readonly refusals = new Map<string, number>();
  isAway = false;

  /** A connection that can be cut. */
  connect(): {
    readonly api: KubernetesApi;
    isCut: boolean;
    readonly isQuiet: { watches: boolean };
  } {
    const connection = { isCut: false, isQuiet: { watches: false }, api: undefined as never };
    const check = (request: Pick<ApiRequest, 'method' | 'path'>): void => {
      this.requests.push(`${request.method} ${request.path}`);
      if (this.isAway || connection.isCut)
        throw new VouchsafeError('ERR_KUBERNETES_API', 'no answer');
      for (const [prefix, status] of this.refusals) {
        if (`${request.method} ${request.path}`.startsWith(prefix)) throw apiError(request, status);
      }
    };
    const api: KubernetesApi = {
      send: async (request, signal) => {
        signal.throwIfAborted();
        await Promise.resolve();
        check(request);
        return this.#answer(request);
      },
      watch: async (path, query, signal) => {
        signal.throwIfAborted();
        await Promise.resolve();
        check({ method: 'GET', path: `${path}?watch` });
        const from = Number(query['resourceVersion']);
        if (from < this.#oldest) throw apiError({ method: 'GET', path }, 410);
        const name = /^metadata\.name=(.*)$/.exec(query['fieldSelector'] ?? '')?.[1];
        const isDown = (): boolean => this.isAway || connection.isCut;
        return this.#events({ path, name, from, isDown, quiet: connection.isQuiet }, signal);
      },
    };
    return Object.assign(connection, { api });
  }

  get(path: string): ApiObject | undefined {
    return this.#objects.get(path);
  }

  /** Writes as an administrator does: no questions asked. */
  put(path: string, object: object): void {
    const { metadata } = object as { metadata?: Fields };
    const name = path.slice(path.lastIndexOf('/') + 1);
    this.#store(path, { ...object, metadata: { name, ...metadata } });
  }

  delete(path: string): void {
    const object = this.#objects.get(path);
    if (object === undefined) return;
    this.#objects.delete(path);
    this.#tell(path, 'DELETED', object);
  }

  /** Objects below a collection. */
  list(collection: string): readonly ApiObject[] {
    const own = [...this.#objects].filter(([path]) => collectionOf(path) === collection);
    return own.map(([, object]) => object);
  }

  /** Forgets the past, as etcd's compaction does. */
  compact(): void {
    this.#oldest = this.#version + 1;
    this.#version += 1;
  }

  /** Wakes watches so that they see that their connection is gone. */
  stir(): void {
    this.#changed.set(undefined);
  }

  #answer(request: ApiRequest): ApiObject {
    const { method, path, body } = request;
    const found = this.#objects.get(path);
    if (method === 'POST') return this.#create(request);
    if (method === 'GET' && found === undefined && isCollection(path)) return this.#page(request);
    if (found === undefined) throw apiError(request, 404, { reason: 'NotFound' });
    if (method === 'GET') return structuredClone(found);
    const next = method === 'PUT' ? fieldsOf(body) : patched(found, request);
    const { resourceVersion } = fieldsOf(next['metadata']);
    if (resourceVersion !== undefined && resourceVersion !== found.metadata.resourceVersion) {
      throw apiError(request, 409, { reason: 'Conflict' });
    }
    return this.#store(path, next);
  }

  #create(request: ApiRequest): ApiObject {
    const object = fieldsOf(request.body);
    const path = `${request.path}/${String(fieldsOf(object['metadata'])['name'])}`;
    if (this.#objects.has(path)) throw apiError(request, 409, { reason: 'AlreadyExists' });
    return this.#store(path, object);
  }

  #page({ path, query = {} }: ApiRequest): ApiObject {
    const name = /^metadata\.name=(.*)$/.exec(query['fieldSelector'] ?? '')?.[1];
    const all = this.list(path).filter(
      ({ metadata }) => name === undefined || metadata.name === name,
    );
    const start = Number(query['continue'] ?? 0);
    const end = start + Number(query['limit'] ?? all.length);
    const metadata = {
      resourceVersion: String(this.#version),
      ...(end < all.length && { continue: String(end) }),
    };
    return { metadata, items: structuredClone(all.slice(start, end)) };
  }

  #store(path: string, object: Readonly<Fields>): ApiObject {
    const type = this.#objects.has(path) ? 'MODIFIED' : 'ADDED';
    const stored = this.#tell(path, type, structuredClone(object));
    this.#objects.set(path, stored);
    return structuredClone(stored);
  }

  /** Every change is a version of its own, that of a deletion too. */
  #tell(path: string, type: WatchEvent['type'], given: Readonly<Fields>): ApiObject {
    this.#version += 1;
    const metadata = { ...fieldsOf(given['metadata']), resourceVersion: String(this.#version) };
    const object = { ...given, metadata };
    this.#log.push({ version: this.#version, path, event: { type, object } });
    this.#changed.set(undefined);
    return object;
  }

  async *#events(
    watch: {
      readonly path: string;
      readonly name: string | undefined;
      readonly from: number;
      readonly isDown: () => boolean;
      readonly quiet: { readonly watches: boolean };
    },
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent, void, undefined> {
    let seen = watch.from;
    this.#changed.set(undefined);
    for await (const _ of this.#changed.updates(signal)) {
      if (watch.isDown()) throw new VouchsafeError('ERR_KUBERNETES_API', 'the connection is gone');
      if (watch.quiet.watches) continue;
      for (const { version, path, event } of this.#log.filter((one) => one.version > seen)) {
        seen = version;
        const isMine = watch.name === undefined || event.object.metadata.name === watch.name;
        if (collectionOf(path) === watch.path && isMine) yield structuredClone(event);
      }
    }
  }
}

function patched(found: ApiObject, request: ApiRequest): Fields {
  if (!Array.isArray(request.body)) return merged(found, fieldsOf(request.body));
  try {
    const operations = itemsOf(request.body) as Parameters<typeof applyJsonPatch>[1]; // written by the code under test
    return { ...fieldsOf(applyJsonPatch(found, operations)) };
  } catch {
    throw apiError(request, 422, { reason: 'Invalid' });
  }
}

function merged(target: Readonly<Fields>, patch: Readonly<Fields>): Fields {
  const result: Fields = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, name);
    else if (typeof value === 'object' && !Array.isArray(value)) {
      result[name] = merged(fieldsOf(result[name]), fieldsOf(value));
    } else result[name] = value;
  }
  return result;
}

function collectionOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** `/api/v1/namespaces`, `/apis/g/v1/namespaces/n/leases`: an odd number of words after the version. */
function isCollection(path: string): boolean {
  const words = path.split('/').filter((word) => word !== '');
  return (words.length - (words[0] === 'api' ? 2 : 3)) % 2 === 1;
}
