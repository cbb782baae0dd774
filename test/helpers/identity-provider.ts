/** What SPIRE and the embedded Workload API have in common, so that one list of tests runs against both. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  startOidcProvider,
  startWorkloadApi,
  type DevWorkloadApi,
  type OidcProvider,
} from '../../src/dev/workload-api/index.ts';
import { socketPath } from './temp-directory.ts';

/** A registration entry, by default for the processes of this test run. */
export interface Entry {
  readonly spiffeId: string;
  /** Those of a pod. */
  readonly selectors?: readonly string[];
  readonly hint?: string;
  /** The first one is the common name of its X.509-SVIDs as well. */
  readonly dnsNames?: readonly string[];
  /** Trust domains whose bundles the provider has: see {@link IdentityProvider.federate}. */
  readonly federatesWith?: readonly string[];
}

/** An identity provider of the trust domain `example.org`, with SVIDs that live for seconds. */
export interface IdentityProvider extends AsyncDisposable {
  /** Address of its Workload API. */
  readonly socket: string;
  /** Where Vault finds the keys of JWT-SVIDs. */
  readonly jwksUrl: string;
  /** The X.509 authorities, PEM. */
  authorities(): Promise<string>;
  register(entry: Entry): Promise<void>;
  deregister(spiffeId: string): Promise<void>;
  /** Adds the bundle of a trust domain, and returns its X.509 authorities as PEM. */
  federate(trustDomain: string): Promise<string>;
  /** Takes a bundle away, from all entries as well. */
  endFederation(trustDomain: string): Promise<void>;
  /** Signs JWT-SVIDs with a new key from now on, which is published. */
  rotateJwtKey(): Promise<void>;
  /** Ends what serves the Workload API, and starts it again. */
  restart(): Promise<void>;
}

/** Starts the identity provider that `vouchsafe dev` has. */
export async function startEmbedded(): Promise<IdentityProvider> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-embedded-'));
  const address = `unix://${socketPath(directory, 'api.sock')}`;
  const start = (): Promise<DevWorkloadApi> =>
    startWorkloadApi({ address, jwtTtlMs: 12_000, x509TtlMs: 10_000 });
  let api = await start();
  const oidc: OidcProvider = await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) });
  let entries: readonly Entry[] = [];
  const set = (next: readonly Entry[]): Promise<void> => {
    entries = next;
    api.setIdentities(entries);
    return Promise.resolve();
  };
  return {
    socket: address,
    jwksUrl: `${oidc.url}/keys`,
    authorities: () => Promise.resolve(api.bundlePem()),
    register: (entry) => set([...entries, entry]),
    deregister: (spiffeId) => set(entries.filter((entry) => entry.spiffeId !== spiffeId)),
    federate: (trustDomain) => Promise.resolve(api.federate(trustDomain).bundlePem),
    endFederation(trustDomain) {
      api.endFederation(trustDomain);
      return Promise.resolve();
    },
    rotateJwtKey() {
      api.rotateJwtKey();
      return Promise.resolve();
    },
    async restart() {
      await api.close();
      api = await start(); // with new keys: it keeps nothing
      await set(entries);
    },
    async [Symbol.asyncDispose]() {
      await oidc.close();
      await api.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
