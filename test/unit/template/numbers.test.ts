import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { NumberText, parseExactJson, type Dependency } from '../../../src/core/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import { jsonTexts, numberTexts } from '../../helpers/json-texts.ts';
import { pass, refusal, render } from './support.ts';

const ROOT = parseExactJson(`{
  "id": 1099511627776123456, "amount": 1.10, "big": 12345678901234567890, "exp": 1e21, "large": 2.5E3,
  "beyond": 1e400, "tiny": 1e-400, "minus": -0, "zero": 0.00, "two": 2.0, "port": 5432,
  "list": [1.10, 12345678901234567890, {"n": 1.0}], "nested": {"1.10": 2.50, "text": "1.10"}
}`);

const PRINTS: readonly (readonly [source: string, expected: string])[] = [
  ['{{id}} {{amount}} {{big}} {{exp}}', '1099511627776123456 1.10 12345678901234567890 1e21'],
  ['{{large}} {{beyond}} {{minus}} {{port}}', '2.5E3 1e400 -0 5432'],
  ['{{json list}}', '[1.10,12345678901234567890,{"n":1.0}]'],
  ['{{json (object a=id b=1.10)}}', '{"a":1099511627776123456,"b":1.10}'],
  [
    '{{yaml (list id amount exp large tiny)}}',
    '[1099511627776123456, 1.10, 1.0e+21, 2.5e+3, 1.0e-400]',
  ],
  ['{{yaml list block=true}}', '- 1.10\n- 12345678901234567890\n-\n  "n": 1.0'],
  ['{{toml (list id amount exp large minus)}}', '[1099511627776123456, 1.10, 1e21, 2.5E3, -0]'],
  [
    '{{toml (text big)}} {{toml 9223372036854775807}}',
    '"12345678901234567890" 9223372036854775807',
  ],
  ['{{toml -9223372036854775808}}', '-9223372036854775808'],
  [
    '{{dotenv id}} {{shell amount}} {{properties exp}} {{xml big}}',
    "1099511627776123456 '1.10' 1e21 12345678901234567890",
  ],
  [
    '{{url amount}} {{pgpass id}} {{concat amount "" id}}',
    '1.10 1099511627776123456 1.101099511627776123456',
  ],
  ['{{base64Encode amount}} {{length id}} {{upper amount}}', 'MS4xMA== 19 1.10'],
  [
    '{{#each list}}{{#if @last}}{{n}}{{else}}{{this}} {{/if}}{{/each}}',
    '1.10 12345678901234567890 1.0',
  ],
  ['{{join (list amount id) ","}} {{first list}}', '1.10,1099511627776123456 1.10'],
  ['{{lookup nested "1.10"}} {{lookup nested 1.10}} {{lookup nested amount}}', '2.50 2.50 2.50'],
  ['{{#with nested}}{{[1.10]}} {{1.10}} {{"1.10"}}{{/with}}', '2.50 2.50 2.50'],
  ['{{lookup list 0.0}}', '1.10'],
  ['{{indent "x" two}}', '  x'],
  ['{{text amount}}{{default nested.none amount}}{{required id}}', '1.101.101099511627776123456'],
  ['{{#with amount}}{{this}}{{/with}}{{#amount}}{{this}}{{/amount}}', '1.101.10'],
  // Literals.
  [
    '{{json (list 1.10 12345678901234567890 -0 0.0 7 -1.5)}}',
    '[1.10,12345678901234567890,-0,0.0,7,-1.5]',
  ],
  ['\r\n{{json\n  1.10 }}{{json 2.0}}', '\r\n1.102.0'],
  ['{{~#if true~}} {{json 1.10}} {{~/if~}}', '1.10'],
  [
    '{{!-- a\nb --}}\\\\{{two}}\r\n {{! c }}ü𝄞{{json 1.10}}\r{{json  id}}{{~json 1099511627776123456~}} ',
    '\\2.0\r\n ü𝄞1.10\r10995116277761234561099511627776123456',
  ],
  // Numbers of texts.
  [
    `{{json (parseJson '{"a":1.10,"b":[12345678901234567890,1e5]}')}}`,
    '{"a":1.10,"b":[12345678901234567890,1e5]}',
  ],
  [
    '{{json (parseJson (json list))}} {{parseJson "1.10"}}',
    '[1.10,12345678901234567890,{"n":1.0}] 1.10',
  ],
  [
    '{{json (list (parseNumber "1.10") (parseNumber " 007.50 ") (parseNumber "1e999"))}}',
    '[1.10,7.50,1e999]',
  ],
  // Comparisons are by value.
  [
    '{{eq amount 1.1}} {{eq amount "1.10"}} {{eq amount "1.1"}} {{ne amount 1.1}}',
    'true true false false',
  ],
  ['{{eq id 1099511627776123457}} {{lt id 1099511627776123457}}', 'false true'],
  ['{{gt big "12345678901234567889"}} {{le amount 1.1}} {{ge amount 1.1}}', 'true true true'],
  [
    '{{gt beyond big}} {{lt tiny amount}} {{gt tiny 0}} {{lt "1e400" "1e401"}}',
    'true true true true',
  ],
  ['{{contains list 1.1}} {{contains list "1.10"}} {{contains list "1.1"}}', 'true true false'],
  ['{{contains list 12345678901234567891}} {{eq minus 0}} {{eq port 5432.0}}', 'false true true'],
  // Truth.
  [
    '{{#if zero}}y{{else}}n{{/if}}{{#if minus}}y{{else}}n{{/if}}{{#if tiny}}y{{else}}n{{/if}}',
    'nny',
  ],
  [
    '{{#if zero includeZero=true}}y{{/if}}{{#unless zero}}y{{/unless}}{{#if amount}}y{{/if}}',
    'yyy',
  ],
  [
    '{{not zero}} {{or zero amount}} {{and amount zero}} {{#with zero}}{{this}}{{/with}}',
    'true 1.10 0.00 0.00',
  ],
];

