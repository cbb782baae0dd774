/** SPIRE as Kubernetes' objects: a StatefulSet with the discovery provider, and a DaemonSet of agents. */
import { dirname } from 'node:path';
import { IDENTITY_DIRECTORY, IDENTITY_SOCKET } from './identity-place.ts';
import { SPIRE_IMAGE } from './images.ts';
import {
  AGENT,
  AGENT_DIRECTORIES,
  AGENT_HEALTH_PORT,
  agentConfig,
  ATTESTATION_AUDIENCE,
  BROKER_USER,
  BUNDLE,
  BUNDLE_DIRECTORY,
  CERTIFICATE_DIRECTORY,
  CONFIG_DIRECTORY,
  DATA_DIRECTORY,
  DISCOVERY_ADDRESS,
  DISCOVERY_PORT,
  discoveryConfig,
  SERVER,
  SERVER_ADDRESS,
  SERVER_DIRECTORIES,
  SERVER_HEALTH_PORT,
  SERVER_PORT,
  serverConfig,
  SPIRE,
  TOKEN_DIRECTORY,
} from './spire-config.ts';

/** An object, and the collection that it is made in. */
export type Made = readonly [collection: string, object: object];

const CORE = `/api/v1/namespaces/${SPIRE}`;
const APPS = `/apis/apps/v1/namespaces/${SPIRE}`;
const RBAC_GROUP = 'rbac.authorization.k8s.io';
const RBAC = `/apis/${RBAC_GROUP}/v1`;

export const STATEFUL_SET = `${APPS}/statefulsets/${SERVER}`;
export const DAEMON_SET = `${APPS}/daemonsets/${AGENT}`;
export const AGENT_PODS = `${CORE}/pods?labelSelector=app%3D${AGENT}`;
export const AGENT_MAP = `${CORE}/configmaps/${AGENT}`;
export const BUNDLE_MAP = `${CORE}/configmaps/${BUNDLE.configMap}`;

/** Its certificate, PEM. */
interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
}

/** All but the agents. */
export function serverObjects(certificate: Certificate): readonly Made[] {
  return [
    ['/api/v1/namespaces', named(SPIRE)],
    ...rights(SERVER, SERVER_RULES),
    ...rights(AGENT, AGENT_RULES),
    ...broker(),
    [`${CORE}/configmaps`, named(BUNDLE.configMap)],
    config(SERVER, { 'server.conf': serverConfig(), 'discovery.conf': discoveryConfig() }),
    config(AGENT, { [AGENT_FILE]: agentConfig() }),
    [
      `${CORE}/secrets`,
      {
        ...named(DISCOVERY),
        type: 'kubernetes.io/tls',
        stringData: { 'tls.crt': certificate.certPem, 'tls.key': certificate.keyPem },
      },
    ],
    service(SERVER, SERVER_ADDRESS, { port: SERVER_PORT, targetPort: SERVER_PORT }),
    service(DISCOVERY, DISCOVERY_ADDRESS, { port: 443, targetPort: DISCOVERY_PORT }),
    [
      `${APPS}/statefulsets`,
      { ...named(SERVER), spec: { ...pods(SERVER, serverPod()), serviceName: SERVER } },
    ],
  ];
}

/** The agents, which find the bundle of a server that runs. */
export function agentObjects(): readonly Made[] {
  return [[`${APPS}/daemonsets`, { ...named(AGENT), spec: pods(AGENT, agentPod()) }]];
}

const DISCOVERY = 'spire-oidc';
/** In {@link AGENT_MAP}. */
export const AGENT_FILE = 'agent.conf';

/** By which the server attests agents, and hands its bundle to them. */
const SERVER_RULES = [
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  { apiGroups: [''], resources: ['pods', 'nodes'], verbs: ['get'] },
  {
    apiGroups: [''],
    resources: ['configmaps'],
    resourceNames: [BUNDLE.configMap],
    verbs: ['get', 'patch'],
  },
];

/** By which agents ask the kubelet for its pods, and whether the CSI driver may have the identity of one. */
const AGENT_RULES = [
  { apiGroups: [''], resources: ['pods', 'nodes', 'nodes/proxy'], verbs: ['get'] },
  {
    apiGroups: ['authorization.k8s.io'],
    resources: ['subjectaccessreviews'],
    verbs: ['create'],
  },
];

/** The user of the driver's SPIFFE ID, which no service account is, may have the identities of all pods. */
function broker(): readonly Made[] {
  const name = 'spire-broker';
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['impersonate-via-spire'] }];
  return role(name, rules, { apiGroup: RBAC_GROUP, kind: 'User', name: BROKER_USER });
}

function rights(account: string, rules: readonly object[]): readonly Made[] {
  return [
    [`${CORE}/serviceaccounts`, named(account)],
    ...role(account, rules, { kind: 'ServiceAccount', name: account, namespace: SPIRE }),
  ];
}

