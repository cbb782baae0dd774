/**
 * The logins of a pod: one for each connection and role that its files choose. Files with the same ones share a session.
 */
import { MAX_LOGINS, type RawAgentConfig } from '../config/agent/index.ts';
import {
  x509Login,
  type FileSettings,
  type ResolvedSettings,
  type Settings,
} from '../config/annotations/index.ts';
import type { Installation, VaultConnection } from '../config/installation/index.ts';
import { grammar } from '../config/schema/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import { caDirectory } from './names.ts';

/** One login of a pod. */
export interface PodLogin {
  /** Name in the agent's document; undefined for the login of files that name none there. */
  readonly name: string | undefined;
  /** Name of a connection, or an address. */
  readonly chosen: string;
  /** Undefined for the default role of the mount. */
  readonly role: string | undefined;
  /** Names of the files that it is for. */
  readonly files: ReadonlySet<string>;
  /** Annotations without prefix that choose connection and role: `vault`, or `vault-<name>`. */
  readonly settings: { readonly vault: string; readonly role: string };
}

/** A login with its connection. */
export interface NeededLogin extends PodLogin {
  readonly connection: VaultConnection;
  /** Number of the connection within the pod, from 0. */
  readonly index: number;
}

/** The logins of the files that may use Vault, that of most settings of the pod first, which variables use. */
function podLogins(
  { settings, files, variables }: ResolvedSettings,
  installation: Installation,
): readonly PodLogin[] {
  const [vault, role] = [settings.vault.value ?? installation.vault.default, settings.role.value];
  const names = { vault: 'vault', role: 'role' };
  const ofPod = { chosen: vault, role, files: new Set<string>(), settings: names };
  const logins = new Map([[keyOf(ofPod), ofPod]]); // comes first if any file has it
  for (const file of files.filter(mayUseVault)) {
    const wanted = { ...ofPod, ...choiceOf(file, ofPod), files: new Set<string>() };
    const login = logins.get(keyOf(wanted)) ?? wanted;
    logins.set(keyOf(login), login);
    login.files.add(file.name);
  }
  const isForVariables = variables.some(
    ({ env, 'env-template': template }) => env !== undefined || hasExpression(template),
  );
  const used = [...logins.values()].filter(
    (login) => login.files.size > 0 || (login === ofPod && isForVariables),
  );
  return used.map((login, index) => ({ ...login, name: index === 0 ? undefined : nameOf(login) }));
}

type Choice = Pick<PodLogin, 'chosen' | 'role' | 'settings'>;

/** What a file chooses instead of what the pod does. */
function choiceOf({ name, vault, role }: FileSettings, ofPod: Choice): Choice {
  return {
    chosen: vault === undefined ? ofPod.chosen : vault.value,
    role: role === undefined ? ofPod.role : role.value,
    settings: {
      vault: vault === undefined ? 'vault' : `vault-${name}`,
      role: role === undefined ? 'role' : `role-${name}`,
    },
  };
}

function keyOf({ chosen, role }: Choice): string {
  return JSON.stringify([chosen, role]);
}

function nameOf({ chosen, role }: Choice): string {
  return role === undefined ? chosen : `${chosen}/${role}`;
}

function mayUseVault({ secret, template, 'template-from': from }: FileSettings): boolean {
  return secret !== undefined || from !== undefined || hasExpression(template);
}

/** A template without an expression is a fixed text. */
function hasExpression(template: FileSettings['template']): boolean {
  return template?.value.includes('{{') === true;
}

/** The logins with their connections; reports connections that do not exist or that the pod may not use. */
export function neededLogins(
  resolved: ResolvedSettings,
  installation: Installation,
  diagnostics: Diagnostics,
): readonly NeededLogin[] {
  const logins = podLogins(resolved, installation);
  if (logins.length > MAX_LOGINS + 1) {
    const path = `${installation.annotationPrefix}/inject`;
    const message = `the files choose ${logins.length} different logins; the maximum is ${MAX_LOGINS + 1}`;
    diagnostics.invalid({ path, message });
  }
  const connections = new Map<string, VaultConnection | undefined>();
  return logins.flatMap((login): NeededLogin[] => {
    const { chosen } = login;
    if (!connections.has(chosen)) {
      const connection = connectionOf(login, installation, diagnostics);
      connections.set(chosen, connection);
      checkTls({ connection, chosen }, resolved, installation, diagnostics);
    }
    const connection = connections.get(chosen);
    const index = [...connections.keys()].indexOf(chosen);
    return connection === undefined ? [] : [{ ...login, connection, index }];
  });
}

