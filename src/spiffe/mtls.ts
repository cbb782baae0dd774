/**
 * Mutual TLS with X.509-SVIDs: the newest one of this process, and one that the server must present.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Broker_Endpoint.md section 5
 */
import { createSecureContext } from 'node:tls';
import { parseSpiffeId, VouchsafeError, type Clock, type SpiffeId } from '../core/index.ts';
import { DEADLINE, withDeadline } from '../async/index.ts';
import { SERVER_REJECTED, type ChannelSecurity, type TlsSettings } from './connections.ts';
import type { Identity, X509Identity } from './identity.ts';
import { toPem, x509Pem } from './pem.ts';
import { peerProblem } from './x509-svid.ts';

/** Longest wait for an own X.509-SVID: short, so that the caller soon gets the reason why there is none. */
const DEFAULT_TIMEOUT_MS = 10_000;

/** Path prefix of the SPIFFE IDs of SPIRE's agents. */
const AGENT_PATH = '/spire/agent/';

export interface MtlsOptions {
  /** The identity of this process. The caller runs it. */
  readonly identity: Identity;
  /** SPIFFE IDs that the server may have, all of one trust domain. Default: any SPIRE agent of the own trust domain. */
  readonly serverIds?: readonly string[];
  readonly clock: Clock;
  /** Longest wait for an own X.509-SVID. Default 10 s. */
  readonly timeoutMs?: number;
}

/**
 * Security for connections to a server with an X.509-SVID. {@link ChannelSecurity.current} rejects with
 * `ERR_SPIFFE_UNAVAILABLE` when there is no own X.509-SVID, or no bundle that verifies the server's.
 *
 * @throws VouchsafeError `ERR_SPIFFE_ID`
 * @throws TypeError for an empty list, or SPIFFE IDs of several trust domains.
 */
export function createMtls(options: MtlsOptions): ChannelSecurity {
  const { serverIds, clock } = options;
  const allowed = serverIds?.map((id) => parseSpiffeId(id));
  const domains = new Set(allowed?.map(({ trustDomain }) => trustDomain));
  if (allowed !== undefined && domains.size !== 1) {
    throw new TypeError('the SPIFFE IDs of servers must belong to one trust domain');
  }
  const [domain] = domains;
  let newest: { readonly own: X509Identity; readonly settings: TlsSettings } | undefined;
  return {
    clock,
    async current(signal) {
      const own = await ownSvid(options, signal);
      if (newest?.own !== own) {
        const server = domain ?? own.svid.spiffeId.trustDomain;
        const isAllowed = (id: SpiffeId): boolean =>
          id.trustDomain === server &&
          (allowed?.some(({ uri }) => uri === id.uri) ?? id.path.startsWith(AGENT_PATH));
        newest = { own, settings: settingsFor(own, server, isAllowed, options) };
      }
      return newest.settings;
    },
  };
}

async function ownSvid(
  { identity, clock, timeoutMs = DEFAULT_TIMEOUT_MS }: MtlsOptions,
  signal: AbortSignal,
): Promise<X509Identity> {
  try {
    return await withDeadline({ clock, ms: timeoutMs, signal }, (inner) =>
      identity.x509Svid(inner),
    );
  } catch (error) {
    if (error !== DEADLINE) throw error;
    throw new VouchsafeError(
      'ERR_SPIFFE_UNAVAILABLE',
      `this process has no X.509-SVID of its own: ${identity.lastError?.message ?? 'the Workload API has not sent one yet'}`,
      { cause: identity.lastError },
    );
  }
}

function settingsFor(
  own: X509Identity,
  serverDomain: string,
  isAllowed: (id: SpiffeId) => boolean,
  { identity, clock }: MtlsOptions,
): TlsSettings {
  const { svid, key } = x509Pem(own);
  let problem: string | undefined;
  return {
    secureContext: contextOf(svid, key.reveal(), bundleOf(own, serverDomain)),
    expiresAtMs: own.svid.expiresAtMs,
    checkServerIdentity(_host, { raw }) {
      problem = peerProblem(raw, isAllowed, clock.now());
      return problem === undefined ? undefined : new Error(SERVER_REJECTED);
    },
    serverProblem: () => problem,
    async replaced(signal) {
      for await (const newer of identity.x509Updates(signal)) if (newer !== own) return;
    },
  };
}

/** Only the authorities of the server's trust domain: those of another one must not vouch for it. */
function bundleOf({ svid, federatedBundles }: X509Identity, trustDomain: string): string {
  const isOwn = trustDomain === svid.spiffeId.trustDomain;
  const bundle = isOwn ? svid.bundle : federatedBundles.get(`spiffe://${trustDomain}`);
  if (bundle === undefined) {
    throw new VouchsafeError(
      'ERR_SPIFFE_UNAVAILABLE',
      `there is no bundle for the trust domain ${trustDomain}; ${svid.spiffeId.trustDomain} may not be federated with it`,
    );
  }
  return bundle.map((der) => toPem('CERTIFICATE', der)).join('');
}

function contextOf(cert: string, key: string, ca: string): TlsSettings['secureContext'] {
  try {
    // A bundle may contain authorities that are not self-signed.
    return createSecureContext({
      cert,
      key,
      ca,
      minVersion: 'TLSv1.2',
      allowPartialTrustChain: true,
    });
  } catch {
    // without the cause, which may quote the key
    throw new VouchsafeError(
      'ERR_SPIFFE_SVID_INVALID',
      'the X.509-SVID of this process cannot be used for TLS',
    );
  }
}
