/**
 * Lists of names in which `*` matches any characters, including slashes.
 */

interface WildcardGlob {
  readonly head: string;
  readonly middle: readonly string[];
  readonly tail: string;
}

/** Characters that are compared in about the time of one step. */
const CHARS_PER_STEP = 64;

const compiled = new WeakMap<readonly string[], Globs>();

/** One list. A lookup takes time proportional to the number of stars and the length of the name. */
export class Globs {
  readonly #exact = new Set<string>();
  readonly #wild: WildcardGlob[] = [];
  /** True if every name matches, including a missing one. */
  readonly matchesAll: boolean;
  #parts = 1;

  constructor(globs: readonly string[]) {
    this.matchesAll = globs.includes('*');
    for (const glob of globs) {
      const [head = '', ...middle] = glob.split('*');
      const tail = middle.pop();
      if (tail === undefined) this.#exact.add(glob);
      else this.#wild.push({ head, middle, tail });
      this.#parts += 1 + middle.length;
    }
  }

  /** The compiled list, cached by identity: the lists of an installation never change. */
  static of(globs: readonly string[]): Globs {
    const known = compiled.get(globs) ?? new Globs(globs);
    compiled.set(globs, known);
    return known;
  }

  matches(name: string): boolean {
    return (
      this.matchesAll ||
      this.#exact.has(name) ||
      this.#wild.some((glob) => matchesWildcard(glob, name))
    );
  }

  /** Whether a glob matches that contains `beginning` literally: no star matches a part of it. */
  matchesFrom(beginning: string, name: string): boolean {
    if (!name.startsWith(beginning)) return false;
    if (this.#exact.has(name)) return true;
    return this.#wild.some(
      (glob) => glob.head.startsWith(beginning) && matchesWildcard(glob, name),
    );
  }

  /** Upper bound of the time to look up `name`, in steps of about ten nanoseconds. */
  stepsFor(name: string): number {
    return this.matchesAll ? 1 : this.#parts * Math.ceil((name.length + 1) / CHARS_PER_STEP);
  }
}

/** Without backtracking: the first match of each part is sufficient. */
function matchesWildcard({ head, middle, tail }: WildcardGlob, name: string): boolean {
  if (!name.startsWith(head)) return false;
  let position = head.length;
  for (const part of middle) {
    const found = name.indexOf(part, position);
    if (found < 0) return false;
    position = found + part.length;
  }
  return name.length - tail.length >= position && name.endsWith(tail);
}
