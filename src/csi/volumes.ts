/**
 * The volumes of a node. Each change of one volume or at one place is a turn of its own; waiting for files is
 * none, so that a pod that is deleted meanwhile does not wait for them.
 */
import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { savedBytes } from '../agent/index.ts';
import { hasCode, VouchsafeError } from '../core/index.ts';
import type { Shared } from '../agent-runtime/index.ts';
import { FairShares } from '../async/index.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { VolumeMounts } from './mounting.ts';
import { planFingerprint, planFor } from './planning.ts';
import type { DriverParts } from './ports.ts';
import type { PublishRequest } from './publish-request.ts';
import type { Records, KeptRecord } from './records.ts';
import { beginResumed } from './resuming.ts';
import type { Revocations } from './revocations.ts';
import { requireAudience } from './tokens.ts';
import { lockKeysOf, KeyedMutex } from './keyed-mutex.ts';
import { Volume, type VolumeParts } from './volume.ts';

/**
 * Memory of the driver for each volume that a node may have, those included whose token and leases are not revoked yet. One
 * with three secrets has 0.2 MiB.
 */
const BYTES_OF_VOLUME = 512 * 1024;
/** No kubelet runs more pods than that. */
const MAX_VOLUMES = 4096;

/** Logins of all volumes under way: a mass start must not flood Vault, nor hold up others. */
const MAX_LOGINS = 48;

/**
 * How long a call waits for the files: the first one not long, so that the pod's events soon say what is missing; the
 * later ones longer, so that a pod starts when it is there, not at the kubelet's next try. The kubelet itself waits for
 * two minutes, and a pod that is deleted waits for the call to end.
 */
const WAIT_MS = { first: 10_000, later: 45_000 } as const;

/** A start that the kubelet no longer asks for: its longest wait between two tries is two minutes. */
const ABANDONED_MS = 10 * 60_000;
const SWEEP_MS = 60_000;

/** What `statfs` would say of a mount that has gone meanwhile. */
const NO_FILES = { bsize: 0, blocks: 0, bfree: 0 };

/** What {@link Volumes} needs. */
export interface VolumesOptions {
  readonly parts: DriverParts;
  readonly records: Records;
  readonly shared: Shared;
  readonly revocations: Revocations;
  /** Name of the driver. */
  readonly driverName: string;
  readonly budget: MemoryBudget;
  /** Memory of the driver, in bytes. */
  readonly memoryLimitBytes: number;
}

