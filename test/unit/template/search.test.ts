import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { countOccurrences, Search } from '../../../src/template/search.ts';
import { RENDER_LIMITS, WorkBudget } from '../../../src/template/work.ts';
import { cpuMs } from '../../helpers/cpu-time.ts';

/** Every place, by V8's own search. */
function naively(text: string, needle: string): readonly number[] {
  const places: number[] = [];
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
    places.push(at);
  }
  return places;
}

function linearly(text: string, needle: string): readonly number[] {
  const search = new Search(new WorkBudget(), text, needle);
  const places: number[] = [];
  for (let at = search.next(); at >= 0; at = search.next()) places.push(at);
  return places;
}

describe('search', () => {
  // Two letters make texts that repeat themselves, where a wrong table shows.
  const repetitive = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 40 });
  const needle = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 6 }),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }),
  );

  it('finds what V8 finds', () => {
    fc.assert(
      fc.property(fc.oneof(repetitive, fc.string({ unit: 'binary' })), needle, (text, part) => {
        assert.deepEqual(linearly(text, part), naively(text, part));
        assert.equal(countOccurrences(new WorkBudget(), text, part), naively(text, part).length);
      }),
      { numRuns: 2000 },
    );
  });

  it('finds a needle that is put there', () => {
    fc.assert(
      fc.property(repetitive, needle, repetitive, (before, part, after) => {
        assert.deepEqual(
          linearly(before + part + after, part),
          naively(before + part + after, part),
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('takes time by the lengths only, where V8 takes hours', () => {
    const text = 'a'.repeat(1024 * 1024);
    const part = `ab${'a'.repeat(64 * 1024)}`;
    const found: (readonly number[])[] = [];
    const ms = cpuMs(() => found.push(linearly(text, part), linearly(text + part, part)));
    assert.deepEqual(found, [[], [text.length]]);
    assert.ok(ms < 1000, `${ms} ms`);
  });

  it('charges for its table and for reading, before it searches', () => {
    const work = new WorkBudget({ ...RENDER_LIMITS, workBytes: 1000 });
    assert.throws(
      () => new Search(work, 'a'.repeat(1000), 'a'.repeat(251)),
      /more than 1000 bytes/,
    );
    const steps = new WorkBudget({ ...RENDER_LIMITS, steps: 10 });
    assert.throws(() => new Search(steps, 'a'.repeat(1000), 'ab'), /more than 10 steps/);
  });
});
