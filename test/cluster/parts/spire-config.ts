/** The configuration of SPIRE's programs in the cluster, with paths as their containers have them. */
import { dirname, join } from 'node:path';
import { document, settingsOf } from '../../helpers/spire-language.ts';
import {
  ADMIN_SOCKET,
  BROKER_SOCKET,
  IDENTITY_SOCKET,
  SERVER_SOCKET,
  TRUST_DOMAIN,
} from './identity-place.ts';
import { SERVICE_RANGE } from './network.ts';
import { RELEASE } from './release.ts';

/** Namespace of all that SPIRE consists of. */
export const SPIRE = 'spire';
/** Service accounts, and the pods that have them. */
export const SERVER = 'spire-server';
export const AGENT = 'spire-agent';

/** What server and agents call this cluster. */
export const CLUSTER = 'vouchsafe';

/** Fixed: there is no DNS here. From the part of the range that is kept for such addresses. */
export const SERVER_ADDRESS = SERVICE_RANGE.replace(/0\/24$/, '8');
export const DISCOVERY_ADDRESS = SERVICE_RANGE.replace(/0\/24$/, '9');
/** Issuer of JWT-SVIDs: the discovery provider. */
export const ISSUER = `https://${DISCOVERY_ADDRESS}`;

export const SERVER_PORT = 8081;
export const DISCOVERY_PORT = 8443;
export const SERVER_HEALTH_PORT = 8080;
/** On the node, which the agent shares its network with. */
export const AGENT_HEALTH_PORT = 9982;

/** Where containers have what is mounted into them. */
export const CONFIG_DIRECTORY = '/etc/spire';
export const DATA_DIRECTORY = '/var/lib/spire';
export const CERTIFICATE_DIRECTORY = '/run/spire/certificate';
export const BUNDLE_DIRECTORY = '/run/spire/bundle';
export const TOKEN_DIRECTORY = '/run/spire/token';

/** Where the server keeps its X.509 authorities for agents that start. */
export const BUNDLE = { configMap: 'spire-bundle', key: 'bundle.crt' };
/** Audience of the tokens by which agents are attested. */
export const ATTESTATION_AUDIENCE = 'spire-server';

/** Short, because files with JWT-SVIDs are seen to be kept fresh: they are replaced at half of it. */
const JWT_TTL = '40s';

/** The CSI driver, which may have the identities of pods. */
const DRIVER = `spiffe://${TRUST_DOMAIN}/ns/${RELEASE}/sa/${RELEASE}-csi`;
/** By which it names a pod. */
const REFERENCE = 'type.googleapis.com/spiffe.broker.KubernetesObjectReference';

/** The user of the API server whose right to a pod SPIRE's attestor asks for. */
export const BROKER_USER = DRIVER;

/** Entries reach its agents within two seconds. Its keys are on disk: one that is restarted is the same authority. */
export function serverConfig(): string {
  const server = {
    bind_address: '0.0.0.0',
    bind_port: SERVER_PORT,
    socket_path: SERVER_SOCKET,
    data_dir: DATA_DIRECTORY,
    trust_domain: TRUST_DOMAIN,
    jwt_issuer: ISSUER,
    default_jwt_svid_ttl: JWT_TTL,
    experimental: { cache_reload_interval: '1s' },
  };
  const store = {
    database_type: 'sqlite3',
    connection_string: join(DATA_DIRECTORY, 'datastore.sqlite3'),
  };
  const accounts = { service_account_allow_list: [`${SPIRE}:${AGENT}`] };
  const bundle = {
    namespace: SPIRE,
    config_map: BUNDLE.configMap,
    config_map_key: BUNDLE.key,
  };
  const plugins = document('server', server, [
    ['DataStore', 'sql', store],
    ['NodeAttestor', 'k8s_psat', { clusters: { [CLUSTER]: accounts } }],
    ['NodeAttestor', 'join_token', {}],
    ['KeyManager', 'disk', { keys_path: join(DATA_DIRECTORY, 'keys.json') }],
    ['Notifier', 'k8sbundle', bundle],
  ]);
  return plugins + healthChecks('0.0.0.0', SERVER_HEALTH_PORT);
}

/** The discovery provider, which is beside the server. */
export function discoveryConfig(): string {
  return settingsOf({
    log_level: 'info',
    domains: [DISCOVERY_ADDRESS],
    jwt_issuer: ISSUER,
    serving_cert_file: {
      addr: `:${DISCOVERY_PORT}`,
      cert_file_path: join(CERTIFICATE_DIRECTORY, 'tls.crt'),
      key_file_path: join(CERTIFICATE_DIRECTORY, 'tls.key'),
    },
    server_api: { address: `unix://${SERVER_SOCKET}`, poll_interval: '1s' },
  });
}

/**
 * The agent of a node, with both APIs on behalf of pods for the CSI driver. SPIRE has container selectors by default; with
 * them it does not attest a container whose `postStart` hook runs: the kubelet lists it only after that.
 */
export function agentConfig({ hasContainerSelectors = true } = {}): string {
  const agent = {
    server_address: SERVER_ADDRESS,
    server_port: SERVER_PORT,
    socket_path: IDENTITY_SOCKET,
    admin_socket_path: ADMIN_SOCKET,
    authorized_delegates: [DRIVER],
    data_dir: DATA_DIRECTORY,
    trust_domain: TRUST_DOMAIN,
    trust_bundle_path: join(BUNDLE_DIRECTORY, BUNDLE.key),
    experimental: {
      sync_interval: '1s',
      broker: {
        socket_path: BROKER_SOCKET,
        brokers: [{ id: DRIVER, allowed_reference_types: [{ type_url: REFERENCE }] }],
      },
    },
  };
  const token = { cluster: CLUSTER, token_path: join(TOKEN_DIRECTORY, AGENT) };
  const workloads = {
    disable_container_selectors: !hasContainerSelectors,
    experimental: { broker: { access_policy: 'enforced', brokers: [{ id: DRIVER }] } },
  };
  const plugins = document('agent', agent, [
    ['NodeAttestor', 'k8s_psat', token],
    ['KeyManager', 'disk', { directory: DATA_DIRECTORY }],
    ['WorkloadAttestor', 'k8s', workloads],
  ]);
  return plugins + healthChecks('127.0.0.1', AGENT_HEALTH_PORT);
}

/** Directories of the node that SPIRE's containers have under the same path. */
export const SERVER_DIRECTORIES = [dirname(SERVER_SOCKET)];
export const AGENT_DIRECTORIES = [dirname(BROKER_SOCKET), dirname(ADMIN_SOCKET)];

function healthChecks(address: string, port: number): string {
  const settings = { listener_enabled: true, bind_address: address, bind_port: String(port) };
  return `${settingsOf({ health_checks: settings })}\n`;
}
