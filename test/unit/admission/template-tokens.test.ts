/** The count compared with the lexer of Handlebars: it may be higher, and is never lower. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parser } from 'handlebars/dist/cjs/handlebars/compiler/base.js';
import { countTokens } from '../../../src/admission/template-tokens.ts';

/** Tokens between tags, which take hardly any time. */
const TEXT = new Set(['CONTENT', 'EOF', 'INVALID']);

/** The number of tokens that the parser would get, up to the first error. */
function tokensOf(source: string): number {
  const { lexer, terminals_: names } = parser;
  lexer.yy = {};
  let count = 0;
  try {
    lexer.setInput(source);
    for (let token = ''; token !== 'EOF' && token !== 'INVALID';) {
      const next = lexer.lex();
      token = typeof next === 'string' ? next : (names[next] ?? 'EOF');
      if (!TEXT.has(token)) count += 1;
    }
  } catch {
    // A character that no token begins with: the parser stops here, too.
  }
  return count;
}

const COUNTED: Readonly<Record<string, number>> = {
  'only text': 0,
  '{{a}}': 3,
  '{{secret "kv/a b c"}}': 4,
  '{{a.b-c}}': 7,
  "{{! nobody's words }}{{a}}": 5,
  '{{!-- a }} b --}}': 11,
  '{{!-- a --~}}{{a}}': 14,
  '\\{{a b c}} text': 1,
  '{{a "}}" b}} c d': 5,
  "{{a '}}' [}}] b}} c d": 6,
  '{ { }} text "': 0,
};
for (const [source, count] of Object.entries(COUNTED)) {
  test(`${source}: ${count}`, () => {
    assert.equal(countTokens(source), count);
    assert.ok(tokensOf(source) <= count);
  });
}

test('there are never more tokens than were counted', () => {
  const piece = fc.constantFrom(
    ...['{{', '}}', '{{{', '}}}', '{{{{', '}}}}', '{{{{/', '{{!', '{{!--', '--}}', '--', '~', '\\'],
    ...['\\{{', '\\\\{{', '"', "'", '\\"', "\\'", '[', ']', '\\]', '(', ')', '#', '/', '&', '>'],
    ...['a', 'b1', '_', '-', '.', '..', '@', '=', ' ', '\n', '|', 'as |a|', 'else', '^', '1', 'é'],
    ...[
      '{{a',
      '{{a b}}',
      '{{#if a}}',
      '{{else}}',
      '{{/if}}',
      'true',
      'null',
      '!',
      '%',
      '`',
      '\u00a0',
    ],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const source = pieces.join('');
      const [counted, found] = [countTokens(source), tokensOf(source)];
      assert.ok(found <= counted, `${JSON.stringify(source)}: ${found} tokens, ${counted} counted`);
    }),
    { numRuns: 20_000 },
  );
});
