/**
 * What is in an output directory now: read from the disk each time, so that a restarted process knows it too.
 * Ring: output.
 */
import { join } from 'node:path';
import type { Entry, FileSystem } from './file-system.ts';

/** The symlink whose swap replaces all files at once. */
export const DATA_LINK = '..data';
/** The next {@link DATA_LINK} before its rename. */
export const DATA_LINK_TMP = '..data_tmp';
/** Directory of visible links that appear right after the swap. */
export const LINKS_TMP = '..links_tmp';

const GENERATION = /^\.\.\d{4}(_\d\d){5}\.\d{3}_[0-9a-f]{8}$/;

/** The state of an output directory. */
export interface PresentSet {
  /** Name of the directory that holds the present files; undefined where there is none of ours. */
  readonly generation: string | undefined;
  /** The files that a reader can reach, by their path below the output directory. */
  readonly files: ReadonlyMap<string, Entry>;
  /** False where the generation holds more than {@link files}: a write was cut off, or somebody meddled. */
  readonly intact: boolean;
  /** Visible names that are links of ours. */
  readonly links: ReadonlySet<string>;
  /** Names of ours that nothing points to: what a killed predecessor or a failed removal left. */
  readonly leftovers: readonly string[];
  /** All other names. They belong to somebody else. */
  readonly foreign: ReadonlySet<string>;
}

/** The name of a new generation: `..2026_01_31_23_59_59.000_89abcdef`. Sorts by time. */
export function generationName(nowMs: number, suffix: number): string {
  const stamp = new Date(nowMs).toISOString().replace(/[-T:]/g, '_').replace('Z', '');
  return `..${stamp}_${(suffix >>> 0).toString(16).padStart(8, '0')}`;
}

/** The visible name through which a file is reached: the first segment of its path. */
export function visibleName(path: string): string {
  return path.split('/', 1).join('');
}

/** Target of the link that a visible name of ours is. */
export function visibleTarget(name: string): string {
  return `${DATA_LINK}/${name}`;
}

/** Looks at an output directory; never follows a symlink below it, and never trusts where one points. */
export async function readPresentSet(fs: FileSystem, root: string): Promise<PresentSet> {
  const links = new Set<string>();
  const foreign = new Set<string>();
  const ours: string[] = [];
  for (const { name } of await fs.list(root)) {
    const target = await fs.readLink(join(root, name));
    if (target === visibleTarget(name)) links.add(name);
    else if (isOurs(name, target)) ours.push(name);
    else foreign.add(name);
  }
  const generation = await readGeneration(fs, root);
  const found = generation === undefined ? NOTHING : await readFiles(fs, join(root, generation));
  const reachable = [...found.files].filter(([path]) => links.has(visibleName(path)));
  return {
    generation,
    files: new Map(reachable),
    intact: found.regular && reachable.length === found.files.size,
    links,
    leftovers: ours.filter((name) => name !== generation && name !== DATA_LINK),
    foreign,
  };
}

function isOurs(name: string, target: string | undefined): boolean {
  if (name === DATA_LINK) return target !== undefined;
  return GENERATION.test(name) || name === DATA_LINK_TMP || name === LINKS_TMP;
}

/** What `..data` points to, if that is a directory that a writer made beside it. */
async function readGeneration(fs: FileSystem, root: string): Promise<string | undefined> {
  const target = await fs.readLink(join(root, DATA_LINK));
  if (target === undefined || !GENERATION.test(target)) return undefined;
  const entry = await fs.stat(join(root, target));
  return entry?.kind === 'directory' ? target : undefined;
}

interface FoundFiles {
  readonly files: Map<string, Entry>;
  /** Whether there was nothing but files and directories. */
  regular: boolean;
}

const NOTHING: FoundFiles = { files: new Map(), regular: true };

async function readFiles(fs: FileSystem, base: string): Promise<FoundFiles> {
  const found: FoundFiles = { files: new Map(), regular: true };
  const directories = [''];
  for (const directory of directories) {
    for (const { name } of await fs.list(join(base, directory))) {
      const path = directory === '' ? name : `${directory}/${name}`;
      const entry = await fs.stat(join(base, path));
      if (entry?.kind === 'directory') directories.push(path);
      else if (entry?.kind === 'file') found.files.set(path, entry);
      else found.regular = false;
    }
  }
  return found;
}
