/**
 * The volumes of a node. Operations on one volume or one target path run one after the other; the wait for files is not
 * part of an operation, so a pod that is deleted meanwhile does not wait for it.
 */
import { isDeepStrictEqual } from 'node:util';
import { hasCode, VouchsafeError } from '../core/index.ts';
import type { SharedConnections } from '../agent-runtime/index.ts';
import { FairShares } from '../async/index.ts';
import { KeyedMutex, lockKeysOf } from './keyed-mutex.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { VolumeMounts } from './mounting.ts';
import { planFingerprint, planFor } from './planning.ts';
import type { DriverParts } from './ports.ts';
import { prepareVolume } from './prepare-volume.ts';
import type { PublishRequest } from './publish-request.ts';
import type { Records } from './records.ts';
import { startResumed } from './resuming.ts';
import type { Revocations } from './revocations.ts';
import { sweepAbandoned } from './sweep.ts';
import { loadPredecessor } from './takeover.ts';
import { lingeringError, VolumeRemover } from './volume-remover.ts';
import { VolumeSlots } from './volume-slots.ts';
import type { Volume, VolumeParts } from './volume.ts';
import { hasFiles, isOver, isPublished } from './volume-state.ts';
import { waitForFiles } from './wait-for-files.ts';

/** Logins of all volumes in flight: a mass start must neither flood Vault nor delay other namespaces. */
const MAX_LOGINS = 48;

/** The parts around {@link Volumes}. */
export interface VolumesOptions {
  readonly parts: DriverParts;
  readonly records: Records;
  readonly shared: SharedConnections;
  readonly revocations: Revocations;
  /** Name of the driver: the source of its mounts. */
  readonly driverName: string;
  readonly budget: MemoryBudget;
  /** Memory of the driver, in bytes. */
  readonly memoryLimitBytes: number;
}

/** How a publish ended: the files are new, or were published before. */
export type Published = 'new' | 'known';

/** What namespaces share. */
export type Resource = 'volumes' | 'files' | 'logins' | 'requests' | 'revocations';

/** Everything that is published on this node. */
export class Volumes {
  readonly #options: VolumesOptions;
  readonly #volumeParts: VolumeParts;
  readonly #mounts: VolumeMounts;
  readonly #revocations: Revocations;
  readonly #volumes = new Map<string, Volume>();
  readonly #slots: VolumeSlots;
  readonly #logins = new FairShares(MAX_LOGINS);
  readonly #remover: VolumeRemover;
  readonly #mutex = new KeyedMutex();
  #isEnding = false;

  constructor(options: VolumesOptions) {
    const { parts, shared, driverName, budget, revocations } = options;
    this.#options = options;
    this.#mounts = new VolumeMounts({ ...parts, source: driverName });
    const isMounted = (target: string): Promise<boolean> => this.#mounts.isMounted(target);
    this.#slots = new VolumeSlots(options.memoryLimitBytes);
    this.#volumeParts = { ...parts, shared, isMounted, budget, logins: this.#logins };
    this.#remover = new VolumeRemover({ ...options, mounts: this.#mounts, slots: this.#slots });
    this.#revocations = revocations;
  }

  get all(): Iterable<Volume> {
    return this.#volumes.values();
  }

  /** For each shared resource: namespaces with how much they hold. */
  get holders(): Readonly<Record<Resource, ReadonlyMap<string, number>>> {
    const { budget, shared, revocations } = this.#options;
    return {
      volumes: this.#slots.holders,
      files: budget.holders,
      logins: this.#logins.holders,
      requests: shared.requests.holders,
      revocations: revocations.holders,
    };
  }

  get(volumeId: string): Volume | undefined {
    return this.#volumes.get(volumeId);
  }

  /**
   * Brings the files of a pod to its target path; resolves when all are there. A further call for the same volume goes on
   * with the same engine and takes the newer tokens.
   *
   * @throws VouchsafeError that {@link statusOf} turns into the status of the call. After a final error nothing of the
   * volume is left.
   */
  async publish(request: PublishRequest, signal: AbortSignal): Promise<Published> {
    const volume = await this.#mutex.run(lockKeysOf(request), () => this.#ensure(request, signal));
    volume.called();
    if (isPublished(volume.state) && hasFiles(volume.state)) return 'known';
    try {
      await waitForFiles(volume, this.#options.parts, signal);
    } catch (error) {
      if (volume.state.kind === 'failed') await this.#removeFailed(volume);
      throw error;
    }
    return this.#mutex.run(lockKeysOf(request), () => this.#markPublished(volume));
  }

  /** Removes the files; what was held for them is revoked in the background. Resolves for an unknown volume, too. */
  async unpublish(volumeId: string, target: string): Promise<void> {
    await this.#mutex.run(lockKeysOf({ volumeId, target }), async () => {
      const volume = this.#volumes.get(volumeId);
      if (volume?.spec.target === target) await this.#remove(volume);
      else if (!this.#isTaken(target)) await this.#mounts.unmount(target);
    });
  }

