/**
 * The documents as tests read them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The project's directory, with a slash at the end. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Every page below `docs/`, by its path below the project. */
const PAGES = readdirSync(`${ROOT}docs`, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .sort()
  .map((name) => `docs/${name}`);

/** The documents of the project, whose links are checked. */
export const DOCUMENTS: readonly string[] = [
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'manifests/vouchsafe/README.md',
  ...PAGES,
];

/** The user's manual: the README and every page, one after the other. */
export const MANUAL = ['README.md', ...PAGES].map(readText).join('\n');

/** The text of a file, by its path below the project. */
export function readText(path: string): string {
  return readFileSync(`${ROOT}${path}`, 'utf8');
}

/** Rows of every table whose first column has this heading, without the code marks of the cells. */
export function rowsOf(heading: string, document = MANUAL): readonly (readonly string[])[] {
  const rows: (readonly string[])[] = [];
  let isWanted = false;
  for (const line of document.split('\n')) {
    const cells = cellsOf(line);
    if (cells.length === 0) isWanted = false;
    else if (cells[0] === heading) isWanted = true;
    else if (isWanted && !/^-+$/.test(cells[0] ?? '')) rows.push(cells);
  }
  return rows;
}

function cellsOf(line: string): readonly string[] {
  if (!line.startsWith('|')) return [];
  const cells = line.split(/(?<!\\)\|/).slice(1, -1);
  return cells.map((cell) =>
    cell
      .trim()
      .replaceAll('\\|', '|')
      .replace(/^`([^`]*)`$/, '$1'),
  );
}

/** Fenced blocks of a language. */
export function blocksOf(language: string, document = MANUAL): readonly string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm');
  return [...document.matchAll(fence)].map(([, text = '']) => text);
}

/** Every TypeScript file below a folder of the project. */
export function sourcesOf(folder: string): readonly string[] {
  return readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`);
}
