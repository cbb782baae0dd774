/**
 * The common part of the development servers that issue SVIDs on behalf of pods.
 */
import { NO_LOGGER, type Logger } from '../../core/index.ts';
import type { Protocol } from '../../spiffe/index.ts';
import { FaultyService, type Answers, type ServiceFault } from './faulty-service.ts';
import { Issuer, type IssuerOptions } from './issuer.ts';
import { PodTable, type DevPod } from './pods.ts';
import type { TlsOptions } from './tls-listener.ts';
import type { TrustDomain } from './trust-domain.ts';

export interface PodApiOptions extends IssuerOptions {
  /** `unix:///path/to.sock` or `tcp://127.0.0.1:0`; default: a socket in a temporary directory. */
  readonly address?: string;
  /** Default none. */
  readonly pods?: readonly DevPod[];
  readonly logger?: Logger;
}

/** How a server responds from the table of pods. */
export type AnswersFrom<M extends string> = (issuer: Issuer, pods: PodTable) => Answers<M>;

/** A running server. */
export class PodApi<M extends string> implements AsyncDisposable {
  readonly issuer: Issuer;
  readonly #pods: PodTable;
  readonly #service: FaultyService<M>;
  readonly #stop = new AbortController();
  #rotation: Promise<void> = Promise.resolve();

  constructor(protocol: Protocol<M>, answers: AnswersFrom<M>, options: PodApiOptions) {
    this.issuer = new Issuer(options);
    this.#pods = new PodTable(this.issuer, options.pods ?? []);
    this.#service = new FaultyService({
      protocol,
      answers: answers(this.issuer, this.#pods),
      clock: this.issuer.clock,
      logger: options.logger ?? NO_LOGGER,
    });
  }

  /** Address for clients. */
  get address(): string {
    return this.#service.address;
  }

  /** Calls by method, including rejected ones. */
  get calls(): Readonly<Record<M, number>> {
    return this.#service.calls;
  }

  /** How many streams are open. */
  get openStreams(): number {
    return this.#service.openStreams;
  }

  /** Replaces the table, and updates open streams. Unchanged pods keep their X.509-SVIDs. */
  setPods(pods: readonly DevPod[]): void {
    this.#pods.set(pods);
    this.#service.push();
  }

  /** Mints new X.509-SVIDs for all pods. */
  rotateX509(): void {
    this.#pods.rotate();
    this.#service.push();
  }

  /** Adds the bundles of a foreign trust domain. */
  federate(trustDomain: string): TrustDomain {
    const foreign = this.issuer.federate(trustDomain);
    this.#service.push();
    return foreign;
  }

  /** Takes the bundles of a foreign trust domain away. */
  endFederation(trustDomain: string): void {
    this.issuer.endFederation(trustDomain);
    this.#service.push();
  }

  /** Makes a call fail until it is set to undefined. */
  fault(method: M, fault: ServiceFault | undefined): void {
    this.#service.fault(method, fault);
  }

  /** Ends all open streams normally. */
  dropStreams(): void {
    this.#service.dropStreams();
  }

  /** New connections get a new certificate of the server; open ones continue. */
  renewCertificate(): void {
    this.#service.renewCertificate();
  }

  /** Used by those who make it. */
  async start(address: string | undefined, tls?: TlsOptions): Promise<void> {
    await this.#service.start(address, tls);
    const rotate = (): void => {
      this.rotateX509();
      this.renewCertificate();
    };
    this.#rotation = this.issuer.rotateAtHalfLife(rotate, this.#stop.signal);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#rotation;
    await this.#service.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
