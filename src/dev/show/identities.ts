/**
 * The source of the pod's identity: the embedded Workload API, a real one, or service account tokens.
 */
import { X509Certificate } from 'node:crypto';
import type { JWK } from 'jose';
import type { Clock, Random } from '../../core/index.ts';
import { createBackoff, Latest, retry, type RetryOptions } from '../../async/index.ts';
import { createIdentity, createWorkloadApi, type WorkloadApi } from '../../spiffe/index.ts';
import { createTokenIssuer } from '../tokens/index.ts';
import { startOidcProvider, startWorkloadApi, type OidcProvider } from '../workload-api/index.ts';

const TRUST_DOMAIN = 'example.org';

/** Short lifetimes, so that the rotation of SVIDs can be watched. */
const JWT_TTL_MS = 60_000;
const X509_TTL_MS = 120_000;

/** Waits before a stream of keys is reopened. */
const RECONNECT = { minMs: 1000, maxMs: 30_000 } as const;

/** The pod that gets an identity. */
export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The SPIFFE ID that the pod requests, if any. */
  readonly spiffeId: string | undefined;
  readonly hint: string | undefined;
  readonly audience: string;
  /** Whether it logs in with a service account token. */
  readonly byTokenFile: boolean;
}

/** A pod's identity and what verifies it. */
export interface Identities extends AsyncDisposable {
  /** Address of the Workload API. */
  readonly socket: string;
  readonly isReal: boolean;
  /** `sub` of the tokens that the pod logs in with. */
  readonly subject: string;
  /** Serves the keys that verify these tokens. */
  readonly oidc: OidcProvider;
  readonly bundlePem: string;
  serviceAccountToken(audience: string): Promise<string>;
}

export interface ConnectOptions {
  readonly socket: string;
  /** Port for the keys; 0 lets the system choose. */
  readonly oidcPort: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** Starts the embedded identity provider for one workload. */
export async function startIdentities(
  workload: Workload,
  oidcPort: number,
  clock: Clock,
): Promise<Identities> {
  const { namespace, serviceAccount, hint } = workload;
  const spiffeId =
    workload.spiffeId ?? `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${serviceAccount}`;
  const trustDomain = spiffeId.split('/')[2] ?? TRUST_DOMAIN;
  // Vault's method `cert` requires a common name, which SPIRE takes from the first DNS name of an entry.
  const dnsNames = [serviceAccount];
  const identity = { spiffeId, dnsNames, ...(hint === undefined ? {} : { hint }) };
  const api = await startWorkloadApi({
    trustDomain,
    identities: [identity],
    jwtTtlMs: JWT_TTL_MS,
    x509TtlMs: X509_TTL_MS,
    clock,
  });
  const accounts = createTokenIssuer(clock);
  const account = `system:serviceaccount:${namespace}:${serviceAccount}`;
  const keys = workload.byTokenFile ? accounts : api;
  const oidc = await startOidcProvider({
    jwks: () => ({ keys: keys.jwks().keys }),
    port: oidcPort,
  });
  return {
    socket: api.address,
    isReal: false,
    subject: workload.byTokenFile ? account : spiffeId,
    oidc,
    bundlePem: api.bundlePem(),
    serviceAccountToken: (audience) =>
      accounts.mint({
        issuer: oidc.issuer,
        subject: account,
        audience,
        ttlMs: 3_600_000,
        claims: { 'kubernetes.io': { namespace, serviceaccount: { name: serviceAccount } } },
      }),
    async [Symbol.asyncDispose]() {
      await oidc.close();
      await api.close();
    },
  };
}

/** Uses a real Workload API: fetches the workload's SPIFFE ID, and watches the keys that verify it. */
export async function connectIdentities(
  workload: Workload,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Identities> {
  const { socket, oidcPort, clock, random } = options;
  const { audience, spiffeId, hint } = workload;
  await using stack = new AsyncDisposableStack();
  const api = stack.adopt(createWorkloadApi({ address: socket, clock }), (one) => one.close());
  const identity = createIdentity({ api, spiffeId, hint, clock, random });
  const subject = (await identity.jwtSvid([audience], signal)).spiffeId;
  const keys = new Latest<readonly JWK[]>();
  const stop = new AbortController();
  const following = followKeys(api, `spiffe://${subject.trustDomain}`, keys, {
    clock,
    signal: stop.signal,
    backoff: createBackoff({ ...RECONNECT, random }),
  });
  stack.defer(async () => {
    stop.abort();
    await following.catch(() => undefined); // nothing is served any more
  });
  await Promise.race([keys.wait(signal), following]);
  const { svids } = await api.fetchX509Context(signal);
  const svid = svids.find((one) => one.spiffeId.trustDomain === subject.trustDomain);
  const jwks = (): { keys: readonly JWK[] } => ({ keys: keys.current ?? [] });
  const oidc = stack.use(await startOidcProvider({ jwks, port: oidcPort }));
  const opened = stack.move();
  return {
    socket,
    isReal: true,
    subject: subject.uri,
    oidc,
    bundlePem: (svid?.bundle ?? []).map((der) => new X509Certificate(der).toString()).join(''),
    serviceAccountToken: () => Promise.resolve(''),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Keeps the JWT keys of a trust domain up to date. Rejects if the Workload API has none, or with the reason of the abort. */
async function followKeys(
  api: WorkloadApi,
  trustDomainId: string,
  keys: Latest<readonly JWK[]>,
  options: RetryOptions,
): Promise<never> {
  return retry(async (signal) => {
    for await (const bundles of api.watchJwtBundles(signal)) {
      options.backoff.reset();
      keys.set(bundles.get(trustDomainId)?.keys ?? []);
    }
    throw new TypeError('a stream ended without an error');
  }, options);
}
