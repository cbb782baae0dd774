/**
 * Buffer for a body that arrives in pieces.
 */

/** Slabs bound the overhead, however small the pieces are. */
const MIN_SLAB_BYTES = 4096;
const MAX_SLAB_BYTES = 256 * 1024;

/** Collects a body in slabs, whose memory is freed at once instead of by garbage collection. */
export class BodyBuffer {
  #slabs: Buffer<ArrayBuffer>[] = [];
  #used = 0;
  #size = 0;
  #capacity = 0;

  /** Allocated bytes. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Length of the body so far, in bytes. */
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

  /** Returns the whole body and empties the buffer. */
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

  /** Frees the memory; under load, garbage collection would be too late. */
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
