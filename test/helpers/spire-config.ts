/** The configuration of the programs of SPIRE, all of it in one directory. */
import { join } from 'node:path';
import { document, settingsOf } from './spire-language.ts';
import { socketPath } from './temp-directory.ts';

/** The trust domain, unless a test needs another one. */
const TRUST_DOMAIN = 'example.org';

/** Dated back by 10 s, an X.509-SVID lives 30 s and is replaced when it has 15 s left: every 5 s. */
const X509_TTL_SECONDS = 20;
const JWT_TTL_SECONDS = 12;

/** Settings of a trust domain, where not as they come. */
export interface SpireSettings {
  /** `example.org` by default. */
  readonly trustDomain?: string;
  /** The node's alias, by the path of its SPIFFE ID; `host` by default. */
  readonly node?: string;
  /** Of X.509-SVIDs; 20 s by default. */
  readonly x509TtlSeconds?: number;
  /** Of JWT-SVIDs; 12 s by default. */
  readonly jwtTtlSeconds?: number;
  /** Certificate of the discovery provider, which has no TLS by default. */
  readonly discoveryTls?: {
    readonly caPem: string;
    readonly certPem: string;
    readonly keyPem: string;
  };
  /** Further settings of the agent, which has this directory. */
  readonly agent?: (directory: string) => AgentSettings;
}

/** Settings of an agent beside the usual. */
export interface AgentSettings {
  readonly agent?: object;
  readonly experimental?: object;
  /** Settings by the name of a plug-in. */
  readonly workloadAttestors?: Readonly<Record<string, object>>;
  readonly environment?: Readonly<Record<string, string>>;
}

/** What the programs of one trust domain have in common. */
export interface Places {
  readonly directory: string;
  readonly trustDomain: string;
  readonly serverSocket: string;
  readonly serverPort: number;
  /** Of the endpoint at which other trust domains ask for the bundle. */
  readonly bundlePort: number;
  readonly discoveryPort: number;
  /** The directory of the Workload API must not be that of any other socket of the agent. */
  readonly agentSocket: string;
  /** Where the discovery provider is, and the issuer of JWT-SVIDs. */
  readonly issuer: string;
}

/** Where everything of a trust domain is. */
export function placesOf(
  directory: string,
  settings: SpireSettings,
  [serverPort, bundlePort, discoveryPort]: readonly [number, number, number],
): Places {
  const scheme = settings.discoveryTls === undefined ? 'http' : 'https';
  return {
    directory,
    trustDomain: settings.trustDomain ?? TRUST_DOMAIN,
    serverSocket: socketPath(directory, 'server.sock'),
    serverPort,
    bundlePort,
    discoveryPort,
    agentSocket: socketPath(directory, 'workload', 'agent.sock'),
    issuer: `${scheme}://localhost:${discoveryPort}`,
  };
}

/**
 * Its entries and SVIDs reach everyone within seconds. Its keys are on disk, so that a server that is restarted is the
 * same authority.
 */
export function serverConfig(places: Places, settings: SpireSettings): string {
  const { directory, trustDomain } = places;
  const { x509TtlSeconds = X509_TTL_SECONDS, jwtTtlSeconds = JWT_TTL_SECONDS } = settings;
  const server = {
    bind_address: '127.0.0.1',
    bind_port: places.serverPort,
    socket_path: places.serverSocket,
    data_dir: join(directory, 'server'),
    trust_domain: trustDomain,
    jwt_issuer: places.issuer,
    log_level: 'WARN',
    agent_ttl: '10m',
    default_x509_svid_ttl: `${x509TtlSeconds}s`,
    default_jwt_svid_ttl: `${jwtTtlSeconds}s`,
    experimental: { cache_reload_interval: '1s' },
    federation: {
      bundle_endpoint: {
        address: '127.0.0.1',
        port: places.bundlePort,
        'profile "https_spiffe"': {},
      },
    },
  };
  const store = {
    database_type: 'sqlite3',
    connection_string: join(directory, 'datastore.sqlite3'),
  };
  return document('server', server, [
    ['DataStore', 'sql', store],
    ['NodeAttestor', 'join_token', {}],
    ['KeyManager', 'disk', { keys_path: join(directory, 'keys.json') }],
  ]);
}

/** Its keys are on disk: a join token serves once, and an agent that is restarted goes on with what it has. */
export function agentConfig(places: Places, joinToken: string, settings: AgentSettings): string {
  const data = join(places.directory, 'agent');
  const agent = {
    server_address: '127.0.0.1',
    server_port: places.serverPort,
    socket_path: places.agentSocket,
    data_dir: data,
    trust_domain: places.trustDomain,
    log_level: 'WARN',
    insecure_bootstrap: true,
    join_token: joinToken,
    experimental: { sync_interval: '1s', ...settings.experimental },
    ...settings.agent,
  };
  return document('agent', agent, [
    ['NodeAttestor', 'join_token', {}],
    ['KeyManager', 'disk', { directory: data }],
    ...Object.entries({ unix: {}, ...settings.workloadAttestors }).map(
      ([name, more]) => ['WorkloadAttestor', name, more] as const,
    ),
  ]);
}

/** Publishes the keys of JWT-SVIDs to Vault. */
export function discoveryConfig(places: Places, certificate: ServingCertificate): string {
  const address = `127.0.0.1:${places.discoveryPort}`;
  const listener =
    certificate === undefined
      ? { insecure_addr: address, allow_insecure_scheme: true }
      : {
          serving_cert_file: {
            addr: address,
            cert_file_path: certificate.certFile,
            key_file_path: certificate.keyFile,
          },
        };
  return settingsOf({
    log_level: 'warn',
    domains: ['localhost'],
    ...listener,
    server_api: { address: `unix://${places.serverSocket}`, poll_interval: '1s' },
  });
}

/** Files of the discovery provider's certificate; undefined for one without TLS. */
export type ServingCertificate =
  { readonly certFile: string; readonly keyFile: string } | undefined;
