import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Globs } from '../../../src/core/index.ts';

test('property: from a beginning on those globs count that write it out, as if there were no others', () => {
  const text = fc.array(fc.constantFrom('a', 'b', '/'), { maxLength: 6 });
  const glob = fc.array(fc.constantFrom('a', 'b', '/', '*'), { minLength: 1, maxLength: 6 });
  const globs = fc.array(
    glob.map((parts) => parts.join('')),
    { maxLength: 4 },
  );
  fc.assert(
    fc.property(globs, text, fc.nat(3), (list, parts, length) => {
      const name = parts.join('');
      for (const beginning of [name.slice(0, length), 'b/']) {
        const written = new Globs(list.filter((one) => one.startsWith(beginning)));
        const expected = name.startsWith(beginning) && written.matches(name);
        assert.equal(new Globs(list).matchesFrom(beginning, name), expected, beginning);
      }
    }),
    { numRuns: 2000 },
  );
});
