/**
 * The servers around one pod: embedded ones, or real ones from the environment.
 */
import type { Clock, Random } from '../../core/index.ts';
import type { Pod } from '../../admission/index.ts';
import type { AgentConfig } from '../../config/agent/index.ts';
import {
  connectIdentities,
  startIdentities,
  type Identities,
  type Workload,
} from './identities.ts';
import { needsOf, type Need } from './needs.ts';
import { connectVault, startShownVault, type RealVault, type ShownVault } from './vaults.ts';
import type { ConfigMap } from './volumes.ts';

export interface OpenOptions {
  readonly namespace: string;
  readonly configMaps: readonly ConfigMap[];
  /** A real Workload API, if there is one. */
  readonly socket: string | undefined;
  /** A real Vault, if there is one. */
  readonly vault: RealVault | undefined;
  /** Port for the keys of the embedded identity provider; 0 lets the system choose. */
  readonly oidcPort: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** The identity provider of a pod. The caller disposes of it. */
export async function openIdentities(
  config: AgentConfig,
  pod: Pod,
  options: OpenOptions,
  signal: AbortSignal,
): Promise<Identities> {
  const { namespace, socket, oidcPort, clock, random } = options;
  const account = pod.spec['serviceAccountName'];
  const workload: Workload = {
    namespace,
    serviceAccount: typeof account === 'string' ? account : 'default',
    spiffeId: config.spiffe?.spiffeId,
    hint: config.spiffe?.hint,
    audience: config.auth?.audience ?? 'vault',
    byTokenFile: config.auth?.tokenFile !== undefined,
  };
  if (socket === undefined) return startIdentities(workload, oidcPort, clock);
  return connectIdentities(workload, { socket, oidcPort, clock, random }, signal);
}

/** The Vault of a pod, and the secrets that the pod needs. The caller disposes of it. */
export async function openVault(
  config: AgentConfig,
  identities: Identities,
  options: OpenOptions,
): Promise<{ readonly shown: ShownVault; readonly needs: readonly Need[] }> {
  const { vault, clock, random } = options;
  const templates = new Map(options.configMaps.flatMap(({ data }) => Object.entries(data)));
  // A mounted template is found by its key in the ConfigMaps of the manifest.
  const needs = await needsOf(config.files, (path) =>
    Promise.resolve(templates.get(path.slice(path.lastIndexOf('/') + 1)) ?? ''),
  );
  if (vault !== undefined) {
    return { shown: await connectVault(vault, needs, { clock, random }), needs };
  }
  const { subject, oidc, bundlePem } = identities;
  const auths = [config, ...config.logins].flatMap(({ auth }) => auth ?? []);
  const login = { auths, subject, jwksUrl: `${oidc.url}/keys`, bundlePem };
  return { shown: await startShownVault(needs, login, clock), needs };
}
