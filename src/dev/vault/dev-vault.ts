/**
 * The embedded Vault of `vouchsafe dev` and of the tests: a server that speaks the part of Vault's API that Vouchsafe uses.
 * It has everything in memory. What Vault does beyond that is tested with the real one (`test/real`).
 */
import { Secret, VouchsafeError, type Clock } from '../../core/index.ts';
import { systemClock } from '../../platform/index.ts';
import { VaultCore } from './core.ts';
import { DatabaseUsers } from './engines/users.ts';
import type { Json, Operation } from './messages.ts';
import type { FaultRule, Faults } from './server/faults.ts';
import type { RateLimit } from './server/rate-limit.ts';
import type { LoggedRequest } from './server/request-log.ts';
import { VaultServer, type ServerTls } from './server/server.ts';
import { createSystemBackend } from './system.ts';

/** How to start a {@link DevVault}. */
export interface DevVaultOptions {
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default plain HTTP. With TLS, client certificates are requested but not required. */
  readonly tls?: ServerTls;
  /** Default the system's clock. */
  readonly clock?: Clock;
}

/** A running server on 127.0.0.1. Like the community edition it ignores namespaces. The caller closes it. */
export interface DevVault extends AsyncDisposable {
  /** `http://127.0.0.1:port`, without a trailing slash. */
  readonly address: string;
  readonly rootToken: Secret<string>;
  /** The requests, oldest first. Without values. */
  readonly requests: readonly LoggedRequest[];
  readonly faults: Faults;
  /** The users that database engines created; all mounts share one database. */
  readonly users: DatabaseUsers;
  /** IDs of the valid leases. */
  readonly leaseIds: readonly string[];
  /** Accessors of the valid tokens. */
  readonly tokenAccessors: readonly string[];
  count(match: FaultRule['match']): number;
  /** Resolves when that many matching requests have arrived. */
  waitFor(match: FaultRule['match'], count: number, signal: AbortSignal): Promise<void>;
  seal(): void;
  unseal(): void;
  /** Responds with 429 beyond the limit; undefined removes it. */
  rateLimit(limit: RateLimit | undefined): void;
  /** `vault write` with root authority. Rejects if Vault does. */
  write(path: string, body?: Json): Promise<void>;
  /** `vault delete` with root authority. */
  delete(path: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts a Vault that is initialized, unsealed, and has only its system backends mounted. */
export async function startDevVault(options: DevVaultOptions = {}): Promise<DevVault> {
  const core = new VaultCore(options.clock ?? systemClock);
  const users = new DatabaseUsers(core.clock, () => core.tick());
  core.mount({ path: 'sys/', type: 'system', options: {}, ...createSystemBackend(core, users) });
  core.mount({ path: 'auth/token/', type: 'token', options: {}, routes: core.tokens.routes() });
  const rootToken = core.tokens.createRoot().id;
  const server = new VaultServer(core, options.tls);
  await server.listen(options.port ?? 0);

  async function operate(operation: Operation, path: string, body: Json = {}): Promise<void> {
    const { status, body: answer } = await core.handle({
      operation,
      path,
      body,
      token: rootToken,
      query: new URLSearchParams(),
      bearer: undefined,
      certificate: undefined,
    });
    if (status < 300) return;
    const reason = `${status} ${JSON.stringify(answer?.['errors'])}`;
    const text = `the embedded Vault rejected ${operation} of ${path}: ${reason}`;
    throw new VouchsafeError('ERR_USAGE', text);
  }

  return {
    address: server.address,
    rootToken: new Secret(rootToken),
    requests: server.log.entries,
    faults: server.faults,
    users,
    get leaseIds() {
      core.tick();
      return core.leases.ids();
    },
    get tokenAccessors() {
      core.tick();
      return core.tokens.accessors();
    },
    count: (match) => server.log.count(match),
    waitFor: (match, count, signal) => server.log.waitFor(match, count, signal),
    seal: () => void (core.sealed = true),
    unseal: () => void (core.sealed = false),
    rateLimit: (limit) => server.rateLimiter.set(limit),
    write: (path, body) => operate('update', path, body),
    delete: (path) => operate('delete', path),
    close: () => server.close(),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
