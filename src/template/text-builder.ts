/**
 * Puts a text together from pieces. V8 would keep 32 bytes for each `+=` until somebody reads the result; here
 * pieces become text as they gather. Ring: template.
 */

/** Pieces and UTF-16 units that are held before they become one text. */
const MAX_PIECES = 1024;
const MAX_UNITS = 16 * 1024;

export class TextBuilder {
  readonly #chunks: string[] = [];
  #pieces: string[] = [];
  #units = 0;

  get isEmpty(): boolean {
    return this.#chunks.length === 0 && this.#pieces.length === 0;
  }

  /** All pieces as one text. */
  get text(): string {
    return [...this.#chunks, ...this.#pieces].join('');
  }

  add(piece: string): void {
    if (piece === '') return;
    // A long piece is not copied but at the end.
    if (piece.length >= MAX_UNITS) {
      this.#gather();
      this.#chunks.push(piece);
      return;
    }
    this.#pieces.push(piece);
    this.#units += piece.length;
    if (this.#pieces.length >= MAX_PIECES || this.#units >= MAX_UNITS) this.#gather();
  }

  #gather(): void {
    if (this.#pieces.length > 0) this.#chunks.push(this.#pieces.join(''));
    this.#pieces = [];
    this.#units = 0;
  }
}
