/**
 * The rings of ARCHITECTURE.md, read from the table in eslint.config.js that the linter enforces.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { code, table } from './markdown.ts';

/** Folder -> the folders that it may import. A folder without a rule joins the others. */
export function rings(root: string): string {
  const rules = mayImport(readFileSync(join(root, 'eslint.config.js'), 'utf8'));
  const folders = readdirSync(join(root, 'src')).sort();
  const rows = folders.map((folder) => {
    const allowed = rules.get(folder);
    const names = allowed?.map(code).join(', ');
    return [code(`src/${folder}`), names === undefined ? 'any' : names || 'none'];
  });
  return table(['folder', 'may import'], rows);
}

/** Reads lines such as `  vault: ['core', 'async'],`. */
function mayImport(source: string): ReadonlyMap<string, readonly string[]> {
  const [, body = ''] = /const MAY_IMPORT = \{([^}]*)\}/.exec(source) ?? [];
  const lines = [...body.matchAll(/^ *'?([\w-]+)'?: \[([^\]]*)\],$/gm)];
  if (lines.length === 0) throw new Error('eslint.config.js has no table MAY_IMPORT');
  return new Map(
    lines.map(([, folder = '', list = '']) => {
      return [folder, [...list.matchAll(/'([\w-]+)'/g)].map(([, name = '']) => name)] as const;
    }),
  );
}
