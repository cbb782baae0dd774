/** The configuration of the programs of SPIRE, all of it in one directory. */
import { join } from 'node:path';
import { socketPath } from './temp-directory.ts';

export const TRUST_DOMAIN = 'example.org';

/** Dated back by 10 s, an X.509-SVID lives 30 s and is replaced when it has 15 s left: every 5 s. */
const X509_TTL_SECONDS = 20;
const JWT_TTL_SECONDS = 12;

/** Settings of an agent beside the usual. */
export interface AgentSettings {
  readonly agent?: object;
  readonly experimental?: object;
  /** Settings by the name of a plug-in. */
  readonly workloadAttestors?: Readonly<Record<string, object>>;
}

/** Settings that an agent requires at its start. */
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
      socket_path: socketPath(directory, 'server.sock'),
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
  return socketPath(directory, 'workload', 'agent.sock');
}

/** Its keys are on disk: a join token serves once, and an agent that is restarted goes on with what it has. */
export function agentConfig(directory: string, start: AgentStart): string {
  const { serverPort, joinToken, settings } = start;
  const data = join(directory, 'agent');
  const agent = {
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
  };
  const plugins = [
    ['NodeAttestor', 'join_token', {}],
    ['KeyManager', 'disk', { directory: data }],
    ...Object.entries({ unix: {}, ...settings.workloadAttestors }).map(
      ([name, more]) => ['WorkloadAttestor', name, more] as const,
    ),
  ] as const;
  const blocks = plugins.map(
    ([type, name, more]) => `${type} "${name}" {\nplugin_data ${hcl(more)}\n}`,
  );
  return `agent ${hcl(agent)}\nplugins {\n${blocks.join('\n')}\n}\n`;
}

/** Settings in SPIRE's own language, because it does not read lists of objects in such lists right from JSON. */
function hcl(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(hcl).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const lines = Object.entries(value).map(([key, one]) => `${key} = ${hcl(one)}`);
  return `{\n${lines.join('\n')}\n}`;
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
