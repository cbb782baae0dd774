import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheTemplateChecks } from '../../../src/webhook/template-check-cache.ts';

function counted(): { calls: string[]; check: ReturnType<typeof cacheTemplateChecks> } {
  const calls: string[] = [];
  const check = cacheTemplateChecks((source, name) => {
    calls.push(`${name}:${source.length}`);
    const problems = source.includes('wrong') ? [{ path: name, message: source }] : [];
    return { problems, dependencies: [] };
  });
  return { calls, check };
}

test('a template is checked once, valid or not', () => {
  const { calls, check } = counted();
  for (let time = 0; time < 3; time += 1) {
    assert.deepEqual(check('fine', 'a').problems, []);
    assert.deepEqual(check('wrong', 'a').problems, [{ path: 'a', message: 'wrong' }]);
  }
  assert.deepEqual(calls, ['a:4', 'a:5']);
});

test('results are cached by name and text', () => {
  const { calls, check } = counted();
  check('b","c', 'a');
  check('c', 'a","b');
  check('b","c', 'a2');
  assert.equal(calls.length, 3);
});

test('a long template is cached, too; the oldest are evicted', () => {
  const { calls, check } = counted();
  const long = 'x'.repeat(100_000);
  for (let index = 0; index < 6; index += 1) check(long, String(index));
  check(long, '5');
  assert.equal(calls.length, 6);
  check(long, '0');
  assert.equal(calls.length, 7);
});

test('a template larger than the cache is checked each time, and evicts nothing', () => {
  const { calls, check } = counted();
  const endless = 'x'.repeat(600_000);
  check(endless, 'a');
  check(endless, 'a');
  check('x', 'b');
  check('x', 'b');
  assert.deepEqual(calls, ['a:600000', 'a:600000', 'b:1']);
});

test('many short templates are bounded, too', () => {
  const { calls, check } = counted();
  for (let index = 0; index < 2000; index += 1) check('x', String(index));
  check('x', '0');
  check('x', '1999');
  assert.equal(calls.length, 2001);
});
