/**
 * Connections to Vault, and watched CA files, that the agents of one process share. Responses are not shared.
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

/** The most concurrent requests to Vault of all agents, and so the most busy connections. */
const MAX_REQUESTS = 256;

/** Connections in use by one agent, which must give them back once. */
interface BorrowedConnections {
  readonly connections: VaultConnections;
  /** Requests of one owner start within its share. */
  readonly limiter: RequestLimiter;
  giveBack(): void;
}

/** The connections that agents share. */
export interface SharedConnections {
  /** Concurrent requests by owner: each has at most a third of them. */
  readonly requests: FairShares;
  /**
   * Connections for all agents whose config has the same address, CA, server name, redirect hosts, proxy and timeout. Agents of
   * one `owner` wait for each other, not for those of others.
   *
   * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` for the CA file.
   */
  connect(config: VaultConfig, owner: string): Promise<BorrowedConnections>;
  /** Ends every connection. */
  close(): void;
}

export interface SharedOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

/** Connects on first use. */
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
      const { address, caFile, caPem, tlsServerName, redirectHosts, proxy, timeoutMs } = config;
      const place = [address, proxy, caFile, caPem, tlsServerName, redirectHosts, timeoutMs];
      const key = JSON.stringify(place);
      const pool = pools.get(key) ?? { users: 0, opened: open(config, options) };
      pools.set(key, pool);
      // Counted before the wait, so that the last other user does not close the pool meanwhile.
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

/** Reference-counted connections. */
interface Pool {
  users: number;
  readonly opened: Promise<Opened>;
}

interface Opened {
  readonly connections: VaultConnections;
  close(): void;
}

function close(pool: Pool): void {
  void pool.opened.then((opened) => opened.close()).catch(() => undefined); // the caller of `connect` got the error
}

async function open(
  config: VaultConfig,
  { logger, clock, random }: SharedOptions,
): Promise<Opened> {
  const ca = await loadCaBundle(config, logger);
  const { tlsServerName, redirectHosts, proxy, timeoutMs } = config;
  const connections = createVaultConnections({
    ca: ca.current,
    tlsServerName,
    redirectHosts,
    proxy,
    timeoutMs,
    clock,
    random,
    maxSockets: MAX_REQUESTS,
  });
  const ended = new AbortController();
  const follow: Task = (signal) => ca.run(signal);
  follow(ended.signal).catch(() => undefined); // it only rejects on this abort
  return {
    connections,
    close() {
      ended.abort();
      connections.close();
    },
  };
}
