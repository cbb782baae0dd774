/**
 * Every fault that docs/faults.md promises something for has the test that it names.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { readText, ROOT } from './documents.ts';

const rows = readText('docs/faults.md')
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .slice(2);

test('there are faults', () => assert.ok(rows.length > 30, `${rows.length} rows`));

for (const row of rows) {
  const [fault = '', , bound = '', where = ''] = row.split(/ ?\| ?/).slice(1, -1);
  test(`the fault "${fault}" has a bound and its test`, () => {
    const [, file = '', title = ''] = /^`([^`]+)`: `([^`]+)`$/.exec(where) ?? [];
    assert.ok(existsSync(`${ROOT}${file}`), where);
    assert.ok(readText(file).includes(title), `${file} has no test "${title}"`);
    assert.notEqual(bound, '');
  });
}
