/**
 * Path patterns of policies and of SPIFFE roles: `*` at the end for any rest, `+` for one segment.
 */

/** Whether a path matches a pattern. A pattern without wildcards matches only itself. */
export function fitsPattern(pattern: string, path: string): boolean {
  const open = pattern.endsWith('*');
  const expected = (open ? pattern.slice(0, -1) : pattern).split('/');
  const given = path.split('/');
  if (open ? given.length < expected.length : given.length !== expected.length) return false;
  return expected.every((segment, index) => {
    const actual = given[index] ?? '';
    if (segment === '+') return true;
    return open && index === expected.length - 1 ? actual.startsWith(segment) : actual === segment;
  });
}
