/**
 * The JWT login method: mount configuration and logins.
 * @see https://developer.hashicorp.com/vault/api-docs/auth/jwt
 */
import type { Clock } from '../../../core/index.ts';
import { Fields } from '../core/fields.ts';
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
import { checkBoundClaims, claimText, findClaim, type Claims } from './claims.ts';
import { entityIdOf, mountName } from './entity.ts';
import { checkClaims, SUPPORTED_ALGORITHMS, verifySignature } from './jwt-validation.ts';
import { JWT_ROLE, type JwtRole } from './jwt-role.ts';
import { discoveredKeys, fixedKeys, remoteKeys, type KeySource } from './key-source.ts';
import { RoleStore } from '../core/roles.ts';
import { checkAddress, loginGrant } from './token-parameters.ts';

interface JwtConfig {
  readonly body: Json;
  readonly defaultRole: string;
  readonly boundIssuer: string;
  readonly algorithms: readonly string[];
  readonly keys: KeySource;
}

const KEY_SETTINGS = ['jwt_validation_pubkeys', 'jwks_url', 'oidc_discovery_url'] as const;

/** Makes a JWT login method. */
export function createJwtBackend(clock: Clock, mount: MountSettings): Backend {
  const roles = new RoleStore<JwtRole>(JWT_ROLE);
  let config: JwtConfig | undefined;
  const routes = new Routes()
    .on('read', 'config', () => (config === undefined ? NOTHING_FOUND : { data: show(config) }))
    .on(WRITE, 'config', async (request) => {
      config = await readConfig(request.body);
      return {};
    })
    .on(WRITE, 'login', async (request) => await login(request));
  roles.addRoutes(routes);

  async function login(request: VaultRequest): Promise<Answer> {
    if (config === undefined) throw new Refusal(400, 'could not load configuration');
    const fields = new Fields(request.body);
    const name = (fields.text('role') || config.defaultRole).toLowerCase();
    if (name === '') throw new Refusal(400, 'missing role');
    const role = roles.get(name);
    if (role === undefined) throw new Refusal(400, `role "${name}" could not be found`);
    if (role.type === 'oidc') throw new Refusal(400, 'role with oidc role_type is not allowed');
    if (fields.text('jwt') === '') throw new Refusal(400, 'missing token');
    checkAddress(role.token, request.peer.address);
    const claims = await validate(config, role, fields.text('jwt'), clock);
    const user = claimText(claims, role.userClaim, role.userClaimIsPointer);
    if (role.groupsClaim !== '' && findClaim(claims, role.groupsClaim) === undefined) {
      throw new Refusal(
        400,
        `failed to fetch groups: "${role.groupsClaim}" claim not found in token`,
      );
    }
    checkBoundClaims(claims, role.boundClaims, role.boundClaimsType);
    return {
      token: loginGrant(role.token, {
        displayName: `${mountName(mount.path)}-${user}`,
        metadata: { ...mapClaims(claims, role), role: name },
        entityId: entityIdOf(mount.path, user),
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

async function validate(
  config: JwtConfig,
  role: JwtRole,
  jwt: string,
  clock: Clock,
): Promise<Claims> {
  let claims: Claims;
  try {
    claims = await verifySignature(jwt, config.keys, config.algorithms);
    checkClaims(claims, {
      issuer: config.boundIssuer,
      subject: role.boundSubject,
      audiences: role.boundAudiences,
      leeways: role.leeways,
      nowMs: clock.now(),
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(error.status, `error validating token: ${error.message}`);
  }
  if (claims['aud'] !== undefined && role.boundAudiences.length === 0) {
    throw new Refusal(400, 'audience claim found in JWT but no audiences bound to the role');
  }
  return claims;
}

async function readConfig(body: Json): Promise<JwtConfig> {
  const fields = new Fields(body);
  if (KEY_SETTINGS.filter((name) => fields.has(name)).length !== 1) {
    throw new Refusal(
      400,
      "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs' or 'oidc_discovery_url' must be set",
    );
  }
  return {
    body,
    keys: await readKeys(fields),
    defaultRole: fields.text('default_role'),
    boundIssuer: fields.text('bound_issuer'),
    algorithms: readAlgorithms(fields),
  };
}

function readAlgorithms(fields: Fields): string[] {
  const names = fields.list('jwt_supported_algs');
  const unknown = names.find((name) => !SUPPORTED_ALGORITHMS.includes(name));
  if (unknown === undefined) return names;
  throw new Refusal(400, `invalid jwt_supported_algs: unsupported signing algorithm "${unknown}"`);
}

async function readKeys(fields: Fields): Promise<KeySource> {
  if (fields.has('jwt_validation_pubkeys')) return fixedKeys(fields.list('jwt_validation_pubkeys'));
  if (fields.has('jwks_url')) {
    return remoteKeys(fields.text('jwks_url'), fields.text('jwks_ca_pem'));
  }
  const issuer = fields.text('oidc_discovery_url');
  return discoveredKeys(issuer, fields.text('oidc_discovery_ca_pem'));
}

function show(config: JwtConfig): Json {
  const fields = new Fields(config.body);
  return {
    bound_issuer: config.boundIssuer,
    default_role: config.defaultRole,
    jwks_ca_pem: fields.text('jwks_ca_pem'),
    jwks_pairs: [],
    jwks_url: fields.text('jwks_url'),
    jwt_supported_algs: config.algorithms,
    jwt_validation_pubkeys: fields.list('jwt_validation_pubkeys'),
    namespace_in_state: true,
    oidc_client_id: '',
    oidc_discovery_ca_pem: fields.text('oidc_discovery_ca_pem'),
    oidc_discovery_url: fields.text('oidc_discovery_url'),
    oidc_response_mode: '',
    oidc_response_types: [],
    provider_config: {},
    unsupported_critical_cert_extensions: [],
  };
}

function mapClaims(claims: Claims, role: JwtRole): Record<string, string> {
  const mapped = Object.entries(role.claimMappings).flatMap(([claim, name]) => {
    const value = claims[claim];
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  return Object.fromEntries(mapped);
}
