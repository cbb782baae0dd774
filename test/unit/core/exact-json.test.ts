import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import {
  compareNumbers,
  exactNumber,
  isZero,
  NumberText,
  parseExactJson,
} from '../../../src/core/index.ts';
import { jsonTexts } from '../../helpers/json-texts.ts';

suite('parseExactJson', () => {
  test('writes every number of a document back with its digits, wherever it is', () => {
    fc.assert(
      fc.property(jsonTexts(), (text) => {
        assert.equal(JSON.stringify(parseExactJson(text)), text);
      }),
      { numRuns: 2000 },
    );
  });

  test('gives the values of JSON.parse for what JSON.stringify wrote', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        assert.deepEqual(parseExactJson(text), JSON.parse(text));
      }),
    );
  });

  const ODD: readonly string[] = [
    '1.10',
    '-0',
    '[-0]',
    '[1.0]',
    '{"a":1099511627776123456}',
    '{"a":[{"b":1e400}]}',
    '[1E5,"1.0"]',
  ];
  for (const text of ODD) {
    test(`keeps ${text}, also between white space`, () => {
      assert.equal(JSON.stringify(parseExactJson(text)), text);
      const spaced = text.replaceAll(/[[\]{},:]/g, (sign) => `\n\t${sign}\r `);
      assert.equal(JSON.stringify(parseExactJson(spaced)), text);
    });
  }

  test('leaves numbers within texts and names alone', () => {
    const value = { ':1.10,': ', 1.0 ]', '1.10': '[1e400]', '__proto__ ': '-0' };
    assert.deepEqual(parseExactJson(JSON.stringify(value)), value);
  });

  test('takes the last of doubled names, as Vault does', () => {
    assert.equal(JSON.stringify(parseExactJson('{"a":{"b":1.0},"a":1.10}')), '{"a":1.10}');
    assert.equal(JSON.stringify(parseExactJson('{"a":1.10,"a":{"b":1.0}}')), '{"a":{"b":1.0}}');
  });

  test('calls back only before the slow way', () => {
    let slow = 0;
    const count = (): void => void (slow += 1);
    for (const text of ['[1,1.5,"1.0",123456789012345]', '"2026-01-01T00:00:06.94Z"', '{}']) {
      parseExactJson(text, count);
    }
    assert.equal(slow, 0);
    for (const text of ['1.0', '[1.0]', '{"a":12345678901234567890}']) parseExactJson(text, count);
    assert.equal(slow, 3);
  });

  for (const text of ['', '{', '[1.10', '[01.10]', '[+1.0]', '[1.]', '[.5]', '[1.10]x', '[NaN]']) {
    test(`rejects ${text}`, () => assert.throws(() => parseExactJson(text), SyntaxError));
  }
});

suite('numbers that keep their text', () => {
  test('are different values if their bytes differ', () => {
    assert.ok(isDeepStrictEqual(new NumberText('1.10'), new NumberText('1.10')));
    assert.ok(!isDeepStrictEqual(new NumberText('1.10'), new NumberText('1.100')));
    assert.ok(!isDeepStrictEqual({ a: new NumberText('1.10') }, { a: 1.1 }));
    assert.ok(!isDeepStrictEqual([new NumberText('1.10')], ['1.10']));
  });

  test('are compared by value, exactly', () => {
    const ascending = [
      ...['-1e400', '-12345678901234567890', '-1.10', '-1e-400', '0', '1e-400', '0.1'],
      ...['0.1000000000000000055', '1', '1.05', '1.10', '2', '10', '9007199254740992'],
      ...['9007199254740993', '1099511627776123456', '1099511627776123457', '1e21', '1e400'],
    ].map(exactNumber);
    for (const [index, one] of ascending.entries()) {
      for (const [place, other] of ascending.entries()) {
        const sign = Math.sign(compareNumbers(one, other));
        assert.ok(sign === Math.sign(index - place), `${String(one)} and ${String(other)}`);
      }
    }
    const equal = ['1.1', '1.10', '11e-1', '0.11e1', '110.0E-2'].map(exactNumber);
    for (const one of equal) {
      for (const other of equal) assert.ok(compareNumbers(one, other) === 0);
    }
    assert.ok(compareNumbers(new NumberText('-0.0'), 0) === 0);
    assert.equal(compareNumbers(Infinity, new NumberText('1.10')), 1);
  });

  test('compare as JS numbers do, where those are exact', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.nat(20), (a, b, zeros) => {
        const text = new NumberText(`${a}.${'0'.repeat(zeros + 1)}`);
        assert.ok(Math.sign(compareNumbers(text, b)) === Math.sign(a - b));
        assert.ok(Math.sign(compareNumbers(b, text)) === Math.sign(b - a));
      }),
    );
  });

  test('are zero by their digits', () => {
    for (const text of ['-0', '0.0', '-0.000', '0e5', '0E-5', '0.0e+1']) {
      assert.ok(isZero(new NumberText(text)), text);
    }
    for (const text of ['1e-400', '0.01', '-0.10', '10', '0.0001e0']) {
      assert.ok(!isZero(new NumberText(text)), text);
    }
    assert.ok(isZero(0) && isZero(-0) && !isZero('0') && !isZero(undefined));
  });
});
