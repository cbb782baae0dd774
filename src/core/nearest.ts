/**
 * Finds the name that was meant by a misspelt one.
 */

/** Only this many characters of a name are compared: the cost is the product of the lengths. */
const MAX_CHARS = 64;

/** The candidate with the fewest edits, ignoring case; undefined if none is similar enough. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: { readonly candidate: string; readonly edits: number } | undefined;
  for (const candidate of candidates) {
    const edits = typoDistance(word, candidate);
    if (edits !== undefined && edits < (best?.edits ?? Infinity)) best = { candidate, edits };
  }
  return best?.candidate;
}

/** Edits between two names; undefined if more than a third of the letters differ. */
export function typoDistance(word: string, candidate: string): number | undefined {
  const [a = '', b = ''] = [word, candidate].map((text) => text.slice(0, MAX_CHARS).toLowerCase());
  const edits = editDistance(a, b);
  return edits <= Math.max(1, candidate.length / 3) ? edits : undefined;
}

/** Letters to insert, delete, replace or swap with their neighbour; one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let before: readonly number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  const at = (cells: readonly number[], index: number): number => cells[index] ?? Infinity;
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = at(row, j - 1) + (a[i] === b[j - 1] ? 0 : 1);
      const isSwapped = a[i] === b[j - 2] && a[i - 1] === b[j - 1];
      const swapped = isSwapped ? at(before, j - 2) + 1 : Infinity;
      next.push(Math.min(replaced, swapped, at(row, j) + 1, at(next, j - 1) + 1));
    }
    [before, row] = [row, next];
  }
  return at(row, b.length);
}
