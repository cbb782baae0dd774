/**
 * Pools of keep-alive connections: to Vault, or through a proxy.
 */
import { Agent as HttpAgent, type AgentOptions as HttpAgentOptions } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions } from 'node:https';
import { ForwardAgent, TunnelAgent, type ProxyOptions } from './proxy.ts';

/** Idle connections kept for the next request. */
const MAX_IDLE_SOCKETS = 2;
/** Idle connections close after this time, in milliseconds: well before load balancers drop them. */
const IDLE_MS = 15_000;
/** One pool for each protocol. */
export interface ConnectionPools {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

/** Pools of at most `maxSockets` connections to one node, through the proxy if there is one. */
export function createPools(maxSockets: number, proxy: ProxyOptions | undefined): ConnectionPools {
  const pool: HttpAgentOptions = {
    keepAlive: true,
    maxSockets,
    maxFreeSockets: MAX_IDLE_SOCKETS,
    timeout: IDLE_MS,
  };
  const secure: HttpsAgentOptions = {
    ...pool,
    minVersion: 'TLSv1.2',
    // Explicit, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 would disable it.
    rejectUnauthorized: true,
  };
  return proxy === undefined
    ? { http: new HttpAgent(pool), https: new HttpsAgent(secure) }
    : { http: new ForwardAgent(pool, proxy), https: new TunnelAgent(secure, proxy) };
}
