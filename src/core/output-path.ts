/**
 * The rules for names of delivered files, shared by admission, which denies by them, and the file writer.
 */

import { isPrintable } from './printable.ts';

/** `NAME_MAX` of Linux, in bytes. */
const MAX_SEGMENT_BYTES = 255;
/** Longest path below the volume, in bytes; `PATH_MAX` (4096) also has to fit the mount point and the links. */
const MAX_PATH_BYTES = 1024;

/**
 * The rule that a file name below the output directory breaks, or undefined if it is valid.
 * A valid name has one spelling and cannot leave the directory: `app.json`, `tls/server.pem`.
 */
export function outputPathProblem(path: string): string | undefined {
  if (path === '') return 'it is empty';
  // A lone surrogate has no UTF-8 form: different names would be the same on disk.
  if (!path.isWellFormed()) return 'it is not well-formed Unicode';
  if (!isPrintable(path)) return 'it has control or other unprintable characters';
  if (path.includes('\\')) return 'it has a backslash; use / between directories';
  if (path.startsWith('/')) return 'it is absolute; set a path relative to the mount path';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `it is longer than ${MAX_PATH_BYTES} bytes`;
  for (const segment of path.split('/')) {
    const problem = segmentProblem(segment);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * The names that conflict: equal ones, and a file that is a directory of another one.
 * Each is returned once, in the given order.
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

/** The parent directories of a name, up to the longest valid name. */
function* parentsOf(path: string): Generator<string> {
  for (let end = path.indexOf('/'); end !== -1 && end <= MAX_PATH_BYTES;) {
    yield path.slice(0, end);
    end = path.indexOf('/', end + 1);
  }
}
