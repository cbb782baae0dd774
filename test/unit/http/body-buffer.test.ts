import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import { BodyBuffer } from '../../../src/http/body-buffer.ts';

test('property: output equals input, with at most twice its length and a slab of memory', () => {
  const pieces = fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 40 });
  fc.assert(
    fc.property(pieces, (lengths) => {
      const given = lengths.map((length, index) => Buffer.alloc(length, index + 1));
      const body = new BodyBuffer();
      for (const piece of given) body.append(piece);
      const whole = Buffer.concat(given);
      assert.equal(body.size, whole.length);
      assert.ok(body.capacity <= 2 * whole.length + 4096);
      assert.ok(body.take().equals(whole));
      assert.ok(body.take().length === 0);
    }),
    { numRuns: 50 },
  );
});

test('memory is freed at once', () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let count = 0; count < 100; count += 1) {
    const body = new BodyBuffer();
    body.append(Buffer.allocUnsafe(0));
    const piece = Buffer.alloc(1024);
    for (let pieces = 0; pieces < 3072; pieces += 1) body.append(piece);
    body.clear();
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 32 * 1024 * 1024);
});
