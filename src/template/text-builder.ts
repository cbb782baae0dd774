/**
 * Puts a text together from pieces. V8 would keep 32 bytes for each `+=` until somebody reads the result; here
 * pieces become text as they gather.
 */
import { textBytes, type WorkBudget } from './work.ts';

/** Pieces and UTF-16 units that are held before they become one text. */
const MAX_PIECES = 1024;
const MAX_UNITS = 16 * 1024;
/** Matches at once. V8 looks for it in a text that is in one piece, and makes it one. */
const ANYTHING = /^/;

export class TextBuilder {
  readonly #work: WorkBudget;
  readonly #chunks: string[] = [];
  #pieces = 0;
  #gathered = '';

  /** Pieces are charged for by whoever adds them, as part of the result; what is copied on the way is, here. */
  constructor(work: WorkBudget) {
    this.#work = work;
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0 && this.#gathered === '';
  }

  /** All pieces as one text. */
  get text(): string {
    if (this.#chunks.length === 0) return this.#gathered;
    return [...this.#chunks, this.#gathered].join('');
  }

  add(piece: string): void {
    // A long piece is not copied but at the end.
    if (piece.length >= MAX_UNITS) {
      this.#gather();
      this.#chunks.push(piece);
      return;
    }
    this.#gathered += piece;
    this.#pieces += 1;
    if (this.#pieces >= MAX_PIECES || this.#gathered.length >= MAX_UNITS) this.#gather();
  }

  #gather(): void {
    if (this.#gathered === '') return;
    this.#work.make(textBytes(this.#gathered));
    ANYTHING.test(this.#gathered);
    this.#chunks.push(this.#gathered);
    this.#gathered = '';
    this.#pieces = 0;
  }
}
