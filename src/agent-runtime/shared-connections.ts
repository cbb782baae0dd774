/**
 * What many agents of one process share: connections to Vault, and CA files that are followed. Nothing of what
 * an identity is answered.
 */
import type { Clock, Logger, Random } from '../core/index.ts';
import type { VaultConfig } from '../config/agent/index.ts';
import { FairShares, type Task } from '../async/index.ts';
import {
  createVaultConnections,
  type RequestLimiter,
  type VaultConnections,
} from '../vault/index.ts';
import { loadCaBundle } from './ca-bundle.ts';

/** Requests to Vault that are under way for all agents together, and so connections that are busy. */
const MAX_REQUESTS = 256;

/** A use of connections; whoever took it gives it back once. */
export interface BorrowedConnections {
  readonly connections: VaultConnections;
  /** Requests of one owner begin in its share of all. */
  readonly limiter: RequestLimiter;
  giveBack(): void;
}

/** What agents share. */
export interface SharedConnections {
  /** Requests to Vault that are under way, by owner: none has more than a third of them. */
  readonly requests: FairShares;
  /**
   * Connections for all agents whose config names the same address, CA, name and hosts for redirects. `owner` is who is to have its share of
   * them: agents of one owner wait for each other, not for those of others.
   *
   * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` for the CA file.
   */
  connect(config: VaultConfig, owner: string): Promise<BorrowedConnections>;
  /** Ends every connection. */
  close(): void;
}

/** What {@link createSharedConnections} needs. */
export interface SharedOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

/** Makes the shared parts; nothing is connected before it is used. */
export function createSharedConnections(options: SharedOptions): SharedConnections {
  const pools = new Map<string, Pool>();
  const requests = new FairShares(MAX_REQUESTS);
  const forget = (key: string, pool: Pool): void => {
    if (pools.get(key) === pool) pools.delete(key);
  };
  const giveBack = (key: string, pool: Pool): void => {
    pool.users -= 1;
    if (pool.users > 0) return;
    forget(key, pool);
    close(pool);
  };
  return {
    requests,

    async connect(config, owner) {
      const { address, caFile, caPem, tlsServerName, redirectHosts, timeoutMs } = config;
      const key = JSON.stringify([address, caFile, caPem, tlsServerName, redirectHosts, timeoutMs]);
      const pool = pools.get(key) ?? { users: 0, opened: open(config, options) };
      pools.set(key, pool);
      // Who waits is a user already: the last other one must not close it meanwhile.
      pool.users += 1;
      try {
        const { connections } = await pool.opened;
        let isGivenBack = false;
        return {
          connections,
          limiter: (signal, request) => requests.run(owner, signal, request),
          giveBack() {
            if (!isGivenBack) giveBack(key, pool);
            isGivenBack = true;
          },
        };
      } catch (error) {
        forget(key, pool);
        giveBack(key, pool);
        throw error;
      }
    },

    close() {
      for (const pool of pools.values()) close(pool);
      pools.clear();
    },
  };
}

/** Connections with a number of users. */
interface Pool {
  users: number;
  readonly opened: Promise<Opened>;
}

interface Opened {
  readonly connections: VaultConnections;
  close(): void;
}

function close(pool: Pool): void {
  void pool.opened.then((opened) => opened.close()).catch(() => undefined); // told to whoever waited for it
}

async function open(
  config: VaultConfig,
  { logger, clock, random }: SharedOptions,
): Promise<Opened> {
  const ca = await loadCaBundle(config, logger);
  const { tlsServerName, redirectHosts, timeoutMs } = config;
  const connections = createVaultConnections({
    ...{ ca: ca.current, tlsServerName, redirectHosts, timeoutMs, clock, random },
    maxSockets: MAX_REQUESTS,
  });
  const ended = new AbortController();
  const follow: Task = (signal) => ca.run(signal);
  follow(ended.signal).catch(() => undefined); // it ends by this abort alone, or keeps the last good CA
  return {
    connections,
    close() {
      ended.abort();
      connections.close();
    },
  };
}