function connectionOf(
  { chosen, settings }: PodLogin,
  installation: Installation,
  diagnostics: Diagnostics,
): VaultConnection | undefined {
  const { connections, allowPodAddress } = installation.vault;
  if (Object.hasOwn(connections, chosen)) return connections[chosen];
  const path = `${installation.annotationPrefix}/${settings.vault}`;
  const names = Object.keys(connections).join(', ');
  if (!/^https?:/.test(chosen)) {
    const message = `the connection "${chosen}" does not exist`;
    diagnostics.invalid({ path, message, help: `set one of ${names}` });
    return undefined;
  }
  const address = grammar.httpOrigin.parse(chosen);
  if ('problem' in address) {
    diagnostics.invalid({ path, message: address.problem });
    return undefined;
  }
  if (!allowPodAddress) {
    const message =
      'the installation does not allow an address (vault.allowPodAddress): set the name of a connection';
    diagnostics.forbid({ path, message, help: `one of ${names}` });
    return undefined;
  }
  return { ...PLAIN_CONNECTION, address: address.value };
}

/** Only TLS has client certificates. */
function checkTls(
  {
    connection,
    chosen,
  }: { readonly connection: VaultConnection | undefined; readonly chosen: string },
  { settings }: ResolvedSettings,
  { annotationPrefix }: Installation,
  diagnostics: Diagnostics,
): void {
  const login = x509Login(settings);
  if (login === undefined || connection?.address.startsWith('http:') !== true) return;
  const [name = '', value = ''] = login.split(' ');
  const path = `${annotationPrefix}/${name}`;
  const message = `${value} requires an https address: the X.509-SVID is the client certificate, and that of "${chosen}" is ${connection.address}`;
  diagnostics.invalid({ path, message });
}

const PLAIN_CONNECTION = {
  namespace: undefined,
  caPem: undefined,
  caConfigMap: undefined,
  clusterTrustBundle: undefined,
  tlsServerName: undefined,
  redirectHosts: [],
  proxy: undefined,
} as const satisfies Omit<VaultConnection, 'address'>;

/** `vault`, `auth` and `logins` of the agent's document; `tokenFile` is the service-account token that logs in. */
export function loginDocuments(
  logins: readonly NeededLogin[],
  settings: Settings,
  tokenFile: string | undefined,
): Pick<RawAgentConfig, 'vault' | 'auth' | 'logins'> {
  const [own, ...others] = logins;
  if (own === undefined) return {};
  const named = others.map((login) => ({
    name: login.name ?? '',
    ...(login.index !== own.index && { vault: vaultOf(login) }),
    auth: authOf(login, settings, tokenFile),
  }));
  return {
    vault: vaultOf(own),
    auth: authOf(own, settings, tokenFile),
    ...(named.length > 0 && { logins: named }),
  };
}

function vaultOf({ connection, index }: NeededLogin): NonNullable<RawAgentConfig['vault']> {
  const { address, namespace, caPem, tlsServerName, redirectHosts, proxy } = connection;
  const caFile = caFileOf(connection, index);
  return {
    address,
    ...(namespace !== undefined && { namespace }),
    ...(caPem !== undefined && { caPem }),
    ...(caFile !== undefined && { caFile }),
    ...(tlsServerName !== undefined && { tlsServerName }),
    ...(redirectHosts.length > 0 && { redirectHosts }),
    ...(proxy !== undefined && { proxy }),
  };
}

/** Where agent and driver see a CA that is mounted. */
function caFileOf(
  { caConfigMap, clusterTrustBundle }: VaultConnection,
  index: number,
): string | undefined {
  const name = caConfigMap?.key ?? clusterTrustBundle?.file;
  return name === undefined ? undefined : `${caDirectory(index)}/${name}`;
}

function authOf(
  { role }: NeededLogin,
  settings: Settings,
  tokenFile: string | undefined,
): NonNullable<RawAgentConfig['auth']> {
  const mount = settings['auth-mount'].value;
  return {
    method: settings['auth-method'].value,
    ...(mount !== undefined && { mount }),
    ...(x509Login(settings) === 'auth-svid x509' && { svid: 'x509' }),
    ...(role !== undefined && { role }),
    audience: settings.audience.value,
    ...(tokenFile !== undefined && { tokenFile }),
  };
}
