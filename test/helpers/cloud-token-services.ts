/**
 * The token services of AWS, Entra ID and Google Cloud on loopback: they verify a JWT as the real ones do (signature, issuer,
 * audience, expiry) and answer in their formats. SDKs reach them under the real names through a proxy, or by an address.
 *
 * @see https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
 * @see https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 * @see https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import type { TestCa } from '../../src/dev/ca/index.ts';

/** What a cloud trusts: an issuer with its keys, and which tokens are for whom. */
export interface Federation {
  readonly jwks: () => JSONWebKeySet;
  readonly issuer: string;
  /** Subject of the trust policies. */
  readonly subject: string;
  readonly aws: { readonly audience: string; readonly roleArn: string };
  readonly azure: { readonly clientId: string; readonly tenantId: string };
  readonly gcp: { readonly provider: string; readonly serviceAccount: string };
}

/** An exchange that was granted. */
export interface Exchange {
  readonly service: 'aws' | 'azure' | 'gcp' | 'gcp impersonation';
  /** Of the JWT; empty for an impersonation. */
  readonly claims: JWTPayload;
  /** As it was asked for. */
  readonly request: Readonly<Record<string, string>>;
  /** The token of the temporary credentials. */
  readonly issued: string;
}

/** The running services. */
export interface CloudTokenServices extends AsyncDisposable {
  /** An HTTP proxy under which the names of the clouds are these services. */
  readonly proxy: string;
  /** Their own address. */
  readonly url: string;
  readonly exchanges: readonly Exchange[];
  /** Reasons of refusals. */
  readonly refusals: readonly string[];
  /** Moves the clock of the services. */
  aheadMs: number;
}

/** The names under which SDKs call the services. */
const NAMES = [
  'localhost',
  'login.microsoftonline.com',
  'sts.googleapis.com',
  'iamcredentials.googleapis.com',
];

