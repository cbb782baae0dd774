/**
 * Counts the values of one volume, and responses of Vault while they are read, in the memory budget of the driver.
 */
import type { ValuesRoom } from '../agent/index.ts';
import { VouchsafeError } from '../core/index.ts';
import type { FileOwner, MemoryBudget } from './memory-budget.ts';

const MIB = 2 ** 20;

/** The `room` of `buildAgent` for one volume: a part of the memory of its namespace. */
export class VolumeRoom implements ValuesRoom {
  readonly #budget: MemoryBudget;
  readonly #owner: FileOwner;
  readonly #maxBytes: number;

  /** `maxBytes` of all values of the volume together. */
  constructor(budget: MemoryBudget, owner: FileOwner, maxBytes: number) {
    this.#budget = budget;
    this.#owner = owner;
    this.#maxBytes = maxBytes;
  }

  /** @throws VouchsafeError `ERR_OUTPUT_FULL` */
  reserve(bytes: number, path: string): void {
    this.#budget.reserveAnswer(this.#owner, bytes, `the response of Vault for ${path}`);
  }

  release(bytes: number): void {
    this.#budget.releaseAnswer(this.#owner, bytes);
  }

  /** @throws VouchsafeError `ERR_TEMPLATE_LIMIT`, `ERR_OUTPUT_FULL` */
  hold({ valueBytes, heldBytes }: { valueBytes: number; heldBytes: number }, label: string): void {
    if (valueBytes > this.#maxBytes) {
      const most = `${Math.floor(this.#maxBytes / MIB)} MiB`;
      const text = `all values of one volume may take ${most} together, and ${label} does not fit; use fewer or shorter values`;
      throw new VouchsafeError('ERR_TEMPLATE_LIMIT', text, { details: { secret: label } });
    }
    this.#budget.reserveValues(this.#owner, heldBytes, label);
  }

  adopt({ heldBytes }: { heldBytes: number }): void {
    this.#budget.adoptValues(this.#owner, heldBytes);
  }
}
