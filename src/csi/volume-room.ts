/**
 * Where the values of one volume are counted, and answers of Vault while they are read.
 */
import type { ValuesRoom } from '../agent/index.ts';
import { VouchsafeError } from '../core/index.ts';
import type { FileOwner, MemoryBudget } from './memory-budget.ts';

const MIB = 2 ** 20;

/** Part of the memory of the volume's namespace; what `room` of `buildAgent` asks for. */
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
  take(bytes: number, path: string): void {
    this.#budget.takeAnswer(this.#owner, bytes, `the answer of Vault for ${path}`);
  }

  giveBack(bytes: number): void {
    this.#budget.giveBackAnswer(this.#owner, bytes);
  }

  /** @throws VouchsafeError `ERR_TEMPLATE_LIMIT`, `ERR_OUTPUT_FULL` */
  hold({ valueBytes, heldBytes }: { valueBytes: number; heldBytes: number }, label: string): void {
    if (valueBytes > this.#maxBytes) {
      const most = `${Math.floor(this.#maxBytes / MIB)} MiB`;
      const text = `the values of one volume may have ${most} together, and ${label} does not fit; ask for fewer or shorter ones`;
      throw new VouchsafeError('ERR_TEMPLATE_LIMIT', text, { details: { secret: label } });
    }
    this.#budget.keepValues(this.#owner, heldBytes, label);
  }

  adopt({ heldBytes }: { heldBytes: number }): void {
    this.#budget.adoptValues(this.#owner, heldBytes);
  }
}
