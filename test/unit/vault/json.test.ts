import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { NumberText } from '../../../src/core/index.ts';
import { numberAt, parseJson, secondsAt, stringsAt } from '../../../src/vault/json.ts';

const parse = (text: string): unknown => parseJson(Buffer.from(text));

suite('parseJson', () => {
  const NUMBERS: readonly [string, unknown][] = [
    ['0', 0],
    ['-1', -1],
    ['1.5', 1.5],
    ['1.50', new NumberText('1.50')],
    ['1e3', new NumberText('1e3')],
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', 9007199254740992],
    ['9007199254740993', new NumberText('9007199254740993')],
    ['-12345678901234567890', new NumberText('-12345678901234567890')],
    ['9007199254740990.6', new NumberText('9007199254740990.6')],
    ['0.1000000000000000055', new NumberText('0.1000000000000000055')],
    ['1e400', new NumberText('1e400')],
  ];
  for (const [text, value] of NUMBERS) {
    test(`keeps ${text}`, () => {
      assert.deepEqual(parse(`{"n":${text},"l":[${text}]}`), { n: value, l: [value] });
    });
  }

  test('gives back what JSON.stringify wrote', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        assert.deepEqual(parse(text), JSON.parse(text));
      }),
    );
  });

  test('never changes an integer', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }), (value) => {
        assert.equal(BigInt(String(parse(String(value)))), value);
      }),
    );
  });

  test('keeps __proto__ a plain member', () => {
    const value = parse('{"__proto__":{"polluted":true},"constructor":1}');
    assert.ok(typeof value === 'object' && value !== null);
    assert.deepEqual(Object.keys(value), ['__proto__', 'constructor']);
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    assert.equal('polluted' in {}, false);
  });

  test('takes the last of doubled keys, as Vault does', () => {
    assert.deepEqual(parse('{"a":1,"a":2}'), { a: 2 });
  });

  for (const text of ['', '{', '{"a":1}x', "{'a':1}", '{"a":NaN}', '['.repeat(100_000)]) {
    test(`rejects ${text.slice(0, 10)}`, () => assert.throws(() => parse(text)));
  }

  test('rejects bytes that are not UTF-8', () => {
    assert.throws(() => parseJson(Buffer.from([0x22, 0xc3, 0x28, 0x22])), TypeError);
  });
});

suite('members', () => {
  test('of the wrong type count as missing', () => {
    const parent = {
      n: -1,
      t: new NumberText('-1.0'),
      h: new NumberText('1e400'),
      s: 'x',
      e: '',
      i: Infinity,
      o: {},
      l: ['a', 1, null],
    };
    for (const name of ['n', 't', 'h', 's', 'e', 'i', 'o', 'l', 'none']) {
      assert.equal(numberAt(parent, name), 0, name);
    }
    assert.deepEqual(stringsAt(parent, 'l'), ['a']);
    assert.deepEqual(stringsAt(parent, 'o'), []);
    assert.deepEqual(stringsAt(undefined, 'o'), []);
  });

  test('in seconds become milliseconds, also from a text', () => {
    assert.equal(secondsAt({ ttl: 1.5 }, 'ttl'), 1500);
    assert.equal(secondsAt({ ttl: new NumberText('1.50') }, 'ttl'), 1500);
    assert.equal(secondsAt({ ttl: '60' }, 'ttl'), 60_000);
    const most = 292.5 * 365.25 * 86_400_000;
    for (const ttl of [1e308, '1e308', Number.MAX_SAFE_INTEGER]) {
      assert.ok(secondsAt({ ttl }, 'ttl') < most, 'what cannot be planned is cut');
    }
  });
});
