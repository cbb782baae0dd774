/**
 * Text that users see is plain English: no word of a list that the glossary replaces (.github/CONTRIBUTING.md). Looked at are the
 * documents, the chart, and every text literal of the code, comments left out; and the titles of the tests.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { readText, ROOT } from './documents.ts';

/** Pattern -> what to write. */
const INSTEAD: readonly (readonly [RegExp, string])[] = [
  [
    /(?<!\bthere )\b(?:is|are) no (?!longer\b|more\b|less\b|such\b)[a-z]/i,
    'is not a valid …, is not an …, is missing',
  ],
  [/(?<!there )\b(?:is|are) none\b/i, 'is not a valid …, is missing'],
  [/\banew\b/i, 'again'],
  [/\b(?:hangs?|hung) off\b/i, 'belongs to'],
  [/\bparted by\b/i, 'separated by, comma-separated'],
  [/\bbeats (?!of\b|=)\w/i, 'takes precedence over'],
  [/\bwhoever\b/i, 'name the subject'],
  [/\bnobody who\b/i, 'name the subject'],
  [/\bin the way of\b/i, 'conflicts with'],
  [
    /\b(?:is|are|was|were|be) told\b(?! to\b)|\btells (?:nobody|who)\b/i,
    'is notified, is reported',
  ],
  [/(?<!connection (?:was )?)\brefuse[sd]?\b/i, 'reject (input), deny (admission)'],
  [/\bodd\b/i, 'unusual: say what'],
];

interface Found {
  readonly place: string;
  readonly text: string;
}

function filesBelow(folder: string, ending: RegExp): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => ending.test(name))
    .map((name) => `${folder}/${name}`);
}

const TITLED = new Set(['test', 'it', 'suite', 'describe']);

/** Whether a literal, or the template that it is a part of, is the title of a test. */
function isTitle(node: ts.Node): boolean {
  if (ts.isTemplateMiddleOrTemplateTail(node)) return isTitle(node.parent.parent);
  const title = ts.isTemplateHead(node) ? node.parent : node;
  const call = title.parent;
  return (
    ts.isCallExpression(call) &&
    call.arguments[0] === title &&
    ts.isIdentifier(call.expression) &&
    TITLED.has(call.expression.text)
  );
}

/** Text literals of a file; import paths and keys in brackets included, they do no harm. */
function literals(
  file: string,
  isWanted: (node: ts.Node) => boolean = () => true,
): readonly Found[] {
  const source = ts.createSourceFile(file, readText(file), ts.ScriptTarget.Latest, true);
  const found: Found[] = [];
  const visit = (node: ts.Node): void => {
    if (
      ts.isStringLiteralLike(node) ||
      ts.isTemplateHead(node) ||
      ts.isTemplateMiddleOrTemplateTail(node)
    ) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
      // A single word is a name.
      if (node.text.includes(' ') && isWanted(node))
        found.push({ place: `${file}:${line + 1}`, text: node.text });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Titles of a file's tests; not those from tables. */
function titles(file: string): readonly Found[] {
  return literals(file, isTitle);
}

/** Lines of a document, without the code in them: names of tests, say. */
function lines(file: string): readonly Found[] {
  return readText(file)
    .split('\n')
    .map((line, index) => ({
      place: `${file}:${index + 1}`,
      text: line.replaceAll(/`[^`]*`/g, ''),
    }));
}

function wordsIn(all: readonly Found[]): readonly string[] {
  return all.flatMap(({ place, text }) =>
    INSTEAD.flatMap(([pattern, better]) => {
      const hit = pattern.exec(text)?.[0];
      return hit === undefined ? [] : [`${place}: "${hit}" (write: ${better})`];
    }),
  );
}

test('texts of the code use no word that the glossary replaces', () => {
  const files = ['src', 'cmd'].flatMap((folder) => filesBelow(folder, /\.ts$/));
  assert.ok(files.length > 300);
  assert.deepEqual(wordsIn(files.flatMap((file) => literals(file))), []);
});

test('the documents use no word that the glossary replaces', () => {
  const documents = [
    'README.md',
    'ARCHITECTURE.md',
    'CHANGELOG.md',
    '.github/SECURITY.md',
    ...filesBelow('docs', /\.(?:md|yaml|txt)$/),
  ];
  assert.deepEqual(wordsIn(documents.flatMap(lines)), []);
});

test('the chart uses no word that the glossary replaces', () => {
  const files = filesBelow('manifests', /\.(?:ya?ml|md|tpl|txt)$/);
  assert.deepEqual(wordsIn(files.flatMap(lines)), []);
});

test('titles of tests use no word that the glossary replaces', () => {
  const found = filesBelow('test', /\.test\.ts$/).flatMap(titles);
  assert.ok(found.length > 1500, `${found.length}`);
  assert.deepEqual(wordsIn(found), []);
});

test('a word that the glossary replaces is found', () => {
  const found = wordsIn([
    { place: 'a', text: '"x" is no SPIFFE ID' },
    { place: 'b', text: 'is no longer valid' },
  ]);
  assert.equal(found.length, 1);
});
