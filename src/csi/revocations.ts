/**
 * Revokes in the background what removed volumes held. No pod waits for it; what is not revoked when the driver ends is
 * left to the next one.
 */
import type { Clock, Gauge, Logger, Metrics, Random } from '../core/index.ts';
import {
  NEVER_ABORTED,
  raceAbort,
  createBackoff,
  DEADLINE,
  FairShares,
  withDeadline,
  type Backoff,
} from '../async/index.ts';
import type { Records } from './records.ts';
import type { Volume } from './volume.ts';
import type { Waits } from './waits.ts';

/** After this time a token is left to its TTL; tokens that live longer are rare. */
const GIVE_UP_MS = 24 * 60 * 60_000;

/** Tries at once, at most a third of them for one namespace: a node that is drained must not flood Vault. */
const MAX_PARALLEL = 9;

/** The parts around {@link Revocations}. */
export interface RevocationsOptions {
  readonly records: Records;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly waits: Pick<Waits, 'revokeRetry' | 'finishMs' | 'finishRetryMs'>;
}

/** Pending revocations. Their number is bounded by the slots of volumes, which they keep. */
export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #turns = new FairShares(MAX_PARALLEL);
  readonly #pending = new Map<Volume, Promise<void>>();
  readonly #finishing = new AbortController();
  readonly #ended = new AbortController();
  /** When {@link end} stops waiting, in monotonic milliseconds. */
  #finishByMs = Infinity;
  readonly #gauge: Gauge;

  constructor(options: RevocationsOptions) {
    this.#options = options;
    this.#gauge = options.metrics.gauge(
      'vouchsafe_csi_revocations_pending',
      'Removed volumes whose token and leases are not revoked yet.',
    );
    this.#gauge.set(0);
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Namespaces with the number of their volumes that are pending. */
  get holders(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { namespace } of this.#pending.keys()) {
      counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    }
    return counts;
  }

  /** Starts at once; the volume's engine is stopping and its record says so. Calls `onGone` when nothing is left of it. */
  add(volume: Volume, onGone: () => void): void {
    const work = this.#revoke(volume, this.#ended.signal)
      .catch((error: unknown) => {
        if (this.#ended.signal.aborted) return;
        this.#options.logger.error('state of a volume was not removed', { error });
      })
      .finally(() => {
        this.#pending.delete(volume);
        this.#gauge.set(this.pending);
        onGone();
      });
    this.#pending.set(volume, work);
    this.#gauge.set(this.pending);
  }

  /** The driver is ending: from now on there is a deadline, and tries follow each other quickly. */
  finish(): void {
    if (this.#finishing.signal.aborted) return;
    this.#finishing.abort();
    const { clock, waits } = this.#options;
    this.#finishByMs = clock.monotonicMs() + waits.finishMs;
  }

  /** Resolves when everything is revoked, or at the deadline set by {@link finish}; the next driver goes on from there. */
  async end(): Promise<void> {
    this.finish();
    const { clock } = this.#options;
    const ms = Math.max(0, this.#finishByMs - clock.monotonicMs());
    const all = Promise.all(this.#pending.values());
    await withDeadline({ clock, ms, signal: NEVER_ABORTED }, () => all).catch((error: unknown) => {
      if (error !== DEADLINE) throw error;
    });
    const left = this.pending;
    if (left > 0) {
      this.#options.logger.warn('revocations are left to the next driver', { left });
    }
    this.#ended.abort(new DOMException('the driver ends', 'AbortError'));
    await Promise.all(this.#pending.values());
  }

  async #revoke(volume: Volume, signal: AbortSignal): Promise<void> {
    const { clock, random, records, waits } = this.#options;
    const backoff = createBackoff({ ...waits.revokeRetry, random });
    const startedAtMs = clock.monotonicMs();
    const release = (): Promise<boolean> => raceAbort(volume.release(), signal);
    while (!(await this.#turns.run(volume.namespace, signal, release))) {
      if (clock.monotonicMs() - startedAtMs > GIVE_UP_MS) {
        volume.logger.error('token and leases of a volume were not revoked; they end by their TTL');
        break;
      }
      await this.#wait(backoff, signal);
    }
    volume.close();
    await records.remove(volume.stored.directory);
  }

  async #wait(backoff: Backoff, signal: AbortSignal): Promise<void> {
    const { clock, waits } = this.#options;
    const { signal: finishing } = this.#finishing;
    if (finishing.aborted) return clock.sleep(waits.finishRetryMs, signal);
    const either = AbortSignal.any([signal, finishing]);
    await clock.sleep(backoff.nextMs(), either).catch(() => signal.throwIfAborted());
  }
}
