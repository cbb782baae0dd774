/**
 * What the documents point at is there.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fill } from '../../../.tools/docs/markdown.ts';
import { DOCUMENTS, readText, ROOT } from './readme.ts';

/** Folders whose files are named by their path. */
const PATH = /(?<![\w./-])(?:src|cmd|test|templates|manifests|\.tools)\/[\w./-]*[\w-]/g;

for (const name of DOCUMENTS) {
  const text = readText(name);

  test(`${name} names no file that does not exist`, () => {
    const links = [...text.matchAll(/\]\(([\w./-]+)\)/g)].map(([, path = '']) => path);
    for (const path of [...links, ...(text.match(PATH) ?? [])]) {
      assert.ok(existsSync(`${ROOT}${path}`), path);
    }
  });

  test(`${name} has the headings that it links to`, () => {
    const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => anchorOf(title));
    for (const [, anchor = ''] of text.matchAll(/\]\(#([^)]+)\)/g)) {
      assert.ok(headings.includes(anchor), anchor);
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

test('a section that nobody generates is an error', () => {
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

/** As GitHub makes it. */
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

function barsOf(line: string): number {
  return line.match(/(?<!\\)\|/g)?.length ?? 0;
}