/** A refusal: the code of the service, for its own format. */
class Refusal extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Starts the services with a certificate of `ca`. The caller closes them. */
export async function startCloudTokenServices(
  ca: TestCa,
  federation: Federation,
): Promise<CloudTokenServices> {
  const { certPem, keyPem } = ca.issue({ dnsNames: NAMES });
  const state = { exchanges: [] as Exchange[], refusals: [] as string[], aheadMs: 0 };
  const server = createTlsServer({ cert: certPem, key: keyPem }, (request, response) => {
    void answer(request, response, federation, state);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind of address
  const proxy = createServer((_, response) => response.writeHead(405).end());
  const sockets = new Set<Socket>();
  proxy.on('connect', (_, client: Socket) => {
    const upstream = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return Object.assign(state, {
    url: `https://localhost:${port}`,
    proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = [once(server, 'close'), once(proxy, 'close')];
      for (const one of [server, proxy]) one.close();
      for (const socket of sockets) socket.destroy();
      for (const one of [server, proxy]) one.closeAllConnections();
      await Promise.all(closed);
    },
  });
}

interface State {
  readonly exchanges: Exchange[];
  readonly refusals: string[];
  readonly aheadMs: number;
}

interface Call {
  readonly path: string;
  readonly form: Readonly<Record<string, string>>;
  readonly body: string;
  readonly bearer: string;
  readonly federation: Federation;
  readonly state: State;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  federation: Federation,
  state: State,
): Promise<void> {
  const body = await text(request);
  const path = new URL(request.url ?? '', 'https://localhost').pathname;
  const form = Object.fromEntries(new URLSearchParams(body));
  const bearer = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  const call = { path, form, body, bearer, federation, state };
  const service = serviceOf(request.method ?? '', path, form);
  try {
    if (service === undefined) throw new Refusal('unknown', `${request.method} ${path}`);
    const { type, content } = await service(call);
    response.writeHead(200, { 'Content-Type': type }).end(content);
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal('server_error', String(error));
    state.refusals.push(refusal.message);
    const { type, content } = refused(refusal, form);
    response.writeHead(400, { 'Content-Type': type }).end(content);
  }
}

interface Content {
  readonly type: string;
  readonly content: string;
}

function serviceOf(
  method: string,
  path: string,
  form: Readonly<Record<string, string>>,
): ((call: Call) => Promise<Content> | Content) | undefined {
  if (method === 'GET' && path.endsWith('/.well-known/openid-configuration')) return discovery;
  if (method === 'GET' && path === '/common/discovery/instance') return instanceDiscovery;
  if (method !== 'POST') return undefined;
  if (form['Action'] === 'AssumeRoleWithWebIdentity') return assumeRole;
  if (path.endsWith('/oauth2/v2.0/token')) return entraToken;
  if (path === '/v1/token') return googleToken;
  return path.endsWith(':generateAccessToken') ? impersonate : undefined;
}

/** Verifies a JWT; the code is that of the service for one that is not accepted. */
async function verified(
  token: string | undefined,
  audience: string | string[],
  { federation, state }: Call,
  code: string,
): Promise<JWTPayload> {
  const { jwks, issuer, subject } = federation;
  const currentDate = new Date(Date.now() + state.aheadMs);
  try {
    const keys = createLocalJWKSet(jwks());
    const expected = { audience, issuer, subject, currentDate, requiredClaims: ['exp'] };
    return (await jwtVerify(token ?? '', keys, expected)).payload;
  } catch (error) {
    throw new Refusal(code, error instanceof Error ? error.message : String(error));
  }
}

function expect(actual: string | undefined, expected: string, code: string): void {
  if (actual !== expected) throw new Refusal(code, `"${actual}" is not "${expected}"`);
}

async function assumeRole(call: Call): Promise<Content> {
  const { form, federation, state } = call;
  const { audience, roleArn } = federation.aws;
  const claims = await verified(form['WebIdentityToken'], audience, call, 'InvalidIdentityToken');
  expect(form['RoleArn'], roleArn, 'AccessDenied');
  const issued = randomUUID();
  state.exchanges.push({ service: 'aws', claims, request: form, issued });
  const expiration = new Date(Date.now() + 3_600_000).toISOString();
  const session = `${roleArn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/${form['RoleSessionName'] ?? ''}`;
  const content = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult>
<SubjectFromWebIdentityToken>${claims.sub ?? ''}</SubjectFromWebIdentityToken>
<Audience>${audience}</Audience>
<AssumedRoleUser><Arn>${session}</Arn><AssumedRoleId>AROAEXAMPLE:web</AssumedRoleId></AssumedRoleUser>
<Credentials><SessionToken>${issued}</SessionToken><SecretAccessKey>${randomUUID()}</SecretAccessKey>
<Expiration>${expiration}</Expiration><AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials>
</AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>`;
  return { type: 'text/xml', content };
}

function discovery({ path }: Call): Content {
  const [, tenant = ''] = path.split('/');
  const authority = `https://login.microsoftonline.com/${tenant}`;
  return json({
    issuer: `${authority}/v2.0`,
    token_endpoint: `${authority}/oauth2/v2.0/token`,
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
  });
}

function instanceDiscovery({ federation }: Call): Content {
  const host = 'login.microsoftonline.com';
  return json({
    tenant_discovery_endpoint: `https://${host}/${federation.azure.tenantId}/v2.0/.well-known/openid-configuration`,
    'api-version': '1.1',
    metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
  });
}

async function entraToken(call: Call): Promise<Content> {
  const { path, form, federation, state } = call;
  const { clientId, tenantId } = federation.azure;
  expect(path, `/${tenantId}/oauth2/v2.0/token`, 'invalid_request');
  expect(form['client_id'], clientId, 'unauthorized_client');
  const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  expect(form['client_assertion_type'], type, 'invalid_request');
  const audience = 'api://AzureADTokenExchange';
  const claims = await verified(form['client_assertion'], audience, call, 'invalid_client');
  const issued = randomUUID();
  state.exchanges.push({ service: 'azure', claims, request: form, issued });
  return json({ token_type: 'Bearer', expires_in: 3599, access_token: issued });
}

async function googleToken(call: Call): Promise<Content> {
  const { form, federation, state } = call;
  const audience = `//iam.googleapis.com/${federation.gcp.provider}`;
  expect(form['grant_type'], 'urn:ietf:params:oauth:grant-type:token-exchange', 'invalid_request');
  expect(form['subject_token_type'], 'urn:ietf:params:oauth:token-type:jwt', 'invalid_request');
  expect(form['audience'], audience, 'invalid_target');
  const accepted = [audience, `https:${audience}`];
  const claims = await verified(form['subject_token'], accepted, call, 'invalid_grant');
  const issued = randomUUID();
  state.exchanges.push({ service: 'gcp', claims, request: form, issued });
  const issuedType = 'urn:ietf:params:oauth:token-type:access_token';
  return json({
    access_token: issued,
    issued_token_type: issuedType,
    token_type: 'Bearer',
    expires_in: 3600,
  });
}

function impersonate({ path, bearer, body, federation, state }: Call): Content {
  const { serviceAccount } = federation.gcp;
  const expected = `/v1/projects/-/serviceAccounts/${serviceAccount}:generateAccessToken`;
  expect(decodeURIComponent(path), expected, 'PERMISSION_DENIED');
  const federated = state.exchanges.findLast(({ service }) => service === 'gcp');
  expect(bearer, federated?.issued ?? 'a federated token', 'UNAUTHENTICATED');
  const issued = randomUUID();
  state.exchanges.push({ service: 'gcp impersonation', claims: {}, request: { body }, issued });
  return json({
    accessToken: issued,
    expireTime: new Date(Date.now() + 3_600_000).toISOString(),
  });
}

function json(value: unknown): Content {
  return { type: 'application/json', content: JSON.stringify(value) };
}

function refused({ code, message }: Refusal, form: Readonly<Record<string, string>>): Content {
  if (form['Action'] === undefined) return json({ error: code, error_description: message });
  const content = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<Error><Type>Sender</Type><Code>${code}</Code><Message>${message.replace(/[<&]/g, '_')}</Message></Error>
<RequestId>${randomUUID()}</RequestId></ErrorResponse>`;
  return { type: 'text/xml', content };
}
