/**
 * A body as it comes in.
 */

/** However small the pieces are that a body comes in, its price is known. */
const MIN_SLAB_BYTES = 4096;
const MAX_SLAB_BYTES = 256 * 1024;

/** Collects the pieces of a body in slabs, and gives their memory back at once instead of some day. */
export class BodyBuffer {
  #slabs: Buffer<ArrayBuffer>[] = [];
  #used = 0;
  #size = 0;
  #capacity = 0;

  /** Bytes of memory that it has. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Bytes that it holds. */
  get size(): number {
    return this.#size;
  }

  /** Adds a copy of a piece. */
  append(piece: Buffer): void {
    let taken = 0;
    while (taken < piece.length) {
      const slab = this.#slabWithRoom();
      const copied = piece.copy(slab, this.#used, taken);
      taken += copied;
      this.#used += copied;
    }
    this.#size += piece.length;
  }

  /** The whole body, which leaves this buffer empty. */
  take(): Buffer {
    const [first, second] = this.#slabs;
    if (first !== undefined && second === undefined) {
      this.#slabs = [];
      return first.subarray(0, this.#size);
    }
    const whole = Buffer.concat(this.#slabs, this.#size);
    this.clear();
    return whole;
  }

  /** Gives the memory back; collecting garbage might take as long as a crowd needs to fill it again. */
  clear(): void {
    for (const { buffer } of this.#slabs) buffer.transfer(0);
    this.#slabs = [];
    this.#used = this.#size = this.#capacity = 0;
  }

  #slabWithRoom(): Buffer {
    const last = this.#slabs.at(-1);
    if (last !== undefined && this.#used < last.length) return last;
    const bytes = Math.min(MAX_SLAB_BYTES, Math.max(MIN_SLAB_BYTES, this.#capacity));
    const slab = Buffer.allocUnsafeSlow(bytes);
    this.#slabs.push(slab);
    this.#capacity += bytes;
    this.#used = 0;
    return slab;
  }
}
