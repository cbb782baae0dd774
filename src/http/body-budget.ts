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
  /** The oldest come first. */
  readonly #shares = new Set<Share>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Opens a share of nothing; `evict` is called when it has to give way, and must end what it stands for. */
  open(evict: () => void): BodyShare {
    const share: Share = {
      bytes: 0,
      isWaiting: true,
      evict,
      resize: (bytes) => this.#resize(share, bytes),
      release: () => this.#release(share),
    };
    this.#shares.add(share);
    return share;
  }

  #resize(share: Share, bytes: number): boolean {
    if (!this.#shares.has(share)) return false;
    this.#bytes += bytes - share.bytes;
    share.bytes = bytes;
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
