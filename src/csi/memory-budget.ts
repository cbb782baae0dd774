/**
 * Room for the files of all volumes. Ring: csi. What is written to a tmpfs counts as memory of the process that writes
 * it, and stays when that process is killed for it: the next driver would be killed, too, and the next one.
 */
import { VouchsafeError } from '../core/index.ts';
import { FairShares } from '../lifecycle/index.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Memory of a driver that knows of no limit, in bytes: not none, because the node has one. */
export const ASSUMED_LIMIT_BYTES = 256 * MIB;

/** Part of the driver's memory that files may have: the rest is for what it works with. */
const PART_OF_FILES = 1 / 3;

/** First bytes of each volume that come from the reserve. */
const RESERVED_BYTES = 256 * KIB;
/** Files count twice: whenever they change, the old ones stay for a while. */
const COPIES = 2;
/** Volumes that the reserve is for: a kubelet runs 110 pods unless it is told otherwise. */
const RESERVED_VOLUMES = 110;
/** Most of the budget that is reserved, where memory is short. */
const MAX_RESERVED_PART = 1 / 2;

/** Memory is had in pages. */
const PAGE_BYTES = 4096;

/** Something of a size. */
interface Sized {
  readonly content: { readonly byteLength: number };
}

/** What has files: a volume. */
export interface FileOwner {
  readonly namespace: string;
}

/** What a volume holds, in bytes. */
interface Claim {
  readonly namespace: string;
  readonly reserved: number;
  readonly pooled: number;
}

/**
 * Keeps the volumes of a node within bounds. A reserve gives each volume its first 256 KiB, a pool the rest; of both
 * a namespace has a third at most. A volume whose namespace has used up its third of the reserve, because it has very many,
 * takes its first bytes from the pool, too.
 */
export class MemoryBudget {
  /** Bytes that all files may have. */
  readonly budgetBytes: number;
  readonly #reserve: FairShares;
  readonly #pool: FairShares;
  readonly #claims = new Map<FileOwner, Claim>();
  /** What volumes have beside their files, in bytes. */
  readonly #kept = new Map<FileOwner, number>();
  /** Volumes whose files are gone: a write that ends later changes nothing. */
  readonly #freed = new WeakSet<FileOwner>();

  /** `limitBytes` of the driver as a whole. */
  constructor(limitBytes: number) {
    this.budgetBytes = Math.floor(limitBytes * PART_OF_FILES);
    const reserved = Math.min(
      RESERVED_VOLUMES * COPIES * RESERVED_BYTES,
      Math.floor(this.budgetBytes * MAX_RESERVED_PART),
    );
    this.#reserve = new FairShares(Math.max(1, reserved));
    this.#pool = new FairShares(Math.max(1, this.budgetBytes - reserved));
  }

  /** Most bytes of one namespace. */
  get shareBytes(): number {
    return this.#reserve.share + this.#pool.share;
  }

  /** Namespaces with the bytes that their files have. */
  get holders(): ReadonlyMap<string, number> {
    const bytes = new Map(this.#reserve.holders);
    for (const [namespace, held] of this.#pool.holders) {
      bytes.set(namespace, (bytes.get(namespace) ?? 0) + held);
    }
    return bytes;
  }

  /**
   * Runs a write of all files of a volume.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL` before anything is written.
   */
  async within<T>(owner: FileOwner, files: readonly Sized[], write: () => Promise<T>): Promise<T> {
    this.#freed.delete(owner);
    const before = this.#bytes(owner);
    const needed = COPIES * bytesOf(files) + this.#keptBytes(owner);
    if (needed > before) this.#grow(owner, needed);
    try {
      const result = await write();
      this.#settle(owner, needed);
      return result;
    } catch (error) {
      this.#settle(owner, before);
      throw error;
    }
  }

  /**
   * Counts what a volume has beside its files: its record, which lies in memory, too.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL`
   */
  keep(owner: FileOwner, bytes: number): void {
    const kept = COPIES * pagesOf(bytes) * PAGE_BYTES;
    this.#grow(owner, this.#bytes(owner) - this.#keptBytes(owner) + kept);
    this.#kept.set(owner, kept);
  }

  /** What is there already, written by a predecessor: files, and what is beside them. */
  adopt(owner: FileOwner, files: number, beside = 0): void {
    this.#kept.set(owner, COPIES * pagesOf(beside) * PAGE_BYTES);
    this.#set(owner, COPIES * (pagesOf(files) + pagesOf(beside)) * PAGE_BYTES);
  }

  /** The files of a volume are gone. */
  free(owner: FileOwner): void {
    this.#freed.add(owner);
    this.#set(owner, this.#keptBytes(owner));
  }

  /** Nothing is left of a volume. */
  forget(owner: FileOwner): void {
    this.#freed.add(owner);
    this.#set(owner, 0);
    this.#claims.delete(owner);
    this.#kept.delete(owner);
  }

  #keptBytes(owner: FileOwner): number {
    return this.#kept.get(owner) ?? 0;
  }

  #bytes(owner: FileOwner): number {
    const { reserved, pooled } = this.#claim(owner);
    return reserved + pooled;
  }

  #claim(owner: FileOwner): Claim {
    return this.#claims.get(owner) ?? { namespace: owner.namespace, reserved: 0, pooled: 0 };
  }

  #grow(owner: FileOwner, bytes: number): void {
    const { namespace, pooled } = this.#claim(owner);
    if (this.#divide(owner, bytes).pooled - pooled > this.#pool.available(namespace)) {
      throw this.#full(namespace);
    }
    this.#set(owner, bytes);
  }

  #settle(owner: FileOwner, bytes: number): void {
    if (!this.#freed.has(owner)) this.#set(owner, bytes);
  }

  #set(owner: FileOwner, bytes: number): void {
    const before = this.#claim(owner);
    const now = this.#divide(owner, bytes);
    move(this.#reserve, before.namespace, now.reserved - before.reserved);
    move(this.#pool, before.namespace, now.pooled - before.pooled);
    this.#claims.set(owner, now);
  }

  /** As much from the reserve as it gives for one volume, the rest from the pool. */
  #divide(owner: FileOwner, bytes: number): Claim {
    const { namespace, reserved: before } = this.#claim(owner);
    const given = before + this.#reserve.available(namespace);
    const reserved = Math.min(bytes, COPIES * RESERVED_BYTES, given);
    return { namespace, reserved, pooled: bytes - reserved };
  }

  #full(namespace: string): VouchsafeError {
    const held = this.holders;
    const all = [...held.values()].reduce((sum, bytes) => sum + bytes, 0);
    return new VouchsafeError(
      'ERR_OUTPUT_FULL',
      `the files and settings of all volumes of this node may have ${mib(this.budgetBytes)}, a third of the driver's memory, and those ` +
        `of one namespace ${mib(this.shareBytes)}, each file twice while it changes; these do not fit: the present ` +
        'files stay; raise the limit of memory of the CSI driver (csi.resources)',
      {
        details: {
          budget_bytes: this.budgetBytes,
          held_bytes: all,
          namespace_bytes: this.shareBytes,
          namespace_held_bytes: held.get(namespace) ?? 0,
        },
      },
    );
  }
}

function move(shares: FairShares, owner: string, units: number): void {
  if (units > 0) shares.hold(owner, units);
  else if (units < 0) shares.giveBack(owner, -units);
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / MIB)} MiB`;
}

function bytesOf(files: readonly Sized[]): number {
  const pages = files.map(({ content }) => pagesOf(content.byteLength));
  return pages.reduce((sum, count) => sum + count, 0) * PAGE_BYTES;
}

function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}
