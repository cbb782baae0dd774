/**
 * One limit for all bodies that a listener has in memory.
 */

/** A share of the budget. */
export interface BodyShare {
  /** Changes the size of the share; false where the share itself was evicted. */
  resize(bytes: number): boolean;
  /** Whether it waits for its peer; only such shares are evicted for others. */
  isWaiting: boolean;
  release(): void;
}

interface Share extends BodyShare {
  bytes: number;
  readonly evict: () => void;
}

/**
 * Counts bytes when they arrive, not when they are announced. Above the limit, the oldest share is evicted whose peer
 * has yet to send or to read something: the API server sends its bodies at once.
 */
export class BodyBudget {
  readonly #maxBytes: number;
  readonly #bytesOfEach: number;
  /** Oldest first. */
  readonly #shares = new Set<Share>();
  #bytes = 0;

  /** `bytesOfEach` is the size of a share without a body: headers and other memory of the request. */
  constructor(maxBytes: number, bytesOfEach = 0) {
    this.#maxBytes = maxBytes;
    this.#bytesOfEach = bytesOfEach;
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Opens a share without a body. `evict` is called when the share is evicted, possibly at once, and must end the
   * request.
   */
  open(evict: () => void): BodyShare {
    const share: Share = {
      bytes: 0,
      isWaiting: true,
      evict,
      resize: (bytes) => this.#resize(share, bytes),
      release: () => this.#release(share),
    };
    this.#shares.add(share);
    if (!share.resize(0)) evict();
    return share;
  }

  #resize(share: Share, bytes: number): boolean {
    if (!this.#shares.has(share)) return false;
    const all = this.#bytesOfEach + bytes;
    this.#bytes += all - share.bytes;
    share.bytes = all;
    while (this.#bytes > this.#maxBytes) {
      const victim = this.#oldestWaiting() ?? share;
      this.#release(victim);
      if (victim === share) return false;
      victim.evict();
    }
    return true;
  }

  #oldestWaiting(): Share | undefined {
    for (const share of this.#shares) if (share.isWaiting && share.bytes > 0) return share;
    return undefined;
  }

  #release(share: Share): void {
    if (!this.#shares.delete(share)) return;
    this.#bytes -= share.bytes;
    share.bytes = 0;
  }
}
