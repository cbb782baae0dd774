/** A list in a sentence: `a, b and 3 more`. Names after the first `most` are only counted. */
export function listUpTo(names: readonly string[], most: number): string {
  const more = names.length - most;
  return `${names.slice(0, most).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
