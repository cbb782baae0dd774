/**
 * What the documents point at exists.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { anchorOf, fill } from '../../../.tools/docs/markdown.ts';
import { DOCUMENTS, readText, ROOT } from './documents.ts';

/** Folders whose files are named by their path. */
const PATH = /(?<![\w./-])(?:src|cmd|test|templates|manifests|docs|\.tools)\/[\w./-]*[\w-]/g;

/** A link that has no scheme. */
const LINK = /\]\(([\w./-]*)(?:#([^)]+))?\)/g;

for (const name of DOCUMENTS) {
  const text = readText(name);

  test(`${name} names no file that does not exist`, () => {
    const linked = linksOf(name).map(({ path }) => path);
    for (const path of [...linked, ...(withoutTargets(text).match(PATH) ?? [])]) {
      assert.ok(existsSync(`${ROOT}${path}`), path);
    }
  });

  test(`${name} links to headings that exist`, () => {
    for (const { path, anchor } of linksOf(name)) {
      if (anchor !== '') assert.ok(anchorsOf(path).includes(anchor), `${path}#${anchor}`);
    }
  });

  test(`${name} has no table row with a missing cell`, () => {
    const lines = text.split('\n');
    for (const [index, line] of lines.entries()) {
      const before = lines[index - 1] ?? '';
      if (!line.startsWith('| ') || !before.startsWith('| ')) continue;
      assert.equal(barsOf(line), barsOf(before), `${name}:${index + 1}`);
    }
  });
}

test('the README is short', () => {
  assert.ok(
    readText('README.md').split('\n').length <= 251,
    'at most 250 lines: move details to docs/',
  );
});

test('a section that is not generated is an error', () => {
  const document = '<!-- generated: a -->\n<!-- end -->';
  assert.equal(
    fill(document, new Map([['a', 'text']])),
    '<!-- generated: a -->\n\ntext\n\n<!-- end -->',
  );
  assert.throws(() => fill(document, new Map()), /section "a"/);
});

test('filling a filled document changes nothing', () => {
  const sections = new Map([['a', '| x | y |']]);
  const once = fill('<!-- generated: a -->\n<!-- end -->\nrest', sections);
  assert.equal(fill(once, sections), once);
});

/** Links within the project; the path is from the project's directory. */
function linksOf(name: string): readonly { readonly path: string; readonly anchor: string }[] {
  return [...readText(name).matchAll(LINK)].map(([, file = '', anchor = '']) => {
    return { path: file === '' ? name : join(dirname(name), file), anchor };
  });
}

function withoutTargets(text: string): string {
  return text.replaceAll(LINK, ']');
}

function anchorsOf(name: string): readonly string[] {
  return [...readText(name).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => anchorOf(title));
}

function barsOf(line: string): number {
  return line.match(/(?<!\\)\|/g)?.length ?? 0;
}