/** How a publish ended. */
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
  readonly #places: FairShares;
  readonly #logins = new FairShares(MAX_LOGINS);
  /** Volumes that are gone, and whose engine has not ended yet. */
  readonly #lingering = new Set<Volume>();
  readonly #turns = new KeyedMutex();
  #isEnding = false;

  constructor(options: VolumesOptions) {
    const { parts, shared, driverName, budget } = options;
    this.#options = options;
    this.#mounts = new VolumeMounts({ ...parts, source: driverName });
    const isMounted = (target: string): Promise<boolean> => this.#mounts.isMounted(target);
    this.#places = new FairShares(placesOf(options.memoryLimitBytes));
    this.#volumeParts = { ...parts, shared, isMounted, budget, logins: this.#logins };
    this.#revocations = options.revocations;
  }

  get all(): Iterable<Volume> {
    return this.#volumes.values();
  }

  /** What namespaces hold of what they share, by the resource. */
  get holders(): Readonly<Record<Resource, ReadonlyMap<string, number>>> {
    const { budget, shared, revocations } = this.#options;
    return {
      volumes: this.#places.holders,
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
   * Brings the files of a pod to where the kubelet wants them; resolves when they are all there. Asked again it goes on
   * with what runs already, and takes the newer tokens.
   *
   * @throws VouchsafeError that {@link statusOf} turns into what the kubelet is told. Where nothing more is to be
   * expected of this volume, nothing of it is left.
   */
  async publish(request: PublishRequest, signal: AbortSignal): Promise<Published> {
    const volume = await this.#turns.run(lockKeysOf(request), () => this.#ensure(request, signal));
    volume.publishCalls += 1;
    volume.lastPublishMs = this.#options.parts.clock.monotonicMs();
    if (volume.isFilled && volume.kept.record.isPublished) return 'known';
    await this.#wait(volume, signal);
    return this.#turns.run(lockKeysOf(request), () => this.#markPublished(volume));
  }

  /** Takes the files away; what was held for them is revoked in the background. Resolves where there is nothing. */
  async unpublish(volumeId: string, target: string): Promise<void> {
    await this.#turns.run(lockKeysOf({ volumeId, target }), async () => {
      const volume = this.#volumes.get(volumeId);
      if (volume?.spec.target === target) await this.#remove(volume);
      else if (!this.#isTaken(target)) await this.#mounts.unmount(target);
    });
  }

  /** Takes over what a predecessor left. Its engines begin with {@link beginResumed}. */
  async resume(signal: AbortSignal): Promise<void> {
    const { records, parts } = this.#options;
    const found = await records.load(signal);
    const gone: KeptRecord[] = [];
    for (const kept of found) {
      const { spec, isEnding } = kept.record;
      this.#places.hold(spec.pod.namespace);
      const isAlive = !isEnding && (await this.#mounts.isMounted(spec.target));
      if (!isAlive || this.#volumes.has(spec.volumeId)) gone.push(kept);
      else await this.#takeOver(kept);
    }
    for (const kept of gone) await this.#forget(kept);
    if (found.length > 0) {
      const volumes = this.#volumes.size;
      parts.logger.info('found a predecessor', { volumes, gone: gone.length });
    }
  }

  /** Begins the engines of what was taken over, some at a time; resolves when all have begun, or on abort. */
  async beginResumed(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.parts;
    const isWaiting = (volume: Volume): boolean =>
      this.#volumes.get(volume.spec.volumeId) === volume && !volume.hasStarted && !this.#isEnding;
    try {
      await beginResumed([...this.#volumes.values()], { clock, isWaiting }, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Ends what nobody asks for any more, starts and volumes whose mount is gone, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.parts;
    for (;;) {
      await clock.sleep(SWEEP_MS, signal);
      const now = clock.monotonicMs();
      for (const volume of this.#volumes.values()) {
        const isAbandoned = now - volume.lastPublishMs > ABANDONED_MS;
        if (!isAbandoned) continue;
        const { isPublished, spec } = volume.kept.record;
        // Where the kernel does not tell, nothing is taken away, and the sweep goes on.
        const isMounted =
          isPublished && (await this.#mounts.isMounted(spec.target).catch(() => true));
        if (isMounted) continue;
        volume.logger.warn('nobody asks for the volume any more: it is taken away');
        await this.unpublish(spec.volumeId, spec.target).catch((error: unknown) => {
          volume.logger.error('volume was not taken away', { error });
        });
      }
    }
  }

  /**
   * From now on no engine begins; those that run go on, and calls that wait for their files may see them. What is still to
   * be revoked has the time that there is.
   */
  stopStartingEngines(): void {
    this.#isEnding = true;
    this.#revocations.finish();
  }

  /** Stops every engine and leaves all to a successor: mounts, tokens and leases stay. */
  async end(): Promise<void> {
    this.stopStartingEngines();
    await this.#turns.settled();
    await Promise.all([...this.#volumes.values()].map((volume) => volume.stopForSuccessor()));
    await this.#revocations.end();
    for (const volume of this.#volumes.values()) volume.close();
  }

  async #ensure(request: PublishRequest, signal: AbortSignal): Promise<Volume> {
    const known = this.#volumes.get(request.volumeId);
    if (known === undefined) return this.#create(request, signal);
    const isOver = known.isEnding || known.failure !== undefined;
    if (!isOver) checkSame(known, request);
    if (isOver || (await this.#isOutdated(known, request, signal))) {
      await this.#remove(known);
      return this.#create(request, signal);
    }
    known.takeTokens(request.tokens);
    const { target } = request;
    if (await this.#mounts.isMounted(target)) return known;
    known.logger.warn('volume is not mounted any more: it is mounted again', { target });
    // First: what it still wrote would be mixed with what the next one writes.
    if (!(await known.stop())) throw lingering();
    await this.#mounts.mount({ ...request, sizeBytes: known.kept.record.sizeBytes }, signal);
    this.#refuseEnding();
    known.refill();
    return known;
  }

  /** Whether a volume that still waits for its files would be another one by the settings of now. */
  async #isOutdated(
    { kept: { record } }: Volume,
    request: PublishRequest,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (record.isPublished) return false;
    try {
      const plan = await planFor(request, this.#options.parts, signal);
      return planFingerprint(plan) !== planFingerprint(record);
    } catch (error) {
      // What is refused by now is told when it is made anew; where nobody can say, it goes on as it is.
      return hasCode(error, 'ERR_ADMISSION_DENIED');
    }
  }

  async #create(request: PublishRequest, signal: AbortSignal): Promise<Volume> {
    this.#refuseEnding();
    this.#refuseShared(request.target);
    const { namespace } = request.pod;
    if (!this.#places.tryTake(namespace)) throw this.#noPlace(namespace);
    const giveBack = (): void => this.#places.giveBack(namespace);
    const volume = await this.#mounted(request, signal).catch((error: unknown) => {
      giveBack();
      throw error;
    });
    this.#refuseEnding();
    this.#volumes.set(request.volumeId, volume);
    volume.takeTokens(request.tokens);
    volume.begin();
    return volume;
  }

  /** A new volume, with its record and its mount, and nothing else. */
  async #mounted(request: PublishRequest, signal: AbortSignal): Promise<Volume> {
    const { records } = this.#options;
    const { tokens, ...spec } = request;
    const plan = await planFor(request, this.#options.parts, signal);
    const { document, sizeBytes, tokenAudience = null } = plan;
    if (tokenAudience !== null) requireAudience(tokens, tokenAudience);
    const state = { isPublished: false, isEnding: false };
    const record = { spec, document, sizeBytes, tokenAudience, ...state };
    const volume = new Volume(await records.add(randomUUID(), record), this.#volumeParts);
    for (const warning of plan.warnings) volume.logger.warn('volume is odd', { warning });
    const { budget } = this.#volumeParts;
    try {
      budget.keep(volume, sizeOfRecord(volume));
      await this.#mounts.mount({ ...spec, sizeBytes }, signal);
    } catch (error) {
      budget.forget(volume);
      await records.remove(volume.kept.directory);
      throw error;
    }
    return volume;
  }

  #noPlace(namespace: string): VouchsafeError {
    const { total, share } = this.#places;
    const gone = this.#revocations.holders.get(namespace) ?? 0;
    return new VouchsafeError(
      'ERR_CSI_BUSY',
      `the node may have ${total} volumes and namespace ${namespace} ${share} of them, those included whose token and leases ` +
        `are not revoked yet (${gone}); raise the limit of memory of the CSI driver (csi.resources)`,
    );
  }

  /** A volume of a predecessor that goes on. */
  async #takeOver(kept: KeptRecord): Promise<void> {
    const { spec } = kept.record;
    const volume = new Volume(kept, this.#volumeParts);
    const { bsize, blocks, bfree } = await statfs(spec.target).catch(() => NO_FILES);
    const files = (blocks - bfree) * bsize;
    this.#volumeParts.budget.adopt(volume, { files, ...(await leftBy(volume)) });
    this.#volumes.set(spec.volumeId, volume);
  }

  /** An engine that began now would outlive the driver; what is mounted is half a publish for the next one. */
  #refuseEnding(): void {
    if (this.#isEnding)
      throw new VouchsafeError('ERR_CSI_ENDED', 'the driver ends; ask the next one');
  }

  #isTaken(target: string): boolean {
    return [...this.#volumes.values()].some(({ spec }) => spec.target === target);
  }

  /** Two engines in one directory would mix what two pods were given. */
  #refuseShared(target: string): void {
    if ([...this.#lingering].some(({ spec }) => spec.target === target)) throw lingering();
    if (!this.#isTaken(target)) return;
    throw new VouchsafeError('ERR_CSI_CONFLICT', 'another volume is published at this target path');
  }

  async #wait(volume: Volume, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.parts;
    const waitMs = volume.publishCalls === 1 ? WAIT_MS.first : WAIT_MS.later;
    const enough = new AbortController();
    const either = AbortSignal.any([signal, enough.signal]);
    const limit = clock.sleep(waitMs, either).then(() => 'late' as const);
    try {
      const outcome = await Promise.race([volume.delivered(either), limit]);
      if (outcome === 'late') throw pending(volume, waitMs);
    } catch (error) {
      if (volume.failure !== undefined) {
        await this.#turns
          .run(lockKeysOf(volume.spec), () => this.#remove(volume))
          .catch((left: unknown) => {
            volume.logger.error('volume was not taken away', { error: left });
          });
      }
      throw error;
    } finally {
      enough.abort();
      await limit.catch(() => undefined);
    }
  }

  async #markPublished(volume: Volume): Promise<Published> {
    if (volume.isEnding) throw new VouchsafeError('ERR_CSI_ENDED', 'the volume was unpublished');
    const { kept } = volume;
    if (kept.record.isPublished) return 'known';
    volume.kept = await this.#options.records.save(kept, { ...kept.record, isPublished: true });
    return 'new';
  }

  /** Runs within a turn of the volume. Where it fails, the next call goes on with it. */
  async #remove(volume: Volume): Promise<void> {
    const { volumeId, target } = volume.spec;
    if (this.#volumes.get(volumeId) !== volume) return;
    const { kept } = volume;
    if (!(await volume.end())) {
      // The pod does not wait for it; what comes to the same place does.
      this.#lingering.add(volume);
      void volume.stopped().finally(() => this.#lingering.delete(volume));
    }
    volume.kept = await this.#options.records
      .save(kept, { ...kept.record, isEnding: true })
      .catch((error: unknown) => {
        // Should the driver end now, the missing mount tells its successor as much.
        volume.logger.warn('state of the volume was not saved', { error });
        return kept;
      });
    await this.#mounts.unmount(target);
    this.#volumeParts.budget.free(volume);
    this.#volumes.delete(volumeId);
    this.#revoke(volume);
  }

  /** A volume of a predecessor that is not there any more, or was about to go. */
  async #forget(kept: KeptRecord): Promise<void> {
    const { target } = kept.record.spec;
    const volume = new Volume(kept, this.#volumeParts);
    volume.isEnding = true;
    this.#volumeParts.budget.adopt(volume, await leftBy(volume));
    if (!this.#isTaken(target)) {
      await this.#mounts.unmount(target).catch((error: unknown) => {
        volume.logger.warn('volume of a predecessor was not taken away', { error });
      });
    }
    this.#revoke(volume);
  }

  /** A volume keeps its place until nothing of it is left. */
  #revoke(volume: Volume): void {
    this.#revocations.add(volume, () => {
      this.#places.giveBack(volume.namespace);
      this.#volumeParts.budget.forget(volume);
    });
  }
}

function checkSame(known: Volume, { tokens: _, ...spec }: PublishRequest): void {
  if (isDeepStrictEqual(known.spec, spec)) return;
  throw new VouchsafeError(
    'ERR_CSI_CONFLICT',
    'the volume is published already, with other attributes or at another place',
  );
}

/** How many volumes a node may have. */
function placesOf(memoryLimitBytes: number): number {
  return Math.max(1, Math.min(MAX_VOLUMES, Math.floor(memoryLimitBytes / BYTES_OF_VOLUME)));
}

/** In bytes, as it lies in memory. */
function sizeOfRecord({ kept: { record } }: Volume): number {
  return Buffer.byteLength(JSON.stringify(record));
}

/** What a predecessor has left in memory beside the files, in bytes. */
async function leftBy(
  volume: Volume,
): Promise<{ readonly record: number; readonly values: number }> {
  return { record: sizeOfRecord(volume), values: await savedBytes(volume.kept.directory) };
}

function lingering(): VouchsafeError {
  const text = 'the engine of a volume at this target path has not ended yet; ask again';
  return new VouchsafeError('ERR_CSI_BUSY', text);
}

function pending(volume: Volume, waitMs: number): VouchsafeError {
  const cause = volume.problem;
  const why = cause === undefined ? 'no error was seen' : `${cause.code}: ${cause.message}`;
  return new VouchsafeError(
    'ERR_CSI_PENDING',
    `the files are not there after ${waitMs / 1000} s, and are waited for; last cause: ${why}`,
  );
}
