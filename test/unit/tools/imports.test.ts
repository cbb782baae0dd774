/**
 * How the files of src import each other, types included: no circles, and nothing of another folder but its index.ts.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../docs/documents.ts';

/** `from './x.ts'`, `import './x.ts'` and `import('./x.ts')`. */
const RELATIVE_IMPORT = /\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g;

/** Beside an index.ts: what processes that render need of src/vault, without its client. */
const ENTRY_POINTS: readonly string[] = ['src/vault/response.ts'];

const files = globSync('src/**/*.ts', { cwd: ROOT }).filter((path) => !path.endsWith('.d.ts'));
const imports = new Map(files.map((path) => [path, importsOf(path)]));

function importsOf(path: string): readonly string[] {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const targets = [...text.matchAll(RELATIVE_IMPORT)].map(([, to = '']) => join(dirname(path), to));
  return targets.filter((target) => target.startsWith('src/') && target.endsWith('.ts'));
}

/** The folders of a file, outermost first: `src/a`, `src/a/b`. */
function foldersOf(path: string): readonly string[] {
  const names = dirname(path).split('/');
  return names.map((_, index) => names.slice(0, index + 1).join('/')).slice(1);
}

/** A path of imports that comes back to where it started, if there is one. */
function circle(): readonly string[] {
  const settled = new Set<string>();
  const visit = (path: string, above: readonly string[]): readonly string[] => {
    if (above.includes(path)) return [...above.slice(above.indexOf(path)), path];
    if (settled.has(path)) return [];
    for (const target of imports.get(path) ?? []) {
      const found = visit(target, [...above, path]);
      if (found.length > 0) return found;
    }
    settled.add(path);
    return [];
  };
  for (const path of files) {
    const found = visit(path, []);
    if (found.length > 0) return found;
  }
  return [];
}

test('the walk sees imports of values, of types and at run time', () => {
  assert.ok(files.length > 200);
  assert.ok(imports.get('src/admission/review.ts')?.includes('src/core/index.ts'));
  assert.ok(imports.get('src/template/fault.ts')?.includes('src/template/position.ts'));
  assert.ok(imports.get('src/cli/program.ts')?.includes('src/cli/inject.ts'));
});

test('no file imports itself by way of others', () => {
  assert.deepEqual(circle(), []);
});

test('other folders are imported by their index.ts', () => {
  const deep = files.flatMap((path) => {
    const own = foldersOf(path);
    return (imports.get(path) ?? []).flatMap((target) => {
      const [foreign] = foldersOf(target).filter(
        (folder) => !own.includes(folder) && existsSync(join(ROOT, folder, 'index.ts')),
      );
      if (foreign === undefined || target === `${foreign}/index.ts`) return [];
      return ENTRY_POINTS.includes(target) ? [] : [`${path} imports ${target}`];
    });
  });
  assert.deepEqual(deep, []);
});
