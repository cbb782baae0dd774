/**
 * The embedded Vault of `vouchsafe dev` and of the tests: a server that speaks Vault's API.
 * It has everything in memory, and cannot persist data.
 */
import { Secret, VouchsafeError, type Clock } from '../../core/index.ts';
import { systemClock } from '../../platform/index.ts';
import { createTokenBackend } from './auth/token.ts';
import { createBackendFactory } from './backends.ts';
import { VaultCore } from './core/core.ts';
import { asObject } from './core/fields.ts';
import type { Json, Operation } from './core/messages.ts';
import { MountTable } from './core/mounts.ts';
import { Namespace } from './core/namespace.ts';
import type { FaultRule, Faults } from './listener/faults.ts';
import { Listener, type ServerTls } from './listener/listener.ts';
import type { RateLimit } from './listener/rate-limit.ts';
import type { LoggedRequest } from './listener/request-log.ts';
import { DatabaseUsers } from './secrets/users.ts';
import { createSystemBackend } from './system/index.ts';

/** How to start a {@link DevVault}. */
export interface DevVaultOptions {
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default plain HTTP. With TLS, client certificates are requested but not required. */
  readonly tls?: ServerTls;
  /** Default the system's clock. */
  readonly clock?: Clock;
  /** Default a random one. */
  readonly rootToken?: string;
  /** Without it namespaces are ignored, as by the community edition; with it unknown ones are rejected. */
  readonly namespaces?: readonly string[];
}

/** A running server on 127.0.0.1. The caller closes it. */
export interface DevVault extends AsyncDisposable {
  /** `http://127.0.0.1:port`, without a trailing slash. */
  readonly address: string;
  readonly rootToken: Secret<string>;
  /** The requests, oldest first. Without values. */
  readonly requests: readonly LoggedRequest[];
  readonly faults: Faults;
  /** The users that database engines created; all mounts share one database. */
  readonly users: DatabaseUsers;
  readonly openSockets: number;
  /** IDs of the valid leases. */
  readonly leaseIds: readonly string[];
  /** Accessors of the valid service tokens. */
  readonly tokenAccessors: readonly string[];
  count(match: FaultRule['match']): number;
  /** Resolves when that many matching requests have arrived. */
  waitFor(match: FaultRule['match'], count: number, signal: AbortSignal): Promise<void>;
  seal(): void;
  unseal(): void;
  /** Responds with 429 beyond the limit; undefined removes it. */
  rateLimit(limit: RateLimit | undefined): void;
  /** `vault write` with root authority; resolves to the `data` of the response. Rejects if Vault does. */
  write(path: string, body?: Json, namespace?: string): Promise<Json>;
  /** `vault read` with root authority. Rejects if Vault does, or if nothing is found. */
  read(path: string, namespace?: string): Promise<Json>;
  /** `vault delete` with root authority. */
  delete(path: string, namespace?: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts a Vault that is initialized, unsealed, and has only its system backends mounted. */
export async function startDevVault(options: DevVaultOptions = {}): Promise<DevVault> {
  const clock = options.clock ?? systemClock;
  const core = new VaultCore(clock);
  const users = new DatabaseUsers(clock, () => core.tick());
  for (const path of ['', ...(options.namespaces ?? [])]) {
    core.addNamespace(createNamespace(core, users, path));
  }
  const rootToken = core.createRootToken(options.rootToken);
  const listener = new Listener(core, options.tls);
  await listener.listen(options.port ?? 0);

  async function operate(operation: Operation, path: string, more: More): Promise<Json> {
    const reply = await core.handle({
      operation,
      path,
      body: more.body ?? {},
      query: new URLSearchParams(),
      headers: {},
      token: rootToken,
      namespace: more.namespace ?? '',
      peer: { address: '127.0.0.1', tls: false, certificate: undefined },
    });
    const answer = asObject(reply.body === '' ? {} : JSON.parse(reply.body)) ?? {};
    if (reply.status < 300) return asObject(answer['data']) ?? {};
    const refusal = JSON.stringify(answer['errors']);
    throw new VouchsafeError(
      'ERR_USAGE',
      `the embedded Vault rejected ${operation} of ${path}: ${reply.status} ${refusal}`,
    );
  }

  return {
    address: listener.address,
    rootToken: new Secret(rootToken),
    requests: listener.log.entries,
    faults: listener.faults,
    users,
    get openSockets() {
      return listener.openSockets;
    },
    get leaseIds() {
      core.tick();
      return core.leases.ids();
    },
    get tokenAccessors() {
      core.tick();
      return core.tokens.accessors();
    },
    count: (match) => listener.log.count(match),
    waitFor: (match, count, signal) => listener.log.waitFor(match, count, signal),
    seal: () => void (core.sealed = true),
    unseal: () => void (core.sealed = false),
    rateLimit: (limit) => listener.rateLimiter.set(limit),
    write: (path, body = {}, namespace = '') => operate('update', path, { body, namespace }),
    read: (path, namespace = '') => operate('read', path, { namespace }),
    delete: async (path, namespace = '') => {
      await operate('delete', path, { namespace });
    },
    close: () => listener.close(),
    [Symbol.asyncDispose]: () => listener.close(),
  };
}

interface More {
  readonly body?: Json;
  readonly namespace?: string;
}

function createNamespace(core: VaultCore, users: DatabaseUsers, path: string): Namespace {
  const namespace = new Namespace(path, new MountTable(createBackendFactory(core.clock, users)));
  namespace.mounts.attach(
    'sys/',
    'system',
    'system endpoints used for control, policy and debugging',
    createSystemBackend(core, namespace),
  );
  namespace.mounts.attach(
    'auth/token/',
    'token',
    'token based credentials',
    createTokenBackend(core, namespace),
  );
  return namespace;
}
