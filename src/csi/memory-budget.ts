/**
 * Room for the files of all volumes, and for the values that they are made of. What is written to a tmpfs
 * counts as memory of the process that writes it, and stays when that process is killed for it: the next driver would be killed, too, and the next one.
 */
import { VouchsafeError } from '../core/index.ts';
import { FairShares } from '../async/index.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Memory of a driver that knows of no limit, in bytes: not none, because the node has one. */
export const ASSUMED_LIMIT_BYTES = 256 * MIB;

/** Part of the driver's memory that files and values may have: the rest is for what it works with. */
const PART_OF_FILES = 1 / 3;

/** First bytes of each volume's files that come from the reserve. */
const RESERVED_BYTES = 256 * KIB;
/** Files count twice: whenever they change, the old ones stay for a while. */
const COPIES = 2;
/** What the reserve holds for each volume: its files, and once more for the values that they are made of. */
const RESERVED_OF_VOLUME = (COPIES + 1) * RESERVED_BYTES;
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

/** What a volume has in memory, in bytes: its files; its record beside them; values of Vault; answers that are being read. */
interface Parts {
  readonly files: number;
  readonly record: number;
  readonly values: number;
  readonly answers: number;
}

const NOTHING: Parts = { files: 0, record: 0, values: 0, answers: 0 };

/** Where what a volume has is counted. */
interface Claim {
  readonly parts: Parts;
  readonly reserved: number;
  readonly pooled: number;
}

const NO_CLAIM: Claim = { parts: NOTHING, reserved: 0, pooled: 0 };

/**
 * Keeps the volumes of a node within bounds. A reserve gives each volume its first 256 KiB, a pool the rest; of both
 * a namespace has a third at most. A volume whose namespace has used up its third of the reserve, because it has very many,
 * takes its first bytes from the pool, too.
 */
export class MemoryBudget {
  /** Bytes that everything together may have. */
  readonly budgetBytes: number;
  readonly #reserve: FairShares;
  readonly #pool: FairShares;
  readonly #claims = new Map<FileOwner, Claim>();
  /** Volumes whose files are gone: a write that ends later changes nothing. */
  readonly #freed = new WeakSet<FileOwner>();
  /** Volumes of which nothing is left: what ends later changes nothing. */
  readonly #gone = new WeakSet<FileOwner>();

  /** `limitBytes` of the driver as a whole. */
  constructor(limitBytes: number) {
    this.budgetBytes = Math.floor(limitBytes * PART_OF_FILES);
    const reserved = Math.min(
      RESERVED_VOLUMES * RESERVED_OF_VOLUME,
      Math.floor(this.budgetBytes * MAX_RESERVED_PART),
    );
    this.#reserve = new FairShares(Math.max(1, reserved));
    this.#pool = new FairShares(Math.max(1, this.budgetBytes - reserved));
  }

  /** Most bytes of one namespace. */
  get shareBytes(): number {
    return this.#reserve.share + this.#pool.share;
  }

  /** Namespaces with the bytes that they hold. */
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
    const before = this.#parts(owner).files;
    const needed = COPIES * bytesOf(files);
    this.#change(owner, 'files', Math.max(before, needed));
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
  reserveRecord(owner: FileOwner, bytes: number): void {
    this.#change(owner, 'record', COPIES * pagesOf(bytes) * PAGE_BYTES);
  }

  /**
   * Counts all values of a volume together; `what` is the one that comes.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL` where they are more than before, and do not fit; nothing changes then.
   */
  reserveValues(owner: FileOwner, bytes: number, what: string): void {
    this.#change(owner, 'values', bytes, what);
  }

  /** Counts values that are there already, whether they fit or not. */
  adoptValues(owner: FileOwner, bytes: number): void {
    this.#set(owner, { ...this.#parts(owner), values: bytes });
  }

  /**
   * Counts bytes of an answer, before they are read; whoever has opened it gives them back.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL`
   */
  reserveAnswer(owner: FileOwner, bytes: number, what: string): void {
    this.#change(owner, 'answers', this.#parts(owner).answers + bytes, what);
  }

  /** The bytes of an answer are not in memory any more. */
  releaseAnswer(owner: FileOwner, bytes: number): void {
    const parts = this.#parts(owner);
    this.#set(owner, { ...parts, answers: Math.max(0, parts.answers - bytes) });
  }

  /** What is there already, written by a predecessor: files, a record, and what its values will have. */
  adopt(owner: FileOwner, { files = 0, record = 0, values = 0 }: Partial<Parts>): void {
    this.#set(owner, {
      ...NOTHING,
      files: COPIES * pagesOf(files) * PAGE_BYTES,
      record: COPIES * pagesOf(record) * PAGE_BYTES,
      values,
    });
  }

  /** The files of a volume are gone. */
  releaseFiles(owner: FileOwner): void {
    this.#freed.add(owner);
    this.#set(owner, { ...this.#parts(owner), files: 0 });
  }

  /** Nothing is left of a volume. */
  forget(owner: FileOwner): void {
    this.#set(owner, NOTHING);
    this.#gone.add(owner);
    this.#claims.delete(owner);
  }

  #parts(owner: FileOwner): Parts {
    return (this.#claims.get(owner) ?? NO_CLAIM).parts;
  }

  /** Less is always had; more where there is room. `what` is what it is for, where that is not the files. */
  #change(owner: FileOwner, part: keyof Parts, bytes: number, what?: string): void {
    const { parts, pooled } = this.#claims.get(owner) ?? NO_CLAIM;
    const next = { ...parts, [part]: bytes };
    const isMore = bytes > parts[part];
    const more = this.#divide(owner, next).pooled - pooled;
    if (isMore && more > this.#pool.available(owner.namespace)) {
      throw this.#full(owner.namespace, what);
    }
    this.#set(owner, next);
  }

  #settle(owner: FileOwner, bytes: number): void {
    if (!this.#freed.has(owner)) this.#set(owner, { ...this.#parts(owner), files: bytes });
  }

  #set(owner: FileOwner, parts: Parts): void {
    if (this.#gone.has(owner)) return;
    const before = this.#claims.get(owner) ?? NO_CLAIM;
    const now = this.#divide(owner, parts);
    move(this.#reserve, owner.namespace, now.reserved - before.reserved);
    move(this.#pool, owner.namespace, now.pooled - before.pooled);
    this.#claims.set(owner, now);
  }

  /** As much from the reserve as it gives for one volume, the rest from the pool. */
  #divide(owner: FileOwner, parts: Parts): Claim {
    const bytes = parts.files + parts.record + parts.values + parts.answers;
    const { reserved: before } = this.#claims.get(owner) ?? NO_CLAIM;
    const given = before + this.#reserve.available(owner.namespace);
    const reserved = Math.min(bytes, RESERVED_OF_VOLUME, given);
    return { parts, reserved, pooled: bytes - reserved };
  }

  #full(namespace: string, what: string | undefined): VouchsafeError {
    const held = this.holders;
    const all = [...held.values()].reduce((sum, bytes) => sum + bytes, 0);
    return new VouchsafeError(
      'ERR_OUTPUT_FULL',
      `the files, values and settings of all volumes of this node may have ${mib(this.budgetBytes)}, a third of the driver's memory, ` +
        `and those of one namespace ${mib(this.shareBytes)}, each file twice while it changes; ${what === undefined ? 'these do' : `${what} does`} ` +
        'not fit: the present files stay; raise the limit of memory of the CSI driver (csi.resources)',
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