const REFUSES: readonly (readonly [source: string, message: RegExp])[] = [
  ['{{toml big}}', /t:1:3: toml: TOML integers have 64 bits; encode a larger number as text/],
  ['{{toml (list 9223372036854775808)}}', /64 bits/],
  ['{{toml (list -9223372036854775809)}}', /64 bits/],
  ['{{toml (object a=beyond)}}', /TOML floats have 64 bits/],
  ['{{#each amount}}{{/each}}', /not over a number/],
  ['{{keys amount}}', /must be an object, not a number/],
  ['{{indent "x" amount}}', /must be a whole number from 0 to 100/],
  ['{{yaml id block=2.0}}', /block must be true or false, not a number/],
];

describe('numbers', () => {
  for (const [source, expected] of PRINTS) {
    it(`keep their digits in ${source.replaceAll(/\s/g, ' ')}`, () => {
      assert.equal(render(source, ROOT), expected);
    });
  }

  for (const [source, message] of REFUSES) {
    it(`are rejected in ${source}`, () => {
      assert.match(
        refusal('ERR_TEMPLATE_VALUE', () => pass(source, ROOT)),
        message,
      );
    });
  }

  it('have no members', () => {
    for (const source of ['{{amount.text}}', '{{lookup amount "text"}}', '{{amount.toJSON}}']) {
      refusal('ERR_TEMPLATE_MISSING_KEY', () => pass(source, ROOT));
    }
  });

  it('do not start with 0 in a template, where that would be lost', () => {
    for (const number of ['007', '-01', '00.5']) {
      const { problems } = checkTemplate(`{{json ${number}}}`, 't');
      assert.deepEqual(problems, [
        { path: 't:1:8', message: `a number does not start with 0; quote it: "${number}"` },
      ]);
    }
    assert.equal(render('{{007}}', { '007': 'a key' }), 'a key');
  });

  it('come out of every JSON text with their digits', () => {
    fc.assert(
      fc.property(jsonTexts(), (text) => {
        assert.equal(render('{{json (parseJson text)}}', { text }), text);
        assert.equal(render('{{json x}}', { x: parseExactJson(text) }), text);
        assert.equal(
          JSON.stringify(
            parseExactJson(render('{{json x indent=2}}', { x: parseExactJson(text) })),
          ),
          text,
        );
      }),
      { numRuns: 500 },
    );
  });

  it('are numbers of the same value in YAML 1.1 and 1.2', () => {
    fc.assert(
      fc.property(numberTexts(), (text) => {
        const written = render('{{yaml x}}', { x: parseExactJson(text) });
        for (const version of ['1.1', '1.2'] as const) {
          const schema = version === '1.1' ? 'yaml-1.1' : 'core';
          assert.equal(Number(parseYaml(written, { version, schema })), Number(text), written);
        }
        const mantissa = (one: string): string => one.replace(/(\.0)?e.*$/i, '');
        assert.equal(mantissa(written), mantissa(text));
      }),
    );
  });
});

