/**
 * The lists of the manual are those of the code, name by name.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { help } from '../../../.tools/docs/commands.ts';
import { isRead, leaves } from '../../../.tools/docs/tables.ts';
import { REASONS } from '../../../src/admission/index.ts';
import { AGENT_CONFIG_SCHEMA } from '../../../src/config/agent/index.ts';
import { ANNOTATIONS } from '../../../src/config/annotations/index.ts';
import { INSTALLATION_SCHEMA } from '../../../src/config/installation/index.ts';
import { ERROR_TABLE, EXIT } from '../../../src/core/index.ts';
import { TEMPLATE_HELPERS } from '../../../src/template/index.ts';
import { MANUAL, ROOT, readText, rowsOf, sourcesOf } from './documents.ts';

function names(heading: string): readonly string[] {
  return rowsOf(heading).map(([name = '']) => name);
}

test('annotations have their names, defaults and levels', () => {
  const written = rowsOf('annotation').map(([name, , , given, levels]) => [name, given, levels]);
  const known = ANNOTATIONS.map(({ name, default: given, levels }) => {
    const text = given.replace(/^`([^`]*)`$/, '$1');
    return [name, text, name.includes('<') ? undefined : levels.join(', ')];
  });
  assert.deepEqual(written, known);
});

test('errors have their retry class and their exit code', () => {
  const page = readText('docs/reference/errors.md').split(/^### /m).slice(1);
  const written = page.map((text) => {
    const [, code, retry, exit] =
      /^(ERR_\w+)\n[^]*\nRetry: `(\w+)`. Exit code: `(\d+)`/.exec(text) ?? [];
    return [code, retry, exit];
  });
  const known = Object.entries(ERROR_TABLE).map(([code, { retry, exit }]) => {
    return [code, retry, String(exit)];
  });
  assert.deepEqual(written, known);
});

test('every exit code is there', () => {
  assert.deepEqual(names('exit code'), Object.values(EXIT).map(String));
});

test('every helper of templates is there', () => {
  const known = TEMPLATE_HELPERS.map(({ usage }) => usage);
  assert.deepEqual(names('helper'), known);
});

test('keys are those of AgentConfig and of the values', () => {
  const known = [...leaves(AGENT_CONFIG_SCHEMA), ...leaves(INSTALLATION_SCHEMA).filter(isRead)];
  assert.deepEqual(
    names('key'),
    known.map(({ path }) => path),
  );
  assert.ok(known.length > 60, 'the schemas have lost their keys');
});

test('metrics are those that the sources name', () => {
  const found = sourcesOf('src').flatMap((path) => readText(path).match(/'vouchsafe_\w+'/g) ?? []);
  const known = found.map((name) => name.slice(1, -1));
  assert.deepEqual([...names('metric')].sort(), [...new Set(known)].sort());
});

test('reasons are those of admission', () => {
  assert.deepEqual(names('reason'), Object.keys(REASONS));
});

test('formats are those of templates/', () => {
  const known = ['env', 'json', 'properties', 'raw', 'yaml'];
  assert.deepEqual([...names('format')].sort(), known);
  for (const name of known) assert.ok(readText(`templates/${name}.hbs`).length > 0);
});

test('every flag of every command is there', async () => {
  const commands = ['inject', 'explain', 'render', 'dev', 'agent'];
  const printed = await help(ROOT, commands);
  const flags = new Set(printed.match(/--[a-z][a-z-]+/g));
  assert.ok(flags.size > 10);
  for (const flag of flags) assert.ok(MANUAL.includes(flag), flag);
});

for (const [program, heading] of [
  ['webhook', 'flag'],
  ['csi', 'flag of the driver'],
  ['mounter', 'flag of the mounter'],
] as const) {
  test(`flags of the process ${program} are those that it takes`, () => {
    const words = [`cmd/${program}/main.ts`, '--wrong'];
    const { stderr, status } = spawnSync(process.execPath, words, { cwd: ROOT, encoding: 'utf8' });
    assert.equal(status, EXIT.usage);
    const known = stderr.slice(stderr.indexOf('usage:')).match(/--[a-z-]+/g) ?? [];
    const written = rowsOf(heading).flatMap(([flags = '']) => flags.match(/--[a-z-]+/g) ?? []);
    assert.deepEqual([...written].sort(), [...known].sort());
  });
}
