/**
 * The SPIFFE login method of Vault Enterprise, for JWT-SVIDs and a bundle given in the configuration.
 * Based on its documentation: the texts of errors are our own.
 * @see https://developer.hashicorp.com/vault/api-docs/auth/spiffe
 */
import type { Clock } from '../../../core/index.ts';
import { asList, asObject, Fields } from '../core/fields.ts';
import {
  listedRefusal,
  NOTHING_FOUND,
  Refusal,
  type Answer,
  type Json,
  type VaultRequest,
} from '../core/messages.ts';
import type { Backend, MountSettings } from '../core/mounts.ts';
import { fitsPattern } from '../core/patterns.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { claimText } from './claims.ts';
import { entityIdOf, mountName } from './entity.ts';
import { checkClaims, verifySignature } from './jwt-validation.ts';
import { fixedKeys, givenKeys, type KeySource } from './key-source.ts';
import { RoleStore } from '../core/roles.ts';
import {
  checkAddress,
  loginGrant,
  readTokenParameters,
  type TokenParameters,
} from './token-parameters.ts';

interface SpiffeRole {
  readonly patterns: readonly string[];
  readonly displayName: string;
  readonly token: TokenParameters;
}

interface Config {
  readonly trustDomain: string;
  readonly audiences: readonly string[];
  readonly keys: KeySource;
  readonly body: Json;
}

const LEEWAYS = { expirationMs: 0, notBeforeMs: 0, clockSkewMs: 0 };

/** Makes a SPIFFE login method. */
export function createSpiffeBackend(clock: Clock, mount: MountSettings): Backend {
  const roles = new RoleStore<SpiffeRole>({ base: 'role', parse: parseRole, show: showRole });
  let config: Config | undefined;
  const routes = new Routes()
    .on('read', 'config', () => (config === undefined ? NOTHING_FOUND : { data: config.body }))
    .on(WRITE, 'config', (request) => {
      config = readConfig({ ...config?.body, ...request.body });
      return {};
    })
    .on(WRITE, 'login', async (request) => await login(request));
  roles.addRoutes(routes);

  async function login(request: VaultRequest): Promise<Answer> {
    if (config === undefined) throw new Refusal(400, 'could not load configuration');
    const id = await verify(config, request, clock.now());
    const workload = id.slice(`spiffe://${config.trustDomain}/`.length);
    const asked = new Fields(request.body).text('role').toLowerCase();
    const name = (asked === '' ? roles.names() : [asked]).find((candidate) =>
      roles.get(candidate)?.patterns.some((pattern) => fitsPattern(pattern, workload)),
    );
    const role = name === undefined ? undefined : roles.get(name);
    if (name === undefined || role === undefined) {
      throw new Refusal(400, 'no role matches the SPIFFE ID of the workload');
    }
    checkAddress(role.token, request.peer.address);
    return {
      token: loginGrant(role.token, {
        displayName: `${mountName(mount.path)}-${role.displayName || id}`,
        metadata: { role: name, spiffe_id: id },
        entityId: entityIdOf(mount.path, id),
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

/** The SPIFFE ID of the JWT-SVID in the header `Authorization`. @throws Refusal 400 */
async function verify(config: Config, request: VaultRequest, nowMs: number): Promise<string> {
  const jwt = /^Bearer (.+)$/i.exec(request.headers['authorization'] ?? '')?.[1];
  if (jwt === undefined) throw new Refusal(400, 'no SVID found in the request');
  if (config.audiences.length === 0) throw new Refusal(400, 'no audience is configured');
  try {
    const claims = await verifySignature(jwt, config.keys, []);
    const { audiences } = config;
    checkClaims(claims, { issuer: '', subject: '', audiences, leeways: LEEWAYS, nowMs });
    const id = claimText(claims, 'sub', false);
    if (id.startsWith(`spiffe://${config.trustDomain}/`)) return id;
    throw new Refusal(400, 'the SPIFFE ID is not of the trust domain of the mount');
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(400, `error validating JWT-SVID: ${error.message}`);
  }
}

function readConfig(body: Json): Config {
  const fields = new Fields(body);
  const trustDomain = fields.text('trust_domain').replace(/^spiffe:\/\//, '');
  if (trustDomain === '') throw new Refusal(400, 'trust_domain is required');
  if (fields.text('profile') !== 'static') {
    throw new Refusal(400, 'the embedded Vault knows no profile but "static"');
  }
  return {
    trustDomain,
    audiences: fields.list('audience'),
    keys: readBundle(fields.text('bundle')),
    body,
  };
}

/** A JWKS, or public keys in PEM. */
function readBundle(bundle: string): KeySource {
  if (!bundle.trimStart().startsWith('{')) return fixedKeys([bundle]);
  try {
    return givenKeys(asList(asObject(JSON.parse(bundle))?.['keys']));
  } catch {
    throw new Refusal(400, 'the bundle is not a JWKS');
  }
}

function parseRole(body: Json): SpiffeRole {
  const fields = new Fields(body);
  const patterns = fields.list('workload_id_patterns');
  if (patterns.length === 0) throw new Refusal(400, 'workload_id_patterns is required');
  const wrong = patterns.find((pattern) => /\*./.test(pattern));
  if (wrong !== undefined) throw new Refusal(400, `"*" must be at the end of "${wrong}"`);
  return { patterns, displayName: fields.text('display_name'), token: readTokenParameters(body) };
}

function showRole(role: SpiffeRole): Json {
  return {
    workload_id_patterns: role.patterns,
    display_name: role.displayName,
    ...role.token.shown,
  };
}