  /** Takes over the volumes of a predecessor; {@link startResumed} starts their engines. @throws VouchsafeError `ERR_CSI_STATE` */
  async resume(signal: AbortSignal): Promise<void> {
    const { records, parts } = this.#options;
    const { mounted, gone } = await loadPredecessor(records, this.#volumeParts, signal);
    for (const { namespace } of [...mounted, ...gone]) this.#slots.hold(namespace);
    for (const volume of mounted) this.#volumes.set(volume.spec.volumeId, volume);
    for (const volume of gone)
      await this.#remover.discard(volume, this.#isTaken(volume.spec.target));
    if (mounted.length + gone.length > 0) {
      const volumes = this.#volumes.size;
      parts.logger.info('took over from a predecessor', { volumes, gone: gone.length });
    }
  }

  /** Starts the engines of the volumes that were taken over, some at a time; resolves when all have started, or on abort. */
  async startResumed(signal: AbortSignal): Promise<void> {
    const { clock, waits } = this.#options.parts;
    const mayStart = (): boolean => !this.#isEnding;
    try {
      await startResumed([...this.#volumes.values()], { clock, waits, mayStart }, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Removes abandoned volumes until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await sweepAbandoned(
      {
        ...this.#options.parts,
        volumes: () => this.all,
        isMounted: (target) => this.#mounts.isMounted(target),
        remove: ({ spec }) => this.unpublish(spec.volumeId, spec.target),
      },
      signal,
    );
  }

  /**
   * From now on no engine starts; running ones go on, and calls that wait for their files may still succeed. Pending
   * revocations have a deadline from now on.
   */
  stopStartingEngines(): void {
    this.#isEnding = true;
    this.#revocations.finish();
  }

  /** Stops every engine and leaves everything to a successor: mounts, tokens and leases stay. */
  async end(): Promise<void> {
    this.stopStartingEngines();
    await this.#mutex.settled();
    await Promise.all([...this.#volumes.values()].map((volume) => volume.stopForSuccessor()));
    await this.#revocations.end();
    for (const volume of this.#volumes.values()) volume.close();
  }

  /** The volume of a request, with a running engine. */
  async #ensure(request: PublishRequest, signal: AbortSignal): Promise<Volume> {
    const known = this.#volumes.get(request.volumeId);
    if (known === undefined) return this.#create(request, signal);
    const over = isOver(known.state);
    if (!over) checkSame(known, request);
    if (over || (await this.#isOutdated(known, request, signal))) {
      await this.#remove(known);
      return this.#create(request, signal);
    }
    known.takeTokens(request.tokens);
    const { target } = request;
    if (await this.#mounts.isMounted(target)) return known;
    known.logger.warn('volume is no longer mounted: mounting it again', { target });
    // First, so that its writes do not mix with those of the next engine.
    if (!(await known.stop())) throw lingeringError();
    await this.#mounts.mount({ ...request, sizeBytes: known.stored.record.sizeBytes }, signal);
    this.#rejectWhileEnding();
    known.refill();
    return known;
  }

  /** Whether the present settings would make another volume of one that still waits for its files. */
  async #isOutdated(
    { state, stored }: Volume,
    request: PublishRequest,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (isPublished(state)) return false;
    try {
      const plan = await planFor(request, this.#options.parts, signal);
      return planFingerprint(plan) !== planFingerprint(stored.record);
    } catch (error) {
      // A denied volume is made again to report why; where the plan cannot be made now, the old one goes on.
      return hasCode(error, 'ERR_ADMISSION_DENIED');
    }
  }

  async #create(request: PublishRequest, signal: AbortSignal): Promise<Volume> {
    this.#rejectWhileEnding();
    this.#rejectTakenTarget(request.target);
    const { namespace } = request.pod;
    this.#slots.take(namespace, this.#revocations.holders.get(namespace) ?? 0);
    const [volumeParts, mounts] = [this.#volumeParts, this.#mounts];
    const options = { ...this.#options, volumeParts, mounts };
    const volume = await prepareVolume(request, options, signal).catch((error: unknown) => {
      this.#slots.giveBack(namespace);
      throw error;
    });
    this.#rejectWhileEnding();
    this.#volumes.set(request.volumeId, volume);
    volume.takeTokens(request.tokens);
    volume.start();
    return volume;
  }

  /** An engine that started now would outlive the driver. The next driver completes a publish that got as far as its mount. */
  #rejectWhileEnding(): void {
    if (!this.#isEnding) return;
    throw new VouchsafeError(
      'ERR_CSI_ENDED',
      'the driver is shutting down; retry with the next one',
    );
  }

  /** Two engines in one directory would mix the files of two pods. */
  #rejectTakenTarget(target: string): void {
    if (this.#remover.hasLingering(target)) throw lingeringError();
    if (!this.#isTaken(target)) return;
    throw new VouchsafeError('ERR_CSI_CONFLICT', 'another volume is published at this target path');
  }

  #isTaken(target: string): boolean {
    return [...this.#volumes.values()].some(({ spec }) => spec.target === target);
  }

  async #markPublished(volume: Volume): Promise<Published> {
    const { state, stored } = volume;
    if (state.kind === 'failed') throw state.error;
    if (isOver(state)) throw new VouchsafeError('ERR_CSI_ENDED', 'the volume was unpublished');
    if (isPublished(state)) return 'known';
    const record = { ...stored.record, isPublished: true };
    volume.saved(await this.#options.records.save(stored, record));
    return 'new';
  }

  /** Removes a volume whose start cannot succeed. Never rejects: the caller reports why the start failed. */
  async #removeFailed(volume: Volume): Promise<void> {
    try {
      await this.#mutex.run(lockKeysOf(volume.spec), () => this.#remove(volume));
    } catch (error) {
      volume.logger.error('volume was not removed', { error });
    }
  }

  /** Runs with the lock of the volume. If it fails, the next call repeats it. */
  async #remove(volume: Volume): Promise<void> {
    const { volumeId } = volume.spec;
    if (this.#volumes.get(volumeId) !== volume) return;
    await this.#remover.removeFiles(volume);
    this.#volumes.delete(volumeId);
    this.#remover.revoke(volume);
  }
}

function checkSame(known: Volume, { tokens: _, ...spec }: PublishRequest): void {
  if (isDeepStrictEqual(known.spec, spec)) return;
  throw new VouchsafeError(
    'ERR_CSI_CONFLICT',
    'the volume is published already, with other attributes or at another target path',
  );
}
