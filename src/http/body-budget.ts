/**
 * One bound for all bodies that a listener has in memory.
 */

/** A share of the budget. */
export interface BodyShare {
  /** Takes or gives back bytes; false where the share itself had to give way. */
  resize(bytes: number): boolean;
  /** Whether its peer is what it waits for: such shares give way to newer ones. */
  isWaiting: boolean;
  release(): void;
}

interface Share extends BodyShare {
  bytes: number;
  readonly evict: () => void;
}

/**
 * Counts the bytes of bodies as they arrive, not as they are announced. Where they are too many, the oldest of those
 * whose peer has still to send or to fetch something gives way: a body of the API server comes at once.
 */
export class BodyBudget {
  readonly #maxBytes: number;
  readonly #bytesOfEach: number;
  /** The oldest come first. */
  readonly #shares = new Set<Share>();
  #bytes = 0;

  /** `bytesOfEach` is what a share takes that holds nothing yet: what there is of a request beside its body. */
  constructor(maxBytes: number, bytesOfEach = 0) {
    this.#maxBytes = maxBytes;
    this.#bytesOfEach = bytesOfEach;
  }

  /** Bytes that are taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Opens a share of an empty body; `evict` is called when it has to give way, which may be at once, and must end what
   * it stands for.
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
