/**
 * Room for the files of all volumes. Ring: csi. What is written to a tmpfs counts as memory of who writes it, and stays
 * when that one is killed for it: the next driver would be killed, too, and the next one.
 */
import { VouchsafeError } from '../core/index.ts';

/** Part of the driver's memory that files may have: the rest is for what it works with. */
const SHARE = 1 / 3;

/** Memory is had in pages. */
const PAGE_BYTES = 4096;

const MIB = 1024 * 1024;

/** Something of a size. */
interface Sized {
  readonly content: { readonly byteLength: number };
}

/** Keeps the volumes of a node within bounds. */
export class MemoryBudget {
  readonly #budgetBytes: number;
  readonly #held = new Map<object, number>();

  /** `limitBytes` of the driver; undefined where it has no limit: then nothing is bounded here. */
  constructor(limitBytes: number | undefined) {
    this.#budgetBytes = limitBytes === undefined ? Infinity : limitBytes * SHARE;
  }

  /**
   * Runs a write of all files of a volume. They count twice: whenever they change, the old ones stay for a while.
   *
   * @throws VouchsafeError `ERR_OUTPUT_FULL` before anything is written.
   */
  async within<T>(owner: object, files: readonly Sized[], write: () => Promise<T>): Promise<T> {
    const before = this.#held.get(owner) ?? 0;
    const needed = 2 * bytesOf(files);
    const wanted = Math.max(before, needed);
    if (wanted > before) this.#refuseMore(wanted - before);
    this.#held.set(owner, wanted);
    try {
      const result = await write();
      this.#settle(owner, needed);
      return result;
    } catch (error) {
      this.#settle(owner, before);
      throw error;
    }
  }

  /** The files of a volume are gone. */
  free(owner: object): void {
    this.#held.delete(owner);
  }

  /** A write that ends after its volume holds nothing any more. */
  #settle(owner: object, bytes: number): void {
    if (this.#held.has(owner)) this.#held.set(owner, bytes);
  }

  #refuseMore(bytes: number): void {
    let held = 0;
    for (const one of this.#held.values()) held += one;
    if (held + bytes <= this.#budgetBytes) return;
    throw new VouchsafeError(
      'ERR_OUTPUT_FULL',
      `the files of all volumes of this node may have ${Math.floor(this.#budgetBytes / MIB)} MiB, a third of the ` +
        `driver's memory, each file twice while it changes; these do not fit: the present files stay; raise the limit ` +
        `of memory of the CSI driver (csi.resources)`,
      { details: { budget_bytes: Math.floor(this.#budgetBytes), held_bytes: held } },
    );
  }
}

function bytesOf(files: readonly Sized[]): number {
  const pages = files.map(({ content }) => Math.ceil(content.byteLength / PAGE_BYTES));
  return pages.reduce((sum, count) => sum + count, 0) * PAGE_BYTES;
}