function role(name: string, rules: readonly object[], subject: object): readonly Made[] {
  const roleRef = { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name };
  return [
    [`${RBAC}/clusterroles`, { ...named(name), rules }],
    [`${RBAC}/clusterrolebindings`, { ...named(name), roleRef, subjects: [subject] }],
  ];
}

function config(name: string, data: Readonly<Record<string, string>>): Made {
  return [`${CORE}/configmaps`, { ...named(name), data }];
}

/** Also to pods that are not ready: a kubelet that is restarted takes them for unready until it has probed them again. */
function service(name: string, clusterIP: string, port: object): Made {
  const selector = { app: SERVER };
  const spec = { clusterIP, selector, publishNotReadyAddresses: true, ports: [port] };
  return [`${CORE}/services`, { ...named(name), spec }];
}

function named(name: string): { readonly metadata: object } {
  return { metadata: { name } };
}

function pods(app: string, spec: object): object {
  const labels = { app };
  return { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } };
}

/** What server and agents have in common: a node that is short of memory keeps them. */
const COMMON = {
  priorityClassName: 'system-node-critical',
  terminationGracePeriodSeconds: 5,
  enableServiceLinks: false,
  // Directories of the node are root's.
  securityContext: { runAsUser: 0, runAsGroup: 0 },
};

function serverPod(): object {
  const directories = SERVER_DIRECTORIES.map((path) => onNode(path, path));
  const all = [
    ...directories,
    volume(CONFIG_DIRECTORY, { configMap: { name: SERVER } }),
    volume(DATA_DIRECTORY, { emptyDir: {} }),
    volume(CERTIFICATE_DIRECTORY, { secret: { secretName: DISCOVERY } }),
  ];
  return {
    ...COMMON,
    serviceAccountName: SERVER,
    containers: [
      container('spire-server', ['run', '-config', `${CONFIG_DIRECTORY}/server.conf`], {
        readinessProbe: probe({ path: '/ready', port: SERVER_HEALTH_PORT }),
        volumeMounts: all.map(({ mount }) => mount),
      }),
      container('oidc-discovery-provider', ['-config', `${CONFIG_DIRECTORY}/discovery.conf`], {
        readinessProbe: probe({
          path: '/keys',
          port: DISCOVERY_PORT,
          scheme: 'HTTPS',
          httpHeaders: [{ name: 'Host', value: DISCOVERY_ADDRESS }],
        }),
        volumeMounts: all.map(({ mount }) => mount),
      }),
    ],
    volumes: all.map(({ source }) => source),
  };
}

/** Sees the processes of all pods, and reaches the kubelet. */
function agentPod(): object {
  const token = { path: AGENT, audience: ATTESTATION_AUDIENCE, expirationSeconds: 600 };
  const all = [
    onNode(IDENTITY_DIRECTORY, dirname(IDENTITY_SOCKET)),
    ...AGENT_DIRECTORIES.map((path) => onNode(path, path)),
    volume(CONFIG_DIRECTORY, { configMap: { name: AGENT } }),
    volume(DATA_DIRECTORY, { emptyDir: {} }),
    volume(BUNDLE_DIRECTORY, { configMap: { name: BUNDLE.configMap } }),
    volume(TOKEN_DIRECTORY, { projected: { sources: [{ serviceAccountToken: token }] } }),
  ];
  // Where its attestor finds the kubelet; names of nodes are none that could be looked up here.
  const node = { fieldRef: { fieldPath: 'status.hostIP' } };
  return {
    ...COMMON,
    serviceAccountName: AGENT,
    hostPID: true,
    hostNetwork: true,
    containers: [
      container('spire-agent', ['run', '-config', `${CONFIG_DIRECTORY}/${AGENT_FILE}`], {
        env: [{ name: 'MY_NODE_NAME', valueFrom: node }],
        readinessProbe: probe({ path: '/ready', port: AGENT_HEALTH_PORT, host: '127.0.0.1' }),
        volumeMounts: all.map(({ mount }) => mount),
      }),
    ],
    volumes: all.map(({ source }) => source),
  };
}

/** A share of the processors: where two hundred pods start, all of them ask for SVIDs. */
function container(program: string, args: readonly string[], more: object): object {
  return {
    name: program,
    image: SPIRE_IMAGE,
    imagePullPolicy: 'Never',
    command: [`/bin/${program}`, ...args],
    resources: { requests: { cpu: '100m' } },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    ...more,
  };
}

function probe(httpGet: object): object {
  return { httpGet, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 10 };
}

interface Volume {
  readonly mount: object;
  readonly source: object;
}

function volume(mountPath: string, from: object): Volume {
  const name = mountPath.slice(1).replaceAll(/[^a-z0-9]/g, '-');
  return { mount: { name, mountPath }, source: { name, ...from } };
}

function onNode(path: string, mountPath: string): Volume {
  return volume(mountPath, { hostPath: { path, type: 'Directory' } });
}
