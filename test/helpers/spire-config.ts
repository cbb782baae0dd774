/** What the programs of SPIRE are told, all of it in one directory. */
import { join } from 'node:path';

export const TRUST_DOMAIN = 'example.org';

/** Dated back by 10 s, an X.509-SVID lives 30 s and is replaced when it has 15 s left: every 5 s. */
const X509_TTL_SECONDS = 20;
const JWT_TTL_SECONDS = 12;

/** What an agent is told beside the usual. */
export interface AgentSettings {
  readonly agent?: object;
  readonly experimental?: object;
  readonly workloadAttestors?: readonly object[];
}

/** What an agent needs to be told at its start. */
export interface AgentStart {
  readonly serverPort: number;
  readonly joinToken: string;
  readonly settings: AgentSettings;
}

/** Its entries and SVIDs reach everyone within seconds. */
export function serverConfig(directory: string, port: number): object {
  return {
    server: {
      bind_address: '127.0.0.1',
      bind_port: port,
      socket_path: join(directory, 'server.sock'),
      data_dir: join(directory, 'server'),
      trust_domain: TRUST_DOMAIN,
      log_level: 'WARN',
      agent_ttl: '10m',
      default_x509_svid_ttl: `${X509_TTL_SECONDS}s`,
      default_jwt_svid_ttl: `${JWT_TTL_SECONDS}s`,
      experimental: { cache_reload_interval: '1s' },
    },
    plugins: {
      DataStore: [
        {
          sql: {
            plugin_data: {
              database_type: 'sqlite3',
              connection_string: join(directory, 'datastore.sqlite3'),
            },
          },
        },
      ],
      NodeAttestor: [{ join_token: { plugin_data: {} } }],
      KeyManager: [{ memory: { plugin_data: {} } }],
    },
  };
}

/** The directory of the Workload API must not be that of any other socket of the agent. */
export function agentSocketOf(directory: string): string {
  return join(directory, 'workload', 'agent.sock');
}

/** Its keys are on disk: a join token serves once, and an agent that is restarted goes on with what it has. */
export function agentConfig(directory: string, start: AgentStart): object {
  const { serverPort, joinToken, settings } = start;
  const data = join(directory, 'agent');
  return {
    agent: {
      server_address: '127.0.0.1',
      server_port: serverPort,
      socket_path: agentSocketOf(directory),
      data_dir: data,
      trust_domain: TRUST_DOMAIN,
      log_level: 'WARN',
      insecure_bootstrap: true,
      join_token: joinToken,
      experimental: { sync_interval: '1s', ...settings.experimental },
      ...settings.agent,
    },
    plugins: {
      NodeAttestor: [{ join_token: { plugin_data: {} } }],
      KeyManager: [{ disk: { plugin_data: { directory: data } } }],
      WorkloadAttestor: [{ unix: { plugin_data: {} } }, ...(settings.workloadAttestors ?? [])],
    },
  };
}

/** Tells Vault the keys of JWT-SVIDs. */
export function discoveryConfig(serverSocket: string, port: number): object {
  return {
    log_level: 'warn',
    domains: ['localhost'],
    insecure_addr: `127.0.0.1:${port}`,
    allow_insecure_scheme: true,
    server_api: { address: `unix://${serverSocket}`, poll_interval: '1s' },
  };
}
