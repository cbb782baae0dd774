import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ShowConsole } from '../../../../src/dev/show/console.ts';
import { needsOf } from '../../../../src/dev/show/needs.ts';
import { agentConfig, templateFile } from '../../../helpers/agent-harness.ts';
import { tempDirectory } from '../../../helpers/temp-directory.ts';

const CONFIG = agentConfig({
  files: [
    { name: 'app', secret: 'kv/app' },
    { name: 'opt', secret: 'kv/opt#pw', optional: true },
    templateFile('both', '{{#if (optionalSecret "kv/app")}}{{optionalSecret "kv/other#x"}}{{/if}}'),
  ],
});

test('a file that does not exist is printed as that', async (t) => {
  const directory = tempDirectory(t);
  mkdirSync(join(directory, 'set'));
  writeFileSync(join(directory, 'set', 'app'), 'text');
  symlinkSync('set', join(directory, '..data'));
  const lines: string[] = [];
  const console = new ShowConsole(
    (line) => lines.push(line.trim()),
    (_, text) => [text],
  );
  await console.files(CONFIG, directory, ['app', 'opt']);
  assert.deepEqual(lines, ['app (mode 0440)', 'text', 'opt (no file: its secret is absent)']);
});

test('optional secrets are among those that a pod reads, and required where one use is', async () => {
  const needs = await needsOf(CONFIG.files, () => Promise.reject(new Error('no such file')));
  const found = needs.map(({ dependency, keys }) => [dependency, [...keys]]);
  assert.deepEqual(found, [
    [{ kind: 'read', path: 'kv/app' }, []],
    [{ kind: 'read', path: 'kv/opt', optional: true }, ['pw']],
    [{ kind: 'read', path: 'kv/other', optional: true }, ['x']],
  ]);
});
