/**
 * The steps after a swap, in the background: the application is notified, that is saved for a successor, and only
 * then are the old credentials revoked.
 */
import { toVouchsafeError, type Logger } from '../core/index.ts';
import type { NotifyAction } from '../config/schema/index.ts';
import type { Digests } from './changed-files.ts';
import type { EnvContainers } from './env-containers.ts';
import type { EnvRestart } from './env-restarts.ts';
import type { LeaseRef } from './obtain.ts';
import type { NotifierPort } from './ports.ts';
import type { CredentialRevoker } from './credential-revoker.ts';

export interface PostDeliveryOptions {
  readonly notifier: NotifierPort;
  readonly revoker: CredentialRevoker;
  /** Path -> digest of each file in the last notification, at first of a predecessor's. */
  readonly notifiedDigests: Map<string, string>;
  /** Saves `notifiedDigests`, so that a successor does not notify again; nothing is revoked before. */
  readonly onNotified: () => void;
  /** Undefined without environment variables. */
  readonly envContainers?: Pick<EnvContainers, 'restart'> | undefined;
  readonly logger: Logger;
}

/** A set that has been delivered. */
export interface Delivered {
  readonly digests: Digests;
  /** How to notify the application; empty if nothing has changed for it. */
  readonly actions: readonly NotifyAction[];
  /** The restart for changed variables, if there is one. */
  readonly restart?: EnvRestart | undefined;
  /** Leases that no file uses any more. */
  readonly dropped: readonly LeaseRef[];
}

/** Runs the steps after each delivery. */
export class PostDelivery {
  readonly #parts: PostDeliveryOptions;
  readonly #underWay = new Set<Promise<void>>();
  /** Resolves when the notifications of all earlier sets are over. */
  #earlier: Promise<void> = Promise.resolve();

  constructor(parts: PostDeliveryOptions) {
    this.#parts = parts;
  }

  /** Starts at once; ends when `signal` aborts. */
  start(delivered: Delivered, signal: AbortSignal): void {
    const notified = this.#notify(delivered, signal);
    this.#earlier = notified.catch(() => undefined); // logged below
    const done: Promise<void> = notified
      .then(() => this.#parts.revoker.revokeUnused(delivered.dropped, signal))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        // Only an abort ends these early; anything else is a bug.
        this.#parts.logger.error('steps after a delivery failed', {
          error: toVouchsafeError(error),
        });
      })
      .finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  /** Resolves when nothing is in progress. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /**
   * The application uses a set once it was notified of it and of all earlier ones. A set without changes may follow one
   * whose notification is still in progress; it must not revoke what the application still uses.
   */
  async #notify({ digests, actions, restart }: Delivered, signal: AbortSignal): Promise<void> {
    const { notifier, notifiedDigests, onNotified, envContainers } = this.#parts;
    const restarted = restart === undefined ? undefined : envContainers?.restart(restart, signal);
    await Promise.all([notifier.notify(actions, signal), restarted, this.#earlier]);
    signal.throwIfAborted();
    notifiedDigests.clear();
    for (const [path, digest] of digests) notifiedDigests.set(path, digest);
    onNotified();
  }
}
