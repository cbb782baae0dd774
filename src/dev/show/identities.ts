/**
 * Where the shown pod's identity comes from: the embedded Workload API, a real one, or service-account tokens.
 * Ring: dev.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../core/index.ts';
import { createWorkloadApi } from '../../spiffe/index.ts';
import { createTokenIssuer } from '../tokens/index.ts';
import { startOidcProvider, startWorkloadApi, type OidcProvider } from '../workload-api/index.ts';

const TRUST_DOMAIN = 'example.org';

/** Short lives, so that a person sees SVIDs rotate. */
const JWT_TTL_MS = 60_000;
const X509_TTL_MS = 120_000;

/** The pod that is to have an identity. */
export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The SPIFFE ID that the pod asks for, if it does. */
  readonly spiffeId: string | undefined;
  readonly hint: string | undefined;
  readonly audience: string;
  /** True where it logs in with a service-account token. */
  readonly byTokenFile: boolean;
}

/** A pod's identity and what verifies it. */
export interface Identities extends AsyncDisposable {
  /** Address of the Workload API. */
  readonly socket: string;
  readonly isReal: boolean;
  /** `sub` of the tokens that the pod logs in with. */
  readonly subject: string;
  /** Where the keys for these tokens are served. */
  readonly oidc: OidcProvider;
  readonly bundlePem: string;
  serviceAccountToken(audience: string): Promise<string>;
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
  const identity = hint === undefined ? { spiffeId } : { spiffeId, hint };
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

/** Uses a real Workload API: learns the workload's SPIFFE ID and the keys that verify it. */
export async function connectIdentities(
  workload: Workload,
  options: { socket: string; oidcPort: number; clock: Clock },
  signal: AbortSignal,
): Promise<Identities> {
  const { socket, oidcPort, clock } = options;
  const api = createWorkloadApi({ address: socket, clock });
  try {
    const { audience, spiffeId } = workload;
    const request = { audiences: [audience], ...(spiffeId === undefined ? {} : { spiffeId }) };
    const [svid] = await api.fetchJwtSvids(request, signal);
    const subject = svid?.spiffeId.uri ?? '';
    const jwtKeys = await firstKeys(api.watchJwtBundles(signal));
    const { svids } = await api.fetchX509Context(signal);
    const certificates = svids[0]?.bundle ?? [];
    const oidc = await startOidcProvider({ jwks: () => ({ keys: jwtKeys }), port: oidcPort });
    return {
      socket,
      isReal: true,
      subject,
      oidc,
      bundlePem: certificates.map((der) => new X509Certificate(der).toString()).join(''),
      serviceAccountToken: () => Promise.resolve(''),
      [Symbol.asyncDispose]: () => oidc.close(),
    };
  } finally {
    api.close();
  }
}

async function firstKeys(
  bundles: AsyncIterable<ReadonlyMap<string, { readonly keys: readonly object[] }>>,
): Promise<readonly object[]> {
  for await (const bundle of bundles) return [...bundle.values()].flatMap(({ keys }) => keys);
  return [];
}
