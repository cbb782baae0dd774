/**
 * The source of the pod's identity, by `csi.identity.kind`: the kubelet's token, or SVIDs from one of two APIs of a
 * SPIRE agent.
 */
import type { Clock } from '../../core/index.ts';
import { createTokenIssuer } from '../tokens/index.ts';
import {
  createTrustDomain,
  startBroker,
  startDelegatedIdentity,
  startOidcProvider,
  startWorkloadApi,
} from '../workload-api/index.ts';
import { startLocalCluster, type KnownPod } from './local-cluster.ts';

/** How the driver obtains a pod's identity. */
export const CSI_IDENTITIES = ['service-account', 'broker', 'delegated'] as const;
export type CsiIdentity = (typeof CSI_IDENTITIES)[number];

const TRUST_DOMAIN = 'example.org';
const DRIVER_ID = `spiffe://${TRUST_DOMAIN}/vouchsafe/csi`;
const TOKEN_TTL_MS = 3_600_000;

/** The servers that provide the pod's identity. */
export interface CsiIdentities {
  readonly says: readonly string[];
  /** `sub` of the token that logs in. */
  readonly subject: string;
  /** URL of the keys that verify it. */
  readonly jwksUrl: string;
  /** Values of the installation. */
  readonly values: { readonly spiffe?: object; readonly identity: object };
  /** Flags of the driver. */
  readonly flags: readonly string[];
  /** Attributes of the volume. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Tokens of the pod, as the kubelet writes them. */
  readonly tokens: string;
}

/** Starts the servers; the stack stops them. */
export async function startCsiIdentities(
  kind: CsiIdentity,
  pod: KnownPod,
  { clock, stack }: { readonly clock: Clock; readonly stack: AsyncDisposableStack },
): Promise<CsiIdentities> {
  return kind === 'service-account'
    ? await bySignedToken(pod, clock, stack)
    : await bySvid(kind, pod, clock, stack);
}

async function bySignedToken(
  { namespace, name, uid, serviceAccount }: KnownPod,
  clock: Clock,
  stack: AsyncDisposableStack,
): Promise<CsiIdentities> {
  const issuer = createTokenIssuer(clock);
  const oidc = stack.use(await startOidcProvider({ jwks: () => issuer.jwks() }));
  const subject = `system:serviceaccount:${namespace}:${serviceAccount}`;
  const token = await issuer.mint({
    audience: 'vault',
    ttlMs: TOKEN_TTL_MS,
    subject,
    claims: { 'kubernetes.io': { namespace, pod: { name, uid } } },
  });
  const expirationTimestamp = new Date(clock.now() + TOKEN_TTL_MS).toISOString();
  return {
    says: ['embedded: a cluster that signs service account tokens, and a Vault that trusts it'],
    subject,
    jwksUrl: `${oidc.url}/keys`,
    values: { identity: { kind: 'service-account' } },
    flags: [],
    attributes: {},
    tokens: JSON.stringify({ vault: { token, expirationTimestamp } }),
  };
}

async function bySvid(
  kind: 'broker' | 'delegated',
  pod: KnownPod,
  clock: Clock,
  stack: AsyncDisposableStack,
): Promise<CsiIdentities> {
  const { namespace, name, uid, serviceAccount } = pod;
  const domain = createTrustDomain(TRUST_DOMAIN, clock);
  const oidc = stack.use(await startOidcProvider({ jwks: () => ({ keys: domain.jwks().keys }) }));
  const subject = `${domain.id}/ns/${namespace}/sa/${serviceAccount}`;
  const selectors = [`k8s:ns:${namespace}`, `k8s:sa:${serviceAccount}`];
  const pods = [{ uid, namespace, name, selectors, identities: [{ spiffeId: subject }] }];
  const common = { domain, clock, pods };
  const shared = {
    subject,
    jwksUrl: `${oidc.url}/keys`,
    tokens: '{}',
    attributes: { 'x509-svid': 'true', 'template-id': '{{spiffeId}}' },
  };
  if (kind === 'broker') {
    const identities = [{ spiffeId: DRIVER_ID }];
    const workloadApi = stack.use(await startWorkloadApi({ domain, clock, identities }));
    const { address } = stack.use(await startBroker({ ...common, brokers: [DRIVER_ID] }));
    return {
      ...shared,
      says: [
        'embedded: a Broker API that trusts the driver, and a Vault that trusts its SVIDs',
        `the driver is ${DRIVER_ID}`,
      ],
      values: { spiffe: { socket: workloadApi.address }, identity: { kind, socket: address } },
      flags: [],
    };
  }
  const agent = await startDelegatedIdentity({
    ...common,
    authorizedDelegates: [DRIVER_ID],
    caller: () => DRIVER_ID,
  });
  const { address } = stack.use(agent);
  const cluster = stack.use(await startLocalCluster(pod));
  return {
    ...shared,
    says: [
      'embedded: a Delegated Identity API, an API server that knows the pod, and a Vault that trusts SVIDs',
      `the registration entry of the pod selects ${selectors.join(', ')}`,
    ],
    values: { identity: { kind, socket: address } },
    flags: ['--api-server', cluster.address],
  };
}
