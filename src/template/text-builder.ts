/**
 * Concatenates strings. V8 keeps 32 bytes for each `+=` until the result is read; here pieces are flattened as
 * they are added.
 */
import { textBytes, type WorkBudget } from './work.ts';

/** Pieces and UTF-16 units that are collected before they are flattened. */
const MAX_PIECES = 1024;
const MAX_UNITS = 16 * 1024;
/** Always matches at once. V8 flattens a string before it runs a regular expression on it. */
const ANYTHING = /^/;

export class TextBuilder {
  readonly #work: WorkBudget;
  readonly #chunks: string[] = [];
  #pieces = 0;
  #gathered = '';

  /** The caller charges for the pieces as part of the result; only intermediate copies are charged for here. */
  constructor(work: WorkBudget) {
    this.#work = work;
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0 && this.#gathered === '';
  }

  /** All pieces as one string. */
  get text(): string {
    if (this.#chunks.length === 0) return this.#gathered;
    return [...this.#chunks, this.#gathered].join('');
  }

  add(piece: string): void {
    // A long piece is copied only at the end.
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
