/**
 * Enterprise's login method `spiffe`: by a JWT-SVID as the bearer token, or by an X.509-SVID as the client certificate. The trust bundle
 * is in the configuration (profile `static`), as PEM or as a SPIFFE bundle. The texts of errors are our own.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/auth/spiffe
 */
import { X509Certificate } from 'node:crypto';
import { certificateLife } from '../../../core/index.ts';
import { asObject, Fields } from '../fields.ts';
import { VaultError } from '../messages.ts';
import { keysOf, verify } from './jwt.ts';
import type { Login } from './login.ts';

/** Requires an SVID of the trust domain with an ID that the role has. @throws VaultError 400 */
export async function checkSvid(login: Login): Promise<void> {
  const { config, role } = login;
  const id = await spiffeIdOf(login);
  const prefix = `spiffe://${config.text('trust_domain').replace(/^spiffe:\/\//, '')}/`;
  if (!id.startsWith(prefix)) throw new VaultError(400, 'the SVID is of another trust domain');
  const workload = id.slice(prefix.length);
  if (role.list('workload_id_patterns').some((pattern) => matchesId(pattern, workload))) return;
  throw new VaultError(400, 'no role matches the SPIFFE ID of the workload');
}

/** Type `auto` takes a JWT-SVID if there is one. */
async function spiffeIdOf(login: Login): Promise<string> {
  const { request } = login;
  const type = new Fields(request.body).text('type') || 'auto';
  if (!['auto', 'cert', 'jwt'].includes(type)) throw new VaultError(400, 'invalid type');
  if (type !== 'cert' && request.bearer !== undefined) return idOfJwt(request.bearer, login);
  if (type !== 'jwt' && request.certificate !== undefined)
    return idOfX509(request.certificate, login);
  throw new VaultError(400, 'no SVID found in the request');
}

async function idOfJwt(token: string, login: Login): Promise<string> {
  const audiences = login.config.list('audience');
  if (audiences.length === 0) throw new VaultError(400, 'no audience is configured');
  const keys = keysOf({ keys: bundleKeys(login).filter(({ use }) => use !== 'x509-svid') });
  return (await verify(token, keys, login, audiences)).sub ?? '';
}

function idOfX509(certificate: X509Certificate, login: Login): string {
  const nowMs = login.clock.now();
  const { fromMs, toMs } = certificateLife(certificate);
  const [id = '', ...others] = (certificate.subjectAltName ?? '')
    .split(', ')
    .flatMap((name) => (name.startsWith('URI:') ? name.slice('URI:'.length) : []));
  const isSigned = authoritiesOf(login).some((one) => certificate.verify(one.publicKey));
  if (nowMs >= fromMs && nowMs <= toMs && others.length === 0 && isSigned) return id;
  throw new VaultError(400, 'the certificate is not a valid X.509-SVID of the trust bundle');
}

interface BundleKey {
  readonly use?: string;
  readonly x5c?: readonly string[];
}

/** The keys of a SPIFFE bundle; none if the bundle is PEM. */
function bundleKeys({ config }: Login): readonly BundleKey[] {
  const bundle = config.text('bundle');
  if (bundle.startsWith('-----')) return [];
  const { keys } = asObject(JSON.parse(bundle)) ?? {};
  return Array.isArray(keys) ? (keys as readonly BundleKey[]) : []; // our own server's bundle
}

function authoritiesOf(login: Login): readonly X509Certificate[] {
  const bundle = login.config.text('bundle');
  const end = '-----END CERTIFICATE-----';
  if (bundle.startsWith('-----')) {
    const parts = bundle.split(end).filter((part) => part.trim() !== '');
    return parts.map((part) => new X509Certificate(`${part}${end}`));
  }
  return bundleKeys(login).flatMap(({ use, x5c: [first] = [] }) =>
    use !== 'x509-svid' || first === undefined
      ? []
      : new X509Certificate(Buffer.from(first, 'base64')),
  );
}

/** `*` at the end is any text, and `+` any text of one segment. */
function matchesId(pattern: string, id: string): boolean {
  const isPrefix = pattern.endsWith('*');
  const parts = (isPrefix ? pattern.slice(0, -1) : pattern).split('+').map(RegExp.escape);
  return new RegExp(`^${parts.join('[^/]*')}${isPrefix ? '.*' : ''}$`).test(id);
}
