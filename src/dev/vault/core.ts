/**
 * The pipeline of each request: seal, mount, token, policy, lease, envelope.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../core/index.ts';
import { LeaseStore } from './leases.ts';
import { listedError, VaultError, type Answer, type Json, type VaultRequest } from './messages.ts';
import { Policies } from './policies.ts';
import type { Routes } from './routes.ts';
import { TokenStore, type Token } from './tokens.ts';

/** What serves the paths below a mount. */
export interface Backend {
  readonly routes: Routes;
  /** Called before each request, to apply what is due. */
  readonly tick?: () => void;
}

/** A mounted backend. */
export interface Mount extends Backend {
  /** With a trailing slash; starts with `auth/` for a login method. */
  readonly path: string;
  readonly type: string;
  readonly options: Json;
}

/** The response to the client. */
export interface Reply {
  readonly status: number;
  /** Undefined for an empty body. */
  readonly body: Json | undefined;
}

/** A Vault without its server. */
export class VaultCore {
  readonly clock: Clock;
  readonly tokens: TokenStore;
  readonly leases: LeaseStore;
  readonly policies = new Policies();
  /** While true, everything but the status of the server fails with 503. */
  sealed = false;
  readonly #mounts = new Map<string, Mount>();

  constructor(clock: Clock) {
    this.clock = clock;
    this.leases = new LeaseStore(clock);
    this.tokens = new TokenStore(clock, (token) => this.leases.revokeOf(token.id));
  }

  /** @throws VaultError 400 for a path in use. */
  mount(mount: Mount): void {
    const used = [...this.#mounts.keys()].find(
      (path) => path.startsWith(mount.path) || mount.path.startsWith(path),
    );
    if (used !== undefined) throw new VaultError(400, `path is already in use at ${used}`);
    this.#mounts.set(mount.path, mount);
  }

  /** The mount that serves a path. */
  findMount(path: string): Mount | undefined {
    return [...this.#mounts.values()].find((mount) => `${path}/`.startsWith(mount.path));
  }

  /** Applies everything that is due: expiry of tokens and leases, rotations. */
  tick(): void {
    this.tokens.expire();
    this.leases.expire();
    for (const { tick } of this.#mounts.values()) tick?.();
  }

  /** Handles a request; never rejects for an error of the client. */
  async handle(request: VaultRequest): Promise<Reply> {
    try {
      return await this.#serve(request);
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      return { status: error.status, body: { errors: [error.message] } };
    }
  }

  async #serve(request: VaultRequest): Promise<Reply> {
    this.tick();
    const { operation, path } = request;
    if (this.sealed && !/^sys\/(health|seal-status)$/.test(path)) {
      throw new VaultError(503, 'Vault is sealed');
    }
    const mount = this.findMount(path);
    const below = path.slice(mount?.path.length ?? 0);
    const route = mount?.routes.find(operation, below);
    const token = route?.isOpen === true ? undefined : this.#authorize(request);
    if (mount === undefined) {
      throw new VaultError(404, `no handler for route "${path}". route entry not found.`);
    }
    if (route === undefined) throw listedError(404, 'unsupported path');
    return this.#reply(await route.handle({ ...request, path: below }), { mount, path, token });
  }

  /** The token of a request. @throws VaultError 403 if it is not valid, or no policy of it allows the request. */
  #authorize({ token: id, operation, path }: VaultRequest): Token {
    const token = this.tokens.require(id);
    if (this.policies.allow(token.policies, operation, path)) return token;
    throw listedError(403, 'permission denied');
  }

  #reply(
    answer: Answer,
    { mount, path, token }: { mount: Mount; path: string; token: Token | undefined },
  ): Reply {
    const { status = 200, data, lease, envelope, plain } = answer;
    if (plain !== undefined) return { status, body: plain };
    if (!hasContent(answer)) {
      return status === 200 ? { status: 204, body: undefined } : { status, body: { errors: [] } };
    }
    const login = answer.token === undefined ? undefined : this.tokens.create(answer.token);
    const body = {
      request_id: randomUUID(),
      lease_id: '',
      renewable: false,
      lease_duration: 0,
      data: data ?? null,
      wrap_info: null,
      warnings: null,
      mount_type: mount.type,
      auth: login === undefined ? null : this.tokens.describeAuth(login),
      ...(lease === undefined || token === undefined
        ? {}
        : this.leases.create(lease, path, token.id)),
      ...envelope,
    };
    return { status, body };
  }
}

function hasContent({ data, token, envelope }: Answer): boolean {
  return data !== undefined || token !== undefined || envelope !== undefined;
}
