/**
 * Leader election. The Lease only avoids work and conflicts: because clocks cannot be trusted, writes of a leader must
 * be safe even when two replicas hold it.
 *
 * @see https://kubernetes.io/docs/concepts/architecture/leases/
 */
import {
  fieldsOf,
  NO_LOGGER,
  NO_METRICS,
  toVouchsafeError,
  type Clock,
  type Gauge,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import { isConflict, statusOf, type ApiObject, type KubernetesApi } from './api.ts';

export interface LeaseOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  readonly name: string;
  /** This replica: the name of its pod. */
  readonly identity: string;
  /** Called whenever the Lease was acquired or lost. */
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

const DURATION_S = 15;
const RENEW_MS = 5000;
const RELEASE_TIMEOUT_MS = 2000;

/** A Lease of coordination.k8s.io, held by one replica at a time. */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #logger: Logger;
  readonly #gauge: Gauge;
  /** The last version seen, and since when: expiry is judged only by the local clock. */
  #seen = { version: '', atMs: 0 };
  #heldUntilMs = -Infinity;
  #reportedHeld = false;
  #lastProblem = '';

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#logger = options.logger ?? NO_LOGGER;
    this.#gauge = (options.metrics ?? NO_METRICS).gauge(
      'vouchsafe_leader',
      '1 on the replica that renews the certificates (the leader), 0 on all others.',
    );
  }

  get isHeld(): boolean {
    return this.#options.clock.monotonicMs() < this.#heldUntilMs;
  }

  /** Acquires and renews the Lease whenever possible; releases it when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    this.#gauge.set(0);
    try {
      for (;;) {
        await this.#tick(signal);
        this.#reportChange();
        await clock.sleep(RENEW_MS * (0.8 + random.next() * 0.4), signal);
      }
    } finally {
      if (this.isHeld) await this.#release().catch(() => undefined); // It expires soon.
    }
  }

  async #tick(signal: AbortSignal): Promise<void> {
    const { api, clock } = this.#options;
    const startMs = clock.monotonicMs();
    try {
      const lease = await this.#read(signal);
      if (lease !== undefined && !this.#isFree(lease)) {
        this.#heldUntilMs = -Infinity;
        return;
      }
      await api.send(this.#claim(lease), signal);
      this.#heldUntilMs = startMs + DURATION_S * 1000;
      this.#lastProblem = '';
    } catch (caught) {
      signal.throwIfAborted();
      // Another replica was faster and holds it now; the next tick reads it.
      if (isConflict(caught)) this.#heldUntilMs = -Infinity;
      else this.#logOnce(caught);
    }
  }

  async #read(signal: AbortSignal): Promise<ApiObject | undefined> {
    try {
      return await this.#options.api.send({ method: 'GET', path: this.#path() }, signal);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  #isFree(lease: ApiObject): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const { holderIdentity, leaseDurationSeconds } = fieldsOf(lease['spec']);
    const { resourceVersion: version = '' } = lease.metadata;
    if (version !== this.#seen.version) this.#seen = { version, atMs: nowMs };
    if (typeof holderIdentity !== 'string' || holderIdentity === '') return true;
    if (holderIdentity === this.#options.identity) return true;
    const seconds = typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds : DURATION_S;
    return nowMs - this.#seen.atMs > seconds * 1000;
  }

  #claim(lease: ApiObject | undefined): Parameters<KubernetesApi['send']>[0] {
    const { identity, clock, name, namespace } = this.#options;
    const now = microTime(clock.now());
    const before = fieldsOf(lease?.['spec']);
    const isSame = before['holderIdentity'] === identity;
    const transitions = Number(before['leaseTransitions'] ?? 0);
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: DURATION_S,
      acquireTime: isSame ? before['acquireTime'] : now,
      renewTime: now,
      leaseTransitions: isSame || lease === undefined ? transitions : transitions + 1,
    };
    if (lease !== undefined) {
      return { method: 'PUT', path: this.#path(), body: { ...lease, spec } };
    }
    const kind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
    const body = { ...kind, metadata: { name, namespace }, spec };
    return { method: 'POST', path: this.#collection(), body };
  }

  async #release(): Promise<void> {
    this.#heldUntilMs = -Infinity;
    const { api, clock, identity } = this.#options;
    await withDeadline({ clock, ms: RELEASE_TIMEOUT_MS }, async (signal) => {
      const lease = await this.#read(signal);
      const before = fieldsOf(lease?.['spec']);
      if (before['holderIdentity'] !== identity) return;
      const spec = { ...before, holderIdentity: '', leaseDurationSeconds: 1 };
      await api.send({ method: 'PUT', path: this.#path(), body: { ...lease, spec } }, signal);
    });
  }

  #reportChange(): void {
    const { isHeld } = this;
    if (isHeld === this.#reportedHeld) return;
    this.#reportedHeld = isHeld;
    this.#gauge.set(isHeld ? 1 : 0);
    this.#logger.info(
      isHeld ? 'this replica is the leader now' : 'this replica is no longer the leader',
    );
    this.#options.onChange();
  }

  #logOnce(caught: unknown): void {
    const error = toVouchsafeError(caught);
    if (error.message === this.#lastProblem) return;
    this.#lastProblem = error.message;
    this.#logger.warn('the Lease cannot be acquired', { error });
  }

  #collection(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#options.namespace}/leases`;
  }

  #path(): string {
    return `${this.#collection()}/${this.#options.name}`;
  }
}

/** Kubernetes' MicroTime. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
