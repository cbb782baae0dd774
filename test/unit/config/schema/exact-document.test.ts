import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { VouchsafeError } from '../../../../src/core/index.ts';
import { parseDocumentText, parseExactDocumentText } from '../../../../src/config/schema/index.ts';
import { numberTexts } from '../../../helpers/json-texts.ts';

/** YAML -> the JSON that it means. */
const YAML: readonly (readonly [yaml: string, json: string])[] = [
  ['a: 1099511627776123456', '{"a":1099511627776123456}'],
  ['a: 1.10', '{"a":1.10}'],
  ['- -0\n- -0.00\n- 1e21\n- 1E400', '[-0,-0.00,1e21,1E400]'],
  ['[+1.50, .5, 1., -.50, 1.e3, +.5e-1]', '[1.50,0.5,1,-0.50,1e3,0.5e-1]'],
  ['[0x1F, 0o17, 0xFFFFFFFFFFFFFFFFFF]', '[31,15,4722366482869645213695]'],
  [
    '[010, 00, -007.50, 0123456789012345678901234567890]',
    '[10,0,-7.50,123456789012345678901234567890]',
  ],
  [
    '[1_000, "1.10", 1.10.1, 12:30, 0b1, 1.10e, "007"]',
    '["1_000","1.10","1.10.1","12:30","0b1","1.10e","007"]',
  ],
  ['a: &x 1.10\nb: *x\nc: &y [2.0]\nd: *y', '{"a":1.10,"b":1.10,"c":[2.0],"d":[2.0]}'],
  [
    '{1.10: a, 12345678901234567890: b, 1e3: c}',
    '{"1.10":"a","12345678901234567890":"b","1e3":"c"}',
  ],
  ['a: &k 1.10\n*k : b', '{"a":1.10,"1.10":"b"}'],
  [
    'a: !!str 1.10\nb: !!float 1.10\nc: !!int 12345678901234567890',
    '{"a":"1.10","b":1.10,"c":12345678901234567890}',
  ],
  ['{"a":1.10,"b":[1.0]} # no JSON', '{"a":1.10,"b":[1.0]}'],
];

suite('a document whose numbers keep their digits', () => {
  for (const [yaml, json] of YAML) {
    test(yaml.replaceAll('\n', '⏎'), async () => {
      assert.equal(JSON.stringify(await parseExactDocumentText(yaml)), json);
    });
  }

  test('every number of JSON is the same in YAML', async () => {
    await fc.assert(
      fc.asyncProperty(numberTexts(), async (text) => {
        assert.equal(JSON.stringify(await parseExactDocumentText(`a: ${text}`)), `{"a":${text}}`);
      }),
    );
  });

  test('infinity and NaN stay what they are', async () => {
    assert.deepEqual(await parseExactDocumentText('[.inf, -.INF, .nan]'), [
      Infinity,
      -Infinity,
      NaN,
    ]);
  });

  for (const text of ['{1.10: a, 1.10: b}', 'a: [1.10', 'a: *none']) {
    test(`rejected: ${text}`, async () => {
      await assert.rejects(
        parseExactDocumentText(text),
        (error) => error instanceof VouchsafeError && error.code === 'ERR_CONFIG_UNREADABLE',
      );
    });
  }

  test('documents of settings have plain numbers', async () => {
    assert.deepEqual(await parseDocumentText('{"a": 1.0}'), { a: 1 });
    assert.deepEqual(await parseDocumentText('a: 1.0'), { a: 1 });
  });
});
