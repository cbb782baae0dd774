/**
 * What many agents of one process share: connections to Vault, CA files that are followed, parsed templates. Nothing
 * of what an identity is answered. Ring: host.
 */
import type { Logger } from '../core/index.ts';
import type { VaultConfig } from '../config/index.ts';
import type { Task } from '../lifecycle/index.ts';
import { parseTemplate, type Template } from '../template/index.ts';
import { createVaultConnections, type VaultConnections } from '../vault/index.ts';
import { loadCaBundle } from './ca-bundle.ts';

/** Connections to one node of Vault for all agents together: each has eight requests under way at most. */
const MAX_SOCKETS = 256;

/** A use of connections; whoever took it gives it back once. */
export interface BorrowedConnections {
  readonly connections: VaultConnections;
  giveBack(): void;
}

/** What agents share. */
export interface Shared {
  /**
   * Connections for all agents whose config names the same address, CA and name.
   *
   * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` for the CA file.
   */
  connect(config: VaultConfig): Promise<BorrowedConnections>;
  /** As the one of src/template; equal texts with equal names are parsed once. */
  parseTemplate(source: string, name: string): Template;
  /** Ends every connection. */
  close(): void;
}

/** Makes the shared parts; nothing is connected before it is used. */
export function createShared({ logger }: { readonly logger: Logger }): Shared {
  const pools = new Map<string, Promise<Pool>>();
  const templates = new Map<string, WeakRef<Template>>();
  const forgotten = new FinalizationRegistry<string>((key) => {
    if (templates.get(key)?.deref() === undefined) templates.delete(key);
  });
  const drop = (key: string, pool: Pool): void => {
    pools.delete(key);
    pool.close();
  };
  return {
    async connect(config) {
      const { address, caFile, caPem, tlsServerName, timeoutMs } = config;
      const key = JSON.stringify([address, caFile, caPem, tlsServerName, timeoutMs]);
      const opened = pools.get(key) ?? openPool(config, logger);
      pools.set(key, opened);
      const pool = await opened.catch((error: unknown) => {
        if (pools.get(key) === opened) pools.delete(key);
        throw error;
      });
      pool.users += 1;
      let isGivenBack = false;
      return {
        connections: pool.connections,
        giveBack() {
          if (isGivenBack) return;
          isGivenBack = true;
          pool.users -= 1;
          if (pool.users === 0) drop(key, pool);
        },
      };
    },

    parseTemplate(source, name) {
      const key = JSON.stringify([name, source]);
      const known = templates.get(key)?.deref();
      if (known !== undefined) return known;
      const template = parseTemplate(source, name);
      templates.set(key, new WeakRef(template));
      forgotten.register(template, key);
      return template;
    },

    close() {
      for (const [key, pool] of pools)
        void pool.then((one) => drop(key, one)).catch(() => undefined);
    },
  };
}

interface Pool {
  readonly connections: VaultConnections;
  users: number;
  close(): void;
}

async function openPool(config: VaultConfig, logger: Logger): Promise<Pool> {
  const ca = await loadCaBundle(config, logger);
  const { tlsServerName, timeoutMs } = config;
  const connections = createVaultConnections({
    ...{ ca: ca.current, tlsServerName, timeoutMs },
    maxSockets: MAX_SOCKETS,
  });
  const ended = new AbortController();
  const follow: Task = (signal) => ca.run(signal);
  follow(ended.signal).catch(() => undefined); // it ends by this abort alone, or keeps the last good CA
  return {
    connections,
    users: 0,
    close() {
      ended.abort();
      connections.close();
    },
  };
}
