/**
 * The discovery document and the keys of a token issuer, as SPIRE's OIDC discovery provider and the
 * Kubernetes API server publish them.
 *
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html section 4
 */
import { once } from 'node:events';
import { createServer as createHttpServer, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { JWK } from 'jose';

/** How the provider fails. */
type OidcFault =
  | { readonly kind: 'status'; readonly status: number }
  /** Accepts the request and never responds. */
  | { readonly kind: 'hang' };

export interface OidcProviderOptions {
  /** Called for each request, so that rotated keys are served. */
  readonly jwks: () => { readonly keys: readonly JWK[] };
  /** Default: the provider's own address. */
  readonly issuer?: string;
  /** Default: chosen by the system. */
  readonly port?: number;
  /** Default plain HTTP. */
  readonly tls?: { readonly certPem: string; readonly keyPem: string };
}

/** A running provider. */
export interface OidcProvider extends AsyncDisposable {
  readonly issuer: string;
  /** Its address, without a trailing slash. */
  readonly url: string;
  /** Requests by path. */
  readonly requests: ReadonlyMap<string, number>;
  /** Makes it fail until it is set to undefined. */
  fault(fault: OidcFault | undefined): void;
  close(): Promise<void>;
}

/** Starts a provider on 127.0.0.1. The caller closes it. */
export async function startOidcProvider(options: OidcProviderOptions): Promise<OidcProvider> {
  const requests = new Map<string, number>();
  let fault: OidcFault | undefined;
  const server = makeServer(options);
  server.on('request', (request, response: ServerResponse) => {
    const path = request.url ?? '';
    requests.set(path, (requests.get(path) ?? 0) + 1);
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'status') sendJson(response, fault.status, { error: 'fault' });
    else if (path === '/.well-known/openid-configuration') sendJson(response, 200, document());
    else if (path === '/keys') sendJson(response, 200, { keys: publicKeys(options.jwks().keys) });
    else sendJson(response, 404, { error: 'not found' });
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // set for a listening TCP server
  const url = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const issuer = options.issuer ?? url;
  const document = (): object => ({
    issuer,
    jwks_uri: `${url}/keys`,
    authorization_endpoint: '',
    response_types_supported: ['id_token'],
    subject_types_supported: [],
    id_token_signing_alg_values_supported: ['RS256', 'ES256', 'ES384'],
  });
  const close = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    issuer,
    url,
    requests,
    fault: (next) => void (fault = next),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function makeServer({ tls }: OidcProviderOptions): Server {
  if (tls === undefined) return createHttpServer();
  return createHttpsServer({ cert: tls.certPem, key: tls.keyPem });
}

/** Keys as OIDC clients expect them: none for X.509, and `use: sig` in place of SPIFFE's `jwt-svid`. */
function publicKeys(keys: readonly JWK[]): JWK[] {
  return keys.filter(({ use }) => use !== 'x509-svid').map((key) => ({ ...key, use: 'sig' }));
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
