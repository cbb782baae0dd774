/**
 * The step of the gate that finds unused code, on small trees: an export, a file or a package that nothing uses.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { ROOT } from '../docs/documents.ts';

const KNIP = join(ROOT, 'node_modules/knip/bin/knip.js');
const CONFIG = '.tools/knip.json';

/** A tree in which everything is used. */
const CLEAN: Readonly<Record<string, string>> = {
  'package.json': '{ "name": "tree", "type": "module", "dependencies": { "jose": "6.0.0" } }',
  'cmd/agent/main.ts': "import { run } from '../../src/core/index.ts';\nrun();\n",
  'cmd/image/main.ts': "import '../agent/main.ts';\n",
  '.tools/check.ts': 'process.exitCode = 0;\n',
  'src/core/index.ts': "export { run } from './run.ts';\n",
  'src/core/run.ts':
    "import { jwtVerify } from 'jose';\nexport const checked = 1;\nexport function run(): unknown {\n  return [checked, jwtVerify];\n}\n",
  'test/unit/run.test.ts':
    "import { checked } from '../../src/core/run.ts';\nchecked.toString();\n",
};

/** What the step reports of a tree: `exports src/a.ts: name`. */
function unusedIn(t: TestContext, files: Readonly<Record<string, string>>): readonly string[] {
  const directory = tempDirectory(t);
  for (const [path, text] of Object.entries({ ...CLEAN, ...files })) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  cpSync(join(ROOT, CONFIG), join(directory, CONFIG));
  const args = [KNIP, '--directory', directory, '--config', CONFIG, '--reporter', 'json'];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(stderr, '');
  const { issues } = JSON.parse(stdout) as Report;
  return issues.flatMap(({ file, ...kinds }) =>
    Object.entries(kinds).flatMap(([kind, found]) =>
      found.map(({ name }) => `${kind} ${file}: ${name}`),
    ),
  );
}

/** The part of the report that is read. */
interface Report {
  readonly issues: readonly ({ readonly file: string } & Readonly<
    Record<string, readonly { readonly name: string }[]>
  >)[];
}

test('what a program, a tool or a test imports is used', (t) => {
  assert.deepEqual(unusedIn(t, {}), []);
});

test('an export that nothing imports is found, of a value and of a type', (t) => {
  const run = `${CLEAN['src/core/run.ts']}export const spare = 1;\nexport interface Spare { readonly a: 1 }\n`;
  assert.deepEqual(unusedIn(t, { 'src/core/run.ts': run }), [
    'exports src/core/run.ts: spare',
    'types src/core/run.ts: Spare',
  ]);
});

test('an export that its own file alone uses is found', (t) => {
  const run =
    "import { jwtVerify } from 'jose';\nexport const checked = 1;\nexport const inner = 2;\nexport const run = (): unknown => [inner, jwtVerify];\n";
  assert.deepEqual(unusedIn(t, { 'src/core/run.ts': run }), ['exports src/core/run.ts: inner']);
});

test('a name that an index.ts passes on to nobody is found', (t) => {
  const index = "export { checked, run } from './run.ts';\n";
  assert.deepEqual(unusedIn(t, { 'src/core/index.ts': index }), [
    'exports src/core/index.ts: checked',
  ]);
});

test('a file that nothing imports is found', (t) => {
  const found = unusedIn(t, { 'src/core/alone.ts': 'export const alone = 1;\n' });
  assert.deepEqual(found, ['files src/core/alone.ts: src/core/alone.ts']);
});

test('a package that nothing imports is found, and one that is not listed', (t) => {
  const json = '{ "name": "tree", "type": "module", "dependencies": { "yaml": "2.0.0" } }';
  assert.deepEqual(unusedIn(t, { 'package.json': json }).toSorted(), [
    'dependencies package.json: yaml',
    'unlisted src/core/run.ts: jose',
  ]);
});

test('the gate runs the step', () => {
  assert.match(readFileSync(join(ROOT, '.tools/check.ts'), 'utf8'), /knip\/bin\/knip\.js/);
});
