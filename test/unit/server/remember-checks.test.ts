import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rememberChecks } from '../../../src/server/remember-checks.ts';

function counted(): { calls: string[]; check: ReturnType<typeof rememberChecks> } {
  const calls: string[] = [];
  const check = rememberChecks((source, name) => {
    calls.push(`${name}:${source.length}`);
    const problems = source.includes('wrong') ? [{ path: name, message: source }] : [];
    return { problems, dependencies: [] };
  });
  return { calls, check };
}

test('a template is checked once, found wrong or not', () => {
  const { calls, check } = counted();
  for (let time = 0; time < 3; time += 1) {
    assert.deepEqual(check('fine', 'a').problems, []);
    assert.deepEqual(check('wrong', 'a').problems, [{ path: 'a', message: 'wrong' }]);
  }
  assert.deepEqual(calls, ['a:4', 'a:5']);
});

test('name and text are told apart', () => {
  const { calls, check } = counted();
  check('b","c', 'a');
  check('c', 'a","b');
  check('b","c', 'a2');
  assert.equal(calls.length, 3);
});

test('the oldest is forgotten, and long ones are never kept', () => {
  const { calls, check } = counted();
  for (let index = 0; index <= 256; index += 1) check('x', String(index));
  check('x', '256');
  assert.equal(calls.length, 257);
  check('x', '0');
  assert.equal(calls.length, 258);
  check('x'.repeat(8193), 'long');
  check('x'.repeat(8193), 'long');
  assert.equal(calls.length, 260);
});
