/** The identity provider of the soak: a Workload API that can go and come back at one address, and its keys. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  startOidcProvider,
  startWorkloadApi,
  type DevWorkloadApi,
  type OidcProvider,
} from '../../src/dev/workload-api/index.ts';
import { SETTINGS } from './settings.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/soak';
const DNS_NAMES = ['soak.example.org'];

/** A Workload API and the OIDC provider in front of its keys. */
export class SoakIdentity implements AsyncDisposable {
  readonly spiffeId = SPIFFE_ID;
  readonly address: string;
  readonly oidc: OidcProvider;
  readonly #directory: string;
  #api: DevWorkloadApi;

  private constructor(directory: string, api: DevWorkloadApi, oidc: OidcProvider) {
    this.#directory = directory;
    this.address = addressIn(directory);
    this.#api = api;
    this.oidc = oidc;
  }

  static async start(): Promise<SoakIdentity> {
    const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-soak-'));
    const api = await startApi(addressIn(directory));
    const keys: { api: DevWorkloadApi } = { api };
    const oidc = await startOidcProvider({ jwks: () => ({ keys: keys.api.jwks().keys }) });
    const identity = new SoakIdentity(directory, api, oidc);
    identity.#onRestart = (next) => (keys.api = next);
    return identity;
  }

  #onRestart: (api: DevWorkloadApi) => void = () => undefined;

  get api(): DevWorkloadApi {
    return this.#api;
  }

  /** Ends the Workload API; it forgets everything. */
  async stop(): Promise<void> {
    await this.#api.close();
  }

  /** Starts another one at the same address, with new keys. */
  async restart(): Promise<void> {
    this.#api = await startApi(this.address);
    this.#onRestart(this.#api);
  }

  /** Withdraws the workload's registration entry. */
  withdraw(): void {
    this.#api.setIdentities([]);
  }

  register(): void {
    this.#api.setIdentities([{ spiffeId: SPIFFE_ID, dnsNames: DNS_NAMES }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.oidc.close();
    await this.#api.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function addressIn(directory: string): string {
  return `unix://${directory}/api.sock`;
}

function startApi(address: string): Promise<DevWorkloadApi> {
  return startWorkloadApi({
    address,
    identities: [{ spiffeId: SPIFFE_ID, dnsNames: DNS_NAMES }],
    jwtTtlMs: SETTINGS.svidTtlMs,
    x509TtlMs: SETTINGS.svidTtlMs,
  });
}
