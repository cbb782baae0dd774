/**
 * Bounds the memory of all volumes: their files, records and values. A file on a tmpfs counts as memory of the process that
 * wrote it, and stays when that process is killed for it: without a bound the next driver would be killed, too.
 */
import { VouchsafeError } from '../core/index.ts';
import { FairShares } from '../async/index.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Memory limit that a driver assumes if it knows none, in bytes: the node has one in any case. */
export const ASSUMED_LIMIT_BYTES = 256 * MIB;

/** Part of the driver's memory for files and values; the rest is for the process itself. */
const PART_OF_FILES = 1 / 3;

/** Bytes of each volume's files that come from the reserve. */
const RESERVED_BYTES = 256 * KIB;
/** Files count twice: while they change, the old ones are still there. */
const COPIES = 2;
/** Bytes of the reserve for each volume: its files, and as much again for their values. */
const RESERVED_OF_VOLUME = (COPIES + 1) * RESERVED_BYTES;
/** Volumes that the reserve is for: by default a kubelet runs 110 pods. */
const RESERVED_VOLUMES = 110;
/** Most of the budget that may be reserve, if memory is short. */
const MAX_RESERVED_PART = 1 / 2;

/** A tmpfs allocates whole pages. */
const PAGE_BYTES = 4096;

/** Something of a size. */
interface Sized {
  readonly content: { readonly byteLength: number };
}

/** A volume, as the owner of memory. */
export interface FileOwner {
  readonly namespace: string;
}

/** Memory of a volume, in bytes: its files; its record; values of Vault; responses that are being read. */
interface Parts {
  readonly files: number;
  readonly record: number;
  readonly values: number;
  readonly answers: number;
}

const NOTHING: Parts = { files: 0, record: 0, values: 0, answers: 0 };

/** How the memory of a volume is divided between reserve and pool. */
interface Claim {
  readonly parts: Parts;
  readonly reserved: number;
  readonly pooled: number;
}

const NO_CLAIM: Claim = { parts: NOTHING, reserved: 0, pooled: 0 };

/**
 * Bounds the memory of the volumes of a node. A reserve provides the first 256 KiB of each volume, a pool the rest; a
 * namespace may use at most a third of each. If a namespace with very many volumes has used up its third of the reserve,
 * the next ones take their first bytes from the pool, too.
 */
export class MemoryBudget {
  /** Bytes of all volumes together. */
  readonly budgetBytes: number;
  readonly #reserve: FairShares;
  readonly #pool: FairShares;
  readonly #claims = new Map<FileOwner, Claim>();
  /** Volumes whose files are removed: a write that ends later changes nothing. */
  readonly #freed = new WeakSet<FileOwner>();
  /** Volumes of which nothing is left: an operation that ends later changes nothing. */
  readonly #gone = new WeakSet<FileOwner>();

  /** `limitBytes`: memory limit of the driver. */
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
   * Reserves memory for all files of a volume, and writes them.
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
   * Reserves memory for the record of a volume, which is on a tmpfs, too.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL`
   */
  reserveRecord(owner: FileOwner, bytes: number): void {
    this.#change(owner, 'record', COPIES * pagesOf(bytes) * PAGE_BYTES);
  }

  /**
   * Sets the size of all values of a volume; `what` names the new one, for the error.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL` if it is more than before and does not fit; nothing changes then.
   */
  reserveValues(owner: FileOwner, bytes: number, what: string): void {
    this.#change(owner, 'values', bytes, what);
  }

  /** Sets the size of existing values, whether they fit or not. */
  adoptValues(owner: FileOwner, bytes: number): void {
    this.#set(owner, { ...this.#parts(owner), values: bytes });
  }

  /**
   * Reserves memory for a response of Vault before it is read; the reader releases it.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL`
   */
  reserveAnswer(owner: FileOwner, bytes: number, what: string): void {
    this.#change(owner, 'answers', this.#parts(owner).answers + bytes, what);
  }

  /** Releases memory of {@link reserveAnswer}. */
  releaseAnswer(owner: FileOwner, bytes: number): void {
    const parts = this.#parts(owner);
    this.#set(owner, { ...parts, answers: Math.max(0, parts.answers - bytes) });
  }

  /** Sets the memory of a predecessor's volume, whether it fits or not. */
  adopt(owner: FileOwner, { files = 0, record = 0, values = 0 }: Partial<Parts>): void {
    this.#set(owner, {
      ...NOTHING,
      files: COPIES * pagesOf(files) * PAGE_BYTES,
      record: COPIES * pagesOf(record) * PAGE_BYTES,
      values,
    });
  }

  /** Releases the memory of a volume's files. */
  releaseFiles(owner: FileOwner): void {
    this.#freed.add(owner);
    this.#set(owner, { ...this.#parts(owner), files: 0 });
  }

  /** Releases all memory of a volume of which nothing is left. */
  forget(owner: FileOwner): void {
    this.#set(owner, NOTHING);
    this.#gone.add(owner);
    this.#claims.delete(owner);
  }

  #parts(owner: FileOwner): Parts {
    return (this.#claims.get(owner) ?? NO_CLAIM).parts;
  }

  /** Less always fits; more only if there is room. `what` names what it is for, if that is not the files. */
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

  /** As much from the reserve as a volume may have of it, the rest from the pool. */
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
      `the files, values and settings of all volumes of this node may take ${mib(this.budgetBytes)}, a third of the driver's memory, ` +
        `and those of one namespace ${mib(this.shareBytes)}, each file twice while it changes; ${what === undefined ? 'these do' : `${what} does`} ` +
        'not fit: the present files stay; raise the memory limit of the CSI driver (csi.resources)',
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
