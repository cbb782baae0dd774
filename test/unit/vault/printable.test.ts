import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../../src/core/index.ts';
import { printable } from '../../../src/vault/printable.ts';
import { PLANTED } from './harness.ts';

suite('printable', () => {
  const TABLE: readonly [string, string, string][] = [
    ['a plain text as it is', 'role "x" could not be found', 'role "x" could not be found'],
    ['a JWT', `token ${PLANTED.jwt} rejected`, 'token [redacted] rejected'],
    ['the beginning of a JWT', 'token eyJhbGciOiJFUzI1 rejected', 'token [redacted] rejected'],
    ['a service token', `bad ${PLANTED.token}`, 'bad [redacted]'],
    ['a batch token', 'hvb.AAAAAQJaBcDeFgHiJkLmNoPqRsTuVwXyZ', '[redacted]'],
    ['a token of old', 's.iyNUhq8Ov4hIAx6snw5mB2nL', '[redacted]'],
    ['a key', 'x -----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY----- y', 'x [redacted] y'],
    ['half a key', 'x -----BEGIN PRIVATE KEY-----\nMIG', 'x [redacted]'],
    ['line breaks and control characters', 'a\n\t* b\u001b[31m\u0000c\u202ed', 'a * b [31m c d'],
    ['a given secret', 'password is tiny-secret!', 'password is [redacted]!'],
  ];
  for (const [name, text, expected] of TABLE) {
    test(name, () => assert.equal(printable(text, [new Secret('tiny-secret\n')]), expected));
  }

  test('is at most 300 characters of one line, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        const shown = printable(text, []);
        assert.ok(shown.length <= 300);
        assert.doesNotMatch(shown, /[\p{Cc}\p{Cf}]/u);
      }),
      { numRuns: 50 },
    );
  });

  test('a credential at the cut of a long text is dropped', () => {
    const long = `${PLANTED.jwt}.${'a'.repeat(4096 - PLANTED.jwt.length - 12)} hvs.abcdefghijklmnopqrstuvw`;
    assert.equal(printable(long, []), '[redacted]');
  });

  test('an empty secret redacts nothing', () => {
    assert.equal(printable('abc', [new Secret('')]), 'abc');
  });
});
