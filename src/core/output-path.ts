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

/** No file of a user can have it: {@link outputPathProblem}. */
const VARIABLES = '..env/';

/** The path by which the engine knows the file of an environment variable; it is in a directory of its own. */
export function variablePath(name: string): string {
  return `${VARIABLES}${name}`;
}

/** The variable of a {@link variablePath}; undefined for the path of a delivered file. */
export function variableOf(path: string): string | undefined {
  return path.startsWith(VARIABLES) ? path.slice(VARIABLES.length) : undefined;
}

/** Two names that cannot both be delivered; each has its index in the given list. */
export interface PathClash {
  readonly path: string;
  readonly index: number;
  /** The same name, or the file that would have to be a directory of `path`. */
  readonly other: string;
  readonly otherIndex: number;
}

/** The clashes of names: each name, in the given order, with the first other one that it clashes with. */
export function clashingPaths(paths: readonly string[]): readonly PathClash[] {
  const first = new Map<string, number>();
  for (const [index, path] of paths.entries()) if (!first.has(path)) first.set(path, index);
  return paths.flatMap((path, index) => {
    const candidates = first.get(path) === index ? parentsOf(path) : [path];
    for (const other of candidates) {
      const otherIndex = first.get(other);
      if (otherIndex !== undefined) return [{ path, index, other, otherIndex }];
    }
    return [];
  });
}

/** What is wrong with the first name of a clash: `is also …`. */
export function describeClash({ path, other }: PathClash): string {
  return path === other
    ? 'is also the path of another file'
    : `requires "${other}" to be a directory, and that is the path of another file`;
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
