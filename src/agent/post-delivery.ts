/**
 * What follows a swap, in the background: the application is told, that is remembered for a successor, and only
 * then is the old credential let go.
 */
import { toVouchsafeError, type Logger } from '../core/index.ts';
import type { NotifyAction } from '../config/index.ts';
import type { Digests } from './changed-files.ts';
import type { LeaseRef } from './obtain.ts';
import type { NotifierPort } from './ports.ts';
import type { CredentialRevoker } from './release.ts';

/** What {@link PostDelivery} needs. */
export interface FollowUpsParts {
  readonly notifier: NotifierPort;
  readonly releaser: CredentialRevoker;
  /** Path -> digest of each file as the application was last told of it; filled by a predecessor. */
  readonly told: Map<string, string>;
  /** Saves that the application was told, for a successor must not tell it again; nothing is let go before. */
  readonly onTold: () => void;
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
  readonly #parts: FollowUpsParts;
  readonly #underWay = new Set<Promise<void>>();
  /** Resolves when no earlier set is still being told of. */
  #earlier: Promise<void> = Promise.resolve();

  constructor(parts: FollowUpsParts) {
    this.#parts = parts;
  }

  /** Begins at once, and ends when `signal` aborts. */
  start(delivered: Delivered, signal: AbortSignal): void {
    const told = this.#tell(delivered, signal);
    this.#earlier = told.catch(() => undefined); // logged below
    const done: Promise<void> = told
      .then(() => this.#parts.releaser.release(delivered.dropped, signal))
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
  async #tell({ digests, actions }: Delivered, signal: AbortSignal): Promise<void> {
    const { notifier, told, onTold } = this.#parts;
    await Promise.all([notifier.notify(actions, signal), this.#earlier]);
    signal.throwIfAborted();
    told.clear();
    for (const [path, digest] of digests) told.set(path, digest);
    onTold();
  }
}
