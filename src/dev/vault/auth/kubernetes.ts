/**
 * The Kubernetes login method. Service account tokens are verified with the keys that the API server publishes,
 * where Vault would request a TokenReview; the errors are the same.
 * @see https://developer.hashicorp.com/vault/api-docs/auth/kubernetes
 */
import type { Clock } from '../../../core/index.ts';
import { asObject, Fields } from '../core/fields.ts';
import {
  listedRefusal,
  NOTHING_FOUND,
  Refusal,
  type Answer,
  type Json,
  type VaultRequest,
} from '../core/messages.ts';
import type { Backend, MountSettings } from '../core/mounts.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { matchesGlob, type Claims } from './claims.ts';
import { entityIdOf, mountName } from './entity.ts';
import { checkClaims, verifySignature } from './jwt-validation.ts';
import { fixedKeys, lazyKeys, type KeySource } from './key-source.ts';
import { RoleStore } from '../core/roles.ts';
import {
  checkAddress,
  loginGrant,
  readTokenParameters,
  type TokenParameters,
} from './token-parameters.ts';

interface KubernetesRole {
  readonly names: readonly string[];
  readonly namespaces: readonly string[];
  readonly audience: string;
  readonly token: TokenParameters;
}

interface Config {
  readonly shown: Json;
  readonly keys: KeySource;
}

interface ServiceAccount {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

const NO_LEEWAYS = { expirationMs: 0, notBeforeMs: 0, clockSkewMs: 0 };

/** Makes a Kubernetes login method. */
export function createKubernetesBackend(clock: Clock, mount: MountSettings): Backend {
  const roles = new RoleStore<KubernetesRole>({
    base: 'role',
    parse: parseRole,
    show: showRole,
    warnings: (role, name) => (role.audience === '' ? [missingAudience(name)] : []),
  });
  let config: Config | undefined;
  const routes = new Routes()
    .on('read', 'config', () => (config === undefined ? NOTHING_FOUND : { data: config.shown }))
    .on(WRITE, 'config', (request) => {
      config = readConfig(request.body);
      return {};
    })
    .on(WRITE, 'login', async (request) => await login(request));
  roles.addRoutes(routes);

  async function login(request: VaultRequest): Promise<Answer> {
    const fields = new Fields(request.body);
    const name = fields.text('role').toLowerCase();
    if (name === '') throw new Refusal(400, 'missing role');
    const role = roles.get(name);
    if (role === undefined) throw new Refusal(400, `invalid role name "${name}"`);
    const jwt = fields.text('jwt');
    if (jwt === '') throw new Refusal(400, 'missing jwt');
    if (config === undefined) throw new Refusal(500, 'could not load backend configuration');
    checkAddress(role.token, request.peer.address);
    const account = authorize(await verify(config.keys, jwt), role, clock.now());
    return {
      token: loginGrant(role.token, {
        displayName: `${mountName(mount.path)}-${account.namespace}-${account.name}`,
        metadata: {
          role: name,
          service_account_name: account.name,
          service_account_namespace: account.namespace,
          service_account_secret_name: '',
          service_account_uid: account.uid,
        },
        entityId: entityIdOf(mount.path, account.uid),
        current: () => {
          const current = roles.get(name);
          if (current !== undefined) return current.token;
          throw listedRefusal(
            500,
            `failed to renew entry: role ${name} does not exist during renewal`,
          );
        },
      }),
    };
  }

  return {
    open: ['login'],
    exists: (path) => !path.startsWith('role/') || roles.has(path.slice('role/'.length)),
    handle: (request) => routes.handle(request),
  };
}

async function verify(keys: KeySource, jwt: string): Promise<Claims> {
  try {
    return await verifySignature(jwt, keys, []);
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(403, 'permission denied') : error;
  }
}

/** The account of a verified token, if the role allows it. @throws Refusal 403 */
function authorize(claims: Claims, role: KubernetesRole, nowMs: number): ServiceAccount {
  try {
    const audiences = role.audience === '' ? [] : [role.audience];
    checkClaims(claims, { issuer: '', subject: '', audiences, leeways: NO_LEEWAYS, nowMs });
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(403, error.message) : error;
  }
  const bound = new Fields(asObject(claims['kubernetes.io']) ?? {});
  const owner = new Fields(bound.object('serviceaccount'));
  const account = {
    name: owner.text('name'),
    namespace: bound.text('namespace'),
    uid: owner.text('uid'),
  };
  if (!role.names.some((pattern) => matchesGlob(pattern, account.name))) {
    throw new Refusal(403, 'service account name not authorized');
  }
  if (!role.namespaces.some((pattern) => matchesGlob(pattern, account.namespace))) {
    throw new Refusal(403, 'namespace not authorized');
  }
  return account;
}

function readConfig(body: Json): Config {
  const fields = new Fields(body);
  const host = fields.text('kubernetes_host').replace(/\/$/, '');
  if (host === '') throw new Refusal(400, 'no host provided');
  const caPem = fields.text('kubernetes_ca_cert');
  const pems = fields.list('pem_keys');
  return {
    keys: pems.length > 0 ? fixedKeys(pems) : lazyKeys(() => `${host}/openid/v1/jwks`, caPem),
    shown: {
      disable_iss_validation: true,
      disable_local_ca_jwt: fields.flag('disable_local_ca_jwt'),
      issuer: fields.text('issuer'),
      kubernetes_ca_cert: caPem,
      kubernetes_host: host,
      pem_keys: pems,
      token_reviewer_jwt_set: fields.has('token_reviewer_jwt'),
      use_annotations_as_alias_metadata: false,
    },
  };
}

function parseRole(body: Json): KubernetesRole {
  const fields = new Fields(body);
  const names = fields.list('bound_service_account_names');
  const namespaces = fields.list('bound_service_account_namespaces');
  if (names.length === 0) throw new Refusal(400, '"bound_service_account_names" can not be empty');
  if (namespaces.length === 0) {
    throw new Refusal(
      400,
      '"bound_service_account_namespaces" can not be empty if "bound_service_account_namespace_selector" is not set',
    );
  }
  return { names, namespaces, audience: fields.text('audience'), token: readTokenParameters(body) };
}

function showRole(role: KubernetesRole): Json {
  return {
    alias_name_source: 'serviceaccount_uid',
    audience: role.audience,
    bound_service_account_names: role.names,
    bound_service_account_namespace_selector: '',
    bound_service_account_namespaces: role.namespaces,
    ...role.token.shown,
  };
}

function missingAudience(name: string): string {
  return (
    `Role ${name} does not have an audience configured. While audiences are not required, ` +
    'consider specifying one if your use case would benefit from additional JWT claim verification.'
  );
}
