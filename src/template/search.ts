/**
 * String search in linear time. V8's own search takes the product of both lengths for long needles: hours for
 * strings that fit into a template.
 */

import type { WorkBudget } from './work.ts';

/**
 * Finds the occurrences of `needle` in `text`, from left to right, without overlaps. `needle` must not be empty. The
 * constructor charges for the whole search, except for one step for each occurrence.
 *
 * @see Knuth, Morris, Pratt: Fast pattern matching in strings (1977)
 */
export class Search {
  readonly #work: WorkBudget;
  readonly #text: string;
  readonly #needle: string;
  /** For each prefix of the needle: the length of its longest beginning that is also its end. */
  readonly #fallback: Int32Array;
  #at = 0;

  constructor(work: WorkBudget, text: string, needle: string) {
    this.#work = work;
    this.#text = text;
    this.#needle = needle;
    // A single unit is left to indexOf, and a needle longer than the text cannot occur.
    const isTrivial = needle.length === 1 || needle.length > text.length;
    if (!isTrivial) work.make(needle.length * Int32Array.BYTES_PER_ELEMENT);
    work.read(text.length + needle.length);
    this.#fallback = isTrivial ? new Int32Array() : fallbacks(needle);
  }

  /** The index of the next occurrence, or -1. */
  next(): number {
    const [text, needle, fallback] = [this.#text, this.#needle, this.#fallback];
    if (needle.length > text.length) return -1;
    this.#work.step(1);
    if (needle.length === 1) return this.#nextUnit();
    let matched = 0;
    for (let at = this.#at; at < text.length; at += 1) {
      const unit = text.charCodeAt(at);
      while (matched > 0 && unit !== needle.charCodeAt(matched)) {
        matched = fallback[matched - 1] ?? 0;
      }
      if (unit === needle.charCodeAt(matched)) matched += 1;
      if (matched === needle.length) {
        this.#at = at + 1;
        return this.#at - matched;
      }
    }
    this.#at = text.length;
    return -1;
  }

  #nextUnit(): number {
    const found = this.#text.indexOf(this.#needle, this.#at);
    this.#at = found < 0 ? this.#text.length : found + 1;
    return found;
  }
}

/** The number of occurrences of `needle` in `text`, without overlaps. */
export function countOccurrences(work: WorkBudget, text: string, needle: string): number {
  const search = new Search(work, text, needle);
  let count = 0;
  while (search.next() >= 0) count += 1;
  return count;
}

function fallbacks(needle: string): Int32Array {
  const table = new Int32Array(needle.length);
  let matched = 0;
  for (let at = 1; at < needle.length; at += 1) {
    const unit = needle.charCodeAt(at);
    while (matched > 0 && unit !== needle.charCodeAt(matched)) matched = table[matched - 1] ?? 0;
    if (unit === needle.charCodeAt(matched)) matched += 1;
    table[at] = matched;
  }
  return table;
}
