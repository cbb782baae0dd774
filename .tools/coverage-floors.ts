/** Compares the lines that tests ran, as lcov has them, with floors. */
import { stripTypeScriptTypes } from 'node:module';

/** Lines of a file, a folder or everything. */
export interface Lines {
  readonly found: number;
  readonly hit: number;
}

/** A least share of lines. */
export interface Floor {
  /** A file, or a folder that ends with `/`. */
  readonly path: string;
  /** A folder within it that does not belong to it. */
  readonly except?: string;
  /** In percent, 0 to 100. */
  readonly percent: number;
}

/** What {@link checkFloors} found. */
export interface Coverage {
  /** One line for each floor, and one for each line that is missing where all must run. */
  readonly text: string;
  /** False if a floor is missed. */
  readonly ok: boolean;
}

/** A file of an lcov report. */
interface Covered extends Lines {
  /** Numbers of the lines that no test ran. */
  readonly missing: readonly number[];
}

/** Whether a TypeScript file has anything that runs: a file of types is never loaded. */
export function hasCode(source: string): boolean {
  const code = stripTypeScriptTypes(source).replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, '');
  return /[^\s;]/.test(code.replaceAll(/export\s*\{\s*\}/g, ''));
}

/**
 * Compares a report with floors. Files that no test loads are not in the report: they count with all of their lines.
 *
 * @param lcov - the report; its paths are relative to the project
 * @param sources - text of each file that belongs to the whole, by its path
 */
export function checkFloors(
  lcov: string,
  sources: ReadonlyMap<string, string>,
  floors: readonly Floor[],
): Coverage {
  const covered = parseLcov(lcov);
  const files = [...sources]
    .filter(([path, source]) => covered.has(path) || hasCode(source))
    .map(([path, source]) => [path, covered.get(path) ?? unloaded(source)] as const);
  const rows = floors.map((floor) => checkFloor(floor, files));
  return { text: rows.map(({ text }) => text).join('\n'), ok: rows.every(({ ok }) => ok) };
}

function checkFloor(
  { path, except, percent }: Floor,
  files: readonly (readonly [string, Covered])[],
): Coverage {
  const own = files.filter(
    ([file]) =>
      (path.endsWith('/') ? file.startsWith(path) : file === path) &&
      (except === undefined || !file.startsWith(except)),
  );
  if (own.length === 0) return { text: `${path}: no such file, MISSED`, ok: false };
  const found = own.reduce((sum, [, lines]) => sum + lines.found, 0);
  const hit = own.reduce((sum, [, lines]) => sum + lines.hit, 0);
  const ok = hit * 100 >= found * percent;
  const share = ((hit / found) * 100).toFixed(2);
  const name = except === undefined ? path : `${path} without ${except}`;
  const text = `${name}: ${share} % of ${found} lines (at least ${percent} %${ok ? '' : ', MISSED'})`;
  const missing = percent === 100 ? own.flatMap(([file, lines]) => missingOf(file, lines)) : [];
  return { text: [text, ...missing].join('\n'), ok };
}

function missingOf(file: string, { missing }: Covered): readonly string[] {
  return missing.length === 0 ? [] : [`  not run: ${file}:${rangesOf(missing).join(',')}`];
}

/** Ascending numbers, those that follow each other as `first-last`. */
function rangesOf(numbers: readonly number[]): readonly string[] {
  const starts = numbers.filter((number, index) => numbers[index - 1] !== number - 1);
  const ends = numbers.filter((number, index) => numbers[index + 1] !== number + 1);
  return starts.map((start, index) =>
    ends[index] === start ? `${start}` : `${start}-${ends[index]}`,
  );
}

function unloaded(source: string): Covered {
  const lines = source
    .trimEnd()
    .split('\n')
    .map((_, index) => index + 1);
  return { found: lines.length, hit: 0, missing: lines };
}

function parseLcov(lcov: string): ReadonlyMap<string, Covered> {
  const files = new Map<string, Covered>();
  let missing: number[] = [];
  let [file, found, hit] = ['', 0, 0];
  for (const line of lcov.split('\n')) {
    const [key = '', value = ''] = line.split(/:(.*)/, 2);
    if (key === 'SF') [file, missing] = [value, []];
    else if (key === 'DA' && value.endsWith(',0')) missing.push(Number.parseInt(value, 10));
    else if (key === 'LF') found = Number(value);
    else if (key === 'LH') hit = Number(value);
    else if (key === 'end_of_record') files.set(file, { found, hit, missing });
  }
  return files;
}