describe('parameters of a write', () => {
  /** The dependencies that a template requests. */
  function used(source: string): readonly Dependency[] {
    return pass(source, ROOT).used;
  }

  it('are lists, objects and numbers as they are written', () => {
    const [write] = used(
      '{{secret "t/e" id=id amount=1.10 big=12345678901234567890 all=(list (object n=amount x=null l=list) "a" true)}}',
    );
    assert.ok(write?.kind === 'write');
    assert.equal(
      JSON.stringify(write.params),
      '{"id":1099511627776123456,"amount":1.10,"big":12345678901234567890,' +
        '"all":[{"n":1.10,"x":null,"l":[1.10,12345678901234567890,{"n":1.0}]},"a",true]}',
    );
  });

  it('are known at admission if they are constant', () => {
    const { problems, dependencies } = checkTemplate(
      '{{secret "t/e" items=(list (object n=1.10))}}{{secret "t/f" items=(list x)}}',
      't',
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(dependencies, [
      { kind: 'write', path: 't/e', params: { items: [{ n: new NumberText('1.10') }] } },
      { kind: 'write', path: 't/f', params: { items: '' } },
    ]);
  });

  it('are the same write in any order of keys, and another one with other digits', () => {
    const count = (...calls: string[]): number =>
      used(calls.map((call) => `{{#if (secret "t/e" ${call})}}{{/if}}`).join('')).length;
    assert.equal(
      count('a=(object x=1 y=(object p=1 q=2))', 'a=(object y=(object q=2 p=1) x=1)'),
      1,
    );
    assert.equal(count('a=1.10', 'a=1.1', 'a="1.10"', 'a=(list 1.10)', 'a=(list 1.1)'), 5);
    assert.equal(count('a=(list "x" 1)', 'a=(list (list "x" 1))', 'a=(object x=1)'), 3);
  });

  it('cannot be larger than what a rendering may make', () => {
    const grow = (depth: number): string =>
      depth === 0 ? 'list' : `(list ${`${grow(depth - 1)} `.repeat(4)})`;
    assert.match(
      refusal('ERR_TEMPLATE_LIMIT', () =>
        pass(
          `{{#with ${grow(5)} as |x|}}{{secret "t/e" a=(list x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x)}}{{secret "t/f" a=(list (list x x x x x x x x x x x x x x x x x x x x) (list x x x x x x x x x x x x x x x x x x x x))}}{{/with}}`,
          { list: Array.from({ length: 400 }, () => 1) },
        ),
      ),
      /more than/,
    );
    const deep = `{{secret "t/e" a=(parseJson text)}}`;
    assert.match(
      refusal('ERR_TEMPLATE_VALUE', () =>
        pass(deep, { text: `${'['.repeat(101)}${']'.repeat(101)}` }),
      ),
      /nested deeper than 100/,
    );
  });
});
