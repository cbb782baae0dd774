/**
 * Which names a delivered file may have. Pure, because admission refuses with the rule that the writer enforces.
 */

import { isPrintable } from './printable.ts';

/** `NAME_MAX` of Linux, in bytes. */
const MAX_SEGMENT_BYTES = 255;
/** Longest name below the volume, in bytes; leaves room in `PATH_MAX` (4096) for the mount point and the links. */
const MAX_PATH_BYTES = 1024;

/**
 * The rule that a name of a file below the output directory breaks, or undefined when it keeps them all.
 * A good name has one spelling and cannot leave the directory: `app.json`, `tls/server.pem`.
 */
export function outputPathProblem(path: string): string | undefined {
  if (path === '') return 'it is empty';
  // A lone surrogate has no UTF-8 form: two such names would meet on disk.
  if (!path.isWellFormed()) return 'it is not well-formed Unicode';
  if (!isPrintable(path)) return 'it has control characters or others that do not show as they are';
  if (path.includes('\\')) return 'it has a backslash; use / between directories';
  if (path.startsWith('/')) return 'it is absolute; name it relative to the mount path';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `it is longer than ${MAX_PATH_BYTES} bytes`;
  for (const segment of path.split('/')) {
    const problem = segmentProblem(segment);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * The names that cannot stand side by side: equal ones, and a file that is another one's directory.
 * Each is listed once, in the order given.
 */
export function clashingPaths(paths: readonly string[]): string[] {
  const known = new Set<string>();
  const clashing = new Set<string>();
  for (const path of paths) {
    if (known.has(path)) clashing.add(path);
    known.add(path);
  }
  for (const path of known) {
    for (const parent of parentsOf(path)) {
      if (known.has(parent)) clashing.add(parent).add(path);
    }
  }
  return [...known].filter((path) => clashing.has(path));
}

function segmentProblem(segment: string): string | undefined {
  if (segment === '') return 'it has an empty segment or a slash at the end';
  if (segment === '.' || segment === '..') return 'it has a . or .. segment';
  if (segment.startsWith('..')) return 'names that start with .. are reserved';
  if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES) {
    return `a segment is longer than ${MAX_SEGMENT_BYTES} bytes`;
  }
  return undefined;
}

/** The directories above a name. None that is longer than a name may be: no file can be called so. */
function* parentsOf(path: string): Generator<string> {
  for (let end = path.indexOf('/'); end !== -1 && end <= MAX_PATH_BYTES;) {
    yield path.slice(0, end);
    end = path.indexOf('/', end + 1);
  }
}
