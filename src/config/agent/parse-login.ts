/**
 * The parts of an AgentConfig document that tell where and how the agent logs in.
 */
import type { Grant } from '../../core/index.ts';
import {
  DEFAULTS as defaults,
  grammar,
  vaultProxyUrl,
  type Grammar,
  type Place,
} from '../schema/index.ts';
import type { AuthConfig, LoginConfig, SpiffeConfig, VaultConfig } from './agent-config.ts';
import type { agentDocument } from './agent-document.ts';
import type { AgentEnvironment } from './agent-environment.ts';

type Document = NonNullable<ReturnType<typeof agentDocument.read>>;
type VaultDocument = NonNullable<Document['vault']>;
type GrantDocument = NonNullable<Document['grants']>[number];

const anyText = grammar.text('a text', 4096);

/** The connection; undefined without an address, which is reported where Vault is needed. */
export function vaultOf(
  document: VaultDocument | undefined,
  environment: AgentEnvironment,
  at: Place,
): VaultConfig | undefined {
  const given: Partial<VaultDocument> = document ?? {};
  const { caPem, tlsServerName, redirectHosts = [], timeout = defaults.VAULT_TIMEOUT_MS } = given;
  const {
    address = fromEnvironment(environment.vaultAddress, grammar.httpOrigin, at.at('address')),
    namespace = fromEnvironment(environment.vaultNamespace, anyText, at.at('namespace')),
    caFile = caPem === undefined
      ? fromEnvironment(environment.vaultCaFile, anyText, at.at('caFile'))
      : undefined,
    proxy = fromEnvironment(environment.vaultProxy, vaultProxyUrl, at.at('proxy')),
  } = given;
  if (address === undefined) return undefined;
  return {
    address,
    namespace,
    caFile,
    caPem,
    tlsServerName,
    redirectHosts,
    proxy,
    timeoutMs: timeout,
  };
}

/** The login at an auth mount. */
export function authOf(document: Document['auth']): AuthConfig {
  const given: Partial<NonNullable<Document['auth']>> = document ?? {};
  const { method = defaults.AUTH_METHOD, audience = defaults.AUDIENCE, mount = method } = given;
  const ofPod = method === 'kubernetes' ? defaults.SERVICE_ACCOUNT_TOKEN_FILE : undefined;
  return {
    method,
    mount,
    role: given.role,
    audience,
    // Absent for the default, so that the state of earlier versions is recognized (`fingerprints.ts`).
    ...(given.svid === 'x509' && { svid: given.svid }),
    tokenFile: given.tokenFile ?? ofPod,
  };
}

/** The further logins; what one does not set is that of the document. */
export function loginsOf(
  { logins }: Document,
  {
    vault,
    auth,
  }: { readonly vault: VaultConfig | undefined; readonly auth: AuthConfig | undefined },
  place: Place,
): readonly LoginConfig[] {
  return logins.flatMap((given, index): LoginConfig[] => {
    const at = place.at('logins').at(index);
    const own = given.vault === undefined ? vault : vaultOf(given.vault, {}, at.at('vault'));
    // Without a connection or a name the document has been reported, and the result is discarded.
    if (own === undefined || given.name === undefined) return [];
    const { name } = given;
    const ownAuth = given.auth === undefined ? (auth ?? authOf(undefined)) : authOf(given.auth);
    return [{ name, vault: own, auth: ownAuth, grants: given.grants?.map(grantOf) }];
  });
}

/** What one policy allows. */
export function grantOf({ policy = '', ...lists }: GrantDocument): Grant {
  return { policy, ...lists }; // a missing name was reported, and the result is discarded
}

/** The Workload API; undefined without an address, which is reported where an SVID is needed. */
export function spiffeOf(
  raw: Document,
  environment: AgentEnvironment,
  place: Place,
): SpiffeConfig | undefined {
  const at = place.at('spiffe').at('socket');
  const given: Partial<NonNullable<Document['spiffe']>> = raw.spiffe ?? {};
  const { spiffeId, hint } = given;
  const { socket = fromEnvironment(environment.spiffeEndpointSocket, anyText, at) } = given;
  return socket === undefined ? undefined : { socket, spiffeId, hint };
}

/** Values from the environment follow the rules of the document; an empty one is treated as unset. */
function fromEnvironment<T>(
  value: string | undefined,
  syntax: Grammar<T>,
  place: Place,
): T | undefined {
  if (value === undefined || value === '') return undefined;
  const result = syntax.parse(value);
  if ('value' in result) return result.value;
  place.problem(`from the environment: ${result.problem}`);
  return undefined;
}
