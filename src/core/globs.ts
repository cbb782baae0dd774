/**
 * Lists of names in which `*` stands for any characters, slashes too.
 */

interface WildcardGlob {
  readonly head: string;
  readonly middle: readonly string[];
  readonly tail: string;
}

/** Characters that one comparison looks at for the price of one. */
const CHARS_PER_STEP = 64;

const compiled = new WeakMap<readonly string[], Globs>();

/** One list. Looking a name up takes time by the number of its stars and the length of the name, and no more. */
export class Globs {
  readonly #exact = new Set<string>();
  readonly #wild: WildcardGlob[] = [];
  /** True where every name is in the list, and even none. */
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

  /** The list as it was read last time: those of an installation never change. */
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

  /** Whether one of those matches that write `beginning` out: no star stands for a part of it. */
  matchesFrom(beginning: string, name: string): boolean {
    if (!name.startsWith(beginning)) return false;
    if (this.#exact.has(name)) return true;
    return this.#wild.some(
      (glob) => glob.head.startsWith(beginning) && matchesWildcard(glob, name),
    );
  }

  /** What looking `name` up takes at most, in steps of some ten nanoseconds. */
  stepsFor(name: string): number {
    return this.matchesAll ? 1 : this.#parts * Math.ceil((name.length + 1) / CHARS_PER_STEP);
  }
}

/** Without backtracking: the first place where a part fits is as good as any. */
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
