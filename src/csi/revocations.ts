/**
 * Revokes in the background what volumes held that are gone. No pod waits for it; what is not done when the
 * driver ends is left to the next one.
 */
import type { Clock, Gauge, Logger, Metrics, Random } from '../core/index.ts';
import { raceAbort, createBackoff, FairShares, type Backoff } from '../async/index.ts';
import type { Records } from './records.ts';
import type { Volume } from './volume.ts';

/** Waits between two tries. */
const WAITS = { minMs: 1000, maxMs: 60_000 } as const;

/** After this the server has to end it by its TTL; tokens that live longer are rare. */
const GIVE_UP_MS = 24 * 60 * 60_000;

/** Tries at once, a third of them for one namespace: a node that is drained must not flood Vault. */
const MAX_PARALLEL = 9;

/**
 * What is left of the grace period of the chart's DaemonSet (30 s) beside the end of calls and engines. A node that shuts
 * down has no next driver.
 */
const FINISH_MS = 15_000;
/** Wait between two tries then. */
const FINISH_WAIT_MS = 500;

/** What {@link Revocations} needs. */
export interface RevocationsOptions {
  readonly records: Records;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** What is still to be revoked. How many there can be is bounded by the places of volumes, which they keep. */
export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #turns = new FairShares(MAX_PARALLEL);
  readonly #pending = new Map<Volume, Promise<void>>();
  readonly #finishing = new AbortController();
  readonly #ended = new AbortController();
  readonly #settled = new AbortController();
  #limit: Promise<void> = Promise.resolve();
  readonly #gauge: Gauge;

  constructor(options: RevocationsOptions) {
    this.#options = options;
    this.#gauge = options.metrics.gauge(
      'vouchsafe_csi_revocations_pending',
      'Volumes that are gone, and whose token and leases are not revoked yet.',
    );
    this.#gauge.set(0);
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Namespaces with how many of their volumes are pending. */
  get holders(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { namespace } of this.#pending.keys()) {
      counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    }
    return counts;
  }

  /** Begins at once; the volume's engine was told to stop, and its record says that it ends. `onGone` is called when nothing is left of it. */
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

  /** The driver is told to end: from now on there is a bound of time, and no long wait between two tries. */
  finish(): void {
    if (this.#finishing.signal.aborted) return;
    this.#finishing.abort();
    this.#limit = this.#options.clock.sleep(FINISH_MS, this.#settled.signal).catch(() => undefined);
  }

  /** Resolves when all is revoked, or 15 s after {@link finish}: the next driver goes on. */
  async end(): Promise<void> {
    this.finish();
    await Promise.race([Promise.all(this.#pending.values()), this.#limit]);
    this.#settled.abort();
    const left = this.pending;
    if (left > 0) {
      this.#options.logger.warn('revocations are left to the next driver', { left });
    }
    this.#ended.abort(new DOMException('the driver ends', 'AbortError'));
    await Promise.all(this.#pending.values());
  }

  async #revoke(volume: Volume, signal: AbortSignal): Promise<void> {
    const { clock, random, records } = this.#options;
    const backoff = createBackoff({ ...WAITS, random });
    const startedAtMs = clock.monotonicMs();
    const release = (): Promise<boolean> => raceAbort(volume.release(), signal);
    while (!(await this.#turns.run(volume.namespace, signal, release))) {
      if (clock.monotonicMs() - startedAtMs > GIVE_UP_MS) {
        volume.logger.error('what a volume held was not revoked; it ends by its TTL');
        break;
      }
      await this.#wait(backoff, signal);
    }
    volume.close();
    await records.remove(volume.kept.directory);
  }

  async #wait(backoff: Backoff, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const { signal: finishing } = this.#finishing;
    if (finishing.aborted) return clock.sleep(FINISH_WAIT_MS, signal);
    const either = AbortSignal.any([signal, finishing]);
    await clock.sleep(backoff.nextMs(), either).catch(() => signal.throwIfAborted());
  }
}
