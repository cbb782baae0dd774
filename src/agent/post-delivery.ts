/**
 * What follows a swap, in the background: the application is told, that is remembered for a successor, and only
 * then is the old credential let go.
 */
import { toVouchsafeError, type Logger } from '../core/index.ts';
import type { NotifyAction } from '../config/schema/index.ts';
import type { Digests } from './changed-files.ts';
import type { LeaseRef } from './obtain.ts';
import type { NotifierPort } from './ports.ts';
import type { CredentialRevoker } from './credential-revoker.ts';

/** What {@link PostDelivery} needs. */
export interface PostDeliveryOptions {
  readonly notifier: NotifierPort;
  readonly revoker: CredentialRevoker;
  /** Path -> digest of each file as the application was last told of it; filled by a predecessor. */
  readonly notifiedDigests: Map<string, string>;
  /** Saves that the application was told, for a successor must not tell it again; nothing is let go before. */
  readonly onNotified: () => void;
  readonly logger: Logger;
}

/** A set that has been delivered. */
export interface Delivered {
  readonly digests: Digests;
  /** How to tell the application; none where nothing is new to it. */
  readonly actions: readonly NotifyAction[];
  /** Leases that no file holds any more. */
  readonly dropped: readonly LeaseRef[];
}

/** Sees to what follows each delivery. */
export class PostDelivery {
  readonly #parts: PostDeliveryOptions;
  readonly #underWay = new Set<Promise<void>>();
  /** Resolves when no earlier set is still being told of. */
  #earlier: Promise<void> = Promise.resolve();

  constructor(parts: PostDeliveryOptions) {
    this.#parts = parts;
  }

  /** Begins at once, and ends when `signal` aborts. */
  start(delivered: Delivered, signal: AbortSignal): void {
    const told = this.#notify(delivered, signal);
    this.#earlier = told.catch(() => undefined); // logged below
    const done: Promise<void> = told
      .then(() => this.#parts.revoker.revokeUnused(delivered.dropped, signal))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        // Aborting is the only way these end early; anything else is a defect and worth a line.
        this.#parts.logger.error('after delivery', { error: toVouchsafeError(error) });
      })
      .finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /**
   * The application knows a set when it was told of it and of all before: one without news may follow one whose
   * notification still waits for an answer, and must neither hide that nor let go what the application still uses.
   */
  async #notify({ digests, actions }: Delivered, signal: AbortSignal): Promise<void> {
    const { notifier, notifiedDigests, onNotified } = this.#parts;
    await Promise.all([notifier.notify(actions, signal), this.#earlier]);
    signal.throwIfAborted();
    notifiedDigests.clear();
    for (const [path, digest] of digests) notifiedDigests.set(path, digest);
    onNotified();
  }
}
