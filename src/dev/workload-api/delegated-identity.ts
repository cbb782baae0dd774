/**
 * A Delegated Identity API like that on the admin socket of SPIRE's agent, with a table of pods and with faults for
 * tests. The caller's identity is configured, because Node cannot determine the peer process of a socket.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/spire_agent.md, Delegated Identity API
 */
import { status } from '@grpc/grpc-js';
import {
  DELEGATED_IDENTITY_API,
  DELEGATED_MESSAGES,
  type DelegatedMethod,
} from '../../spiffe/index.ts';
import type { Answers } from './faulty-service.ts';
import { StatusError } from './grpc-service.ts';
import type { Issuer, MintedSvid } from './issuer.ts';
import { PodApi, type PodApiOptions } from './pod-api.ts';
import type { PodTable } from './pods.ts';

export interface DelegatedIdentityOptions extends PodApiOptions {
  /** `authorized_delegates` in the agent's configuration. */
  readonly authorizedDelegates: readonly string[];
  /** The SPIFFE ID of callers, called for each call; undefined: none. */
  readonly caller: () => string | undefined;
}

/** A running Delegated Identity API. */
export type DevDelegatedIdentity = PodApi<DelegatedMethod>;

/** Starts a Delegated Identity API. The caller closes it. */
export async function startDelegatedIdentity(
  options: DelegatedIdentityOptions,
): Promise<DevDelegatedIdentity> {
  const answers = (issuer: Issuer, pods: PodTable): Answers<DelegatedMethod> =>
    answersFrom(issuer, pods, () => authorize(options));
  const api = new PodApi(DELEGATED_IDENTITY_API, answers, options);
  await api.start(options.address);
  return api;
}

function authorize({ authorizedDelegates, caller }: DelegatedIdentityOptions): void {
  const id = caller();
  if (id === undefined) throw new StatusError(status.PERMISSION_DENIED, 'no identity issued');
  if (!authorizedDelegates.includes(id)) {
    const text = 'caller not configured as an authorized delegate';
    throw new StatusError(status.PERMISSION_DENIED, text);
  }
}

function answersFrom(
  issuer: Issuer,
  pods: PodTable,
  requireDelegate: () => void,
): Answers<DelegatedMethod> {
  return {
    async unary(_method, bytes) {
      const { audience, selectors } = DELEGATED_MESSAGES.FetchJWTSVIDsRequest.decode(bytes);
      if (audience.length === 0) invalid('audience must be specified');
      requireDelegate();
      const matching = match(pods, selectors);
      if (matching.length === 0)
        throw new StatusError(status.PERMISSION_DENIED, 'no identity issued');
      const identities = matching.map(({ identity }) => identity);
      const svids = await issuer.mintJwtSvids(identities, audience);
      return DELEGATED_MESSAGES.FetchJWTSVIDsResponse.encode({
        svids: svids.map(({ spiffeId, svid, hint }) => ({ token: svid, id: idOf(spiffeId), hint })),
      });
    },
    state(method, bytes) {
      requireDelegate();
      switch (method) {
        case 'SubscribeToX509SVIDs': {
          const { selectors } = DELEGATED_MESSAGES.SubscribeToX509SVIDsRequest.decode(bytes);
          return x509Message(match(pods, selectors), issuer);
        }
        case 'SubscribeToX509Bundles':
          return DELEGATED_MESSAGES.SubscribeToX509BundlesResponse.encode({
            caCertificates: issuer.x509Bundles,
          });
        case 'SubscribeToJWTBundles':
          return DELEGATED_MESSAGES.SubscribeToJWTBundlesResponse.encode({
            bundles: issuer.jwtBundles,
          });
        case 'FetchJWTSVIDs':
          throw new StatusError(status.INTERNAL, 'not a stream');
      }
    },
  };
}

/** Empty if nothing matches: SPIRE then denies JWT-SVIDs, but not streams. */
function x509Message(svids: readonly MintedSvid[], issuer: Issuer): Uint8Array {
  return DELEGATED_MESSAGES.SubscribeToX509SVIDsResponse.encode({
    x509Svids: svids.map(({ identity, svid }) => ({
      x509Svid: {
        certChain: [svid.der],
        id: idOf(identity.spiffeId),
        hint: identity.hint ?? '',
      },
      x509SvidKey: svid.keyDer,
    })),
    federatesWith: [...issuer.federatedBundles.keys()],
  });
}

type Selectors = ReturnType<
  typeof DELEGATED_MESSAGES.SubscribeToX509SVIDsRequest.decode
>['selectors'];

function match(pods: PodTable, selectors: Selectors): readonly MintedSvid[] {
  if (selectors.length === 0) {
    invalid('must provide either selectors or non-zero PID, but not both');
  }
  return pods.matching(new Set(selectors.map(({ type, value }) => `${type}:${value}`)));
}

function idOf(spiffeId: string): { trustDomain: string; path: string } {
  const [, trustDomain = '', path = ''] = /^spiffe:\/\/([^/]*)(.*)$/.exec(spiffeId) ?? [];
  return { trustDomain, path };
}

function invalid(message: string): never {
  throw new StatusError(status.INVALID_ARGUMENT, message);
}
