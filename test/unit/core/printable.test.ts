import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  isPrintable,
  normalizeVaultPath,
  outputPathProblem,
  printableLine,
  printableText,
} from '../../../src/core/index.ts';

const HOSTILE = [
  '\u001b',
  '\u009b',
  '\u007f',
  '\u202e',
  '\u2066',
  '\u200b',
  '\ue000',
  '\ud800',
  '\u2028',
  '\0',
];

test('names with characters that do not show as they are, are invalid: paths of Vault and files alike', () => {
  for (const one of HOSTILE) {
    assert.equal(isPrintable(`a${one}b`), false);
    assert.equal(normalizeVaultPath(`kv/a${one}b`), undefined);
    assert.notEqual(outputPathProblem(`a${one}b`), undefined);
  }
  for (const name of ['größe', '日本', 'a b', 'naïve-😀']) {
    assert.equal(isPrintable(name), true);
    assert.equal(normalizeVaultPath(`kv/${name}`), `kv/${name}`);
    assert.equal(outputPathProblem(name), undefined);
  }
});

test('shown they are escaped; line ends and tabs stay where there are lines', () => {
  assert.equal(printableLine('a\u001b[2J\nb'), 'a\\u001b[2J\\u000ab');
  assert.equal(printableText('a\u009b\n\tb\u{f0000}'), 'a\\u009b\n\tb\\udb80\\udc00');
});

test('JSON stays JSON of the same meaning', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const printed = printableText(JSON.stringify(text));
      assert.ok(isPrintable(printed));
      assert.equal(JSON.parse(printed), text);
    }),
  );
});
