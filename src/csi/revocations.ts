/**
 * Revokes in the background what volumes held that are gone. Ring: csi. No pod waits for it; what is not done when the
 * driver ends is left to the next one.
 */
import type { Clock, Gauge, Logger, Metrics, Random } from '../core/index.ts';
import { createBackoff, Semaphore } from '../lifecycle/index.ts';
import type { Records } from './records.ts';
import type { Volume } from './volume.ts';

/** Waits between two tries. */
const WAITS = { minMs: 1000, maxMs: 60_000 } as const;

/** After this the server has to end it by its TTL; tokens that live longer are rare. */
const GIVE_UP_MS = 24 * 60 * 60_000;

/** Tries at once: a node that is drained must not flood Vault. */
const MAX_PARALLEL = 8;

/** What {@link Revocations} needs. */
export interface RevocationsOptions {
  readonly records: Records;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** What is still to be revoked. */
export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #turns = new Semaphore(MAX_PARALLEL);
  readonly #pending = new Set<Promise<void>>();
  readonly #ended = new AbortController();
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

  /** Begins at once; the volume's engine has stopped, and its record says that it ends. */
  add(volume: Volume): void {
    const work: Promise<void> = this.#revoke(volume, this.#ended.signal)
      .catch((error: unknown) => {
        if (this.#ended.signal.aborted) return;
        this.#options.logger.error('state of a volume was not removed', { error });
      })
      .finally(() => {
        this.#pending.delete(work);
        this.#gauge.set(this.pending);
      });
    this.#pending.add(work);
    this.#gauge.set(this.pending);
  }

  /** Ends without what is not done; the next driver goes on. */
  async end(): Promise<void> {
    this.#ended.abort(new DOMException('the driver ends', 'AbortError'));
    await Promise.all(this.#pending);
  }

  async #revoke(volume: Volume, signal: AbortSignal): Promise<void> {
    const { clock, random, records } = this.#options;
    const backoff = createBackoff({ ...WAITS, random });
    const startedAtMs = clock.monotonicMs();
    while (!(await this.#turns.run(signal, () => volume.release()))) {
      if (clock.monotonicMs() - startedAtMs > GIVE_UP_MS) {
        volume.logger.error('what a volume held was not revoked; it ends by its TTL');
        break;
      }
      await clock.sleep(backoff.nextMs(), signal);
    }
    volume.close();
    await records.remove(volume.kept.directory);
  }
}
