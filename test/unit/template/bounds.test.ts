import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VouchsafeError, type Problem } from '../../../src/core/index.ts';
import {
  checkTemplate,
  parseTemplate,
  RENDER_LIMITS,
  renderTemplate,
  TEMPLATE_HELPERS,
  type RenderLimits,
} from '../../../src/template/index.ts';
import { lookupIn, refusal } from './support.ts';

const problemsIn = (source: string, name: string): readonly Problem[] =>
  checkTemplate(source, name).problems;

function limited(source: string, root: unknown, limits: Partial<RenderLimits>): string {
  return refusal('ERR_TEMPLATE_LIMIT', () =>
    renderTemplate(
      parseTemplate(source, 't'),
      { root, lookup: lookupIn({}) },
      { ...RENDER_LIMITS, ...limits },
    ),
  );
}

describe('bounds', () => {
  const many = { xs: Array.from({ length: 100 }, (_, index) => `x${index}`) };

  it('ends output that grows too long, in bytes', () => {
    assert.match(
      limited('{{#each xs}}€€€€{{/each}}', many, { outputBytes: 1199 }),
      /longer than 1199 bytes/,
    );
    assert.match(
      limited('{{#each xs}}{{this}}{{/each}}', many, { outputBytes: 100 }),
      /^t:1:15: this: /,
    );
    limited('{{base64Decode "/////w=="}}', {}, { outputBytes: 3 });
    const source = parseTemplate('{{#each xs}}€€€€{{/each}}', 't');
    const input = { root: many, lookup: lookupIn({}) };
    assert.equal(
      renderTemplate(source, input, { ...RENDER_LIMITS, outputBytes: 1200 }).text?.length,
      400,
    );
  });

  it('ends templates that ask for too much', () => {
    const source = '{{#each xs}}{{secret (concat "kv/" this)}}{{/each}}';
    assert.match(limited(source, many, { dependencies: 99 }), /more than 99 different secrets/);
  });

  it('ends templates that take too many steps', () => {
    const loops =
      '{{#each xs}}{{#each @root.xs}}{{#each @root.xs}}{{#each @root.xs}}{{/each}}{{/each}}{{/each}}{{/each}}';
    assert.match(limited(loops, many, {}), /more than 5000000 steps/);
    const long = { xs: many.xs, text: 'x'.repeat(100_000) };
    limited('{{#each xs}}{{#if (sha256 @root.text)}}{{/if}}{{/each}}', long, { steps: 30_000 });
    limited('{{#each xs}}{{#if (keys @root.xs)}}{{/if}}{{/each}}'.replace('keys', 'list'), many, {
      steps: 300,
    });
  });

  it('ends helpers whose text would explode', () => {
    const double = (inner: string): string => `(concat ${inner} ${inner})`;
    limited(`{{length ${double(double(double('text')))}}}`, { text: 'x'.repeat(3_000_000) }, {});
    limited('{{replace text "x" text}}', { text: 'x'.repeat(10_000) }, {});
    limited('{{join list text}}', { list: Array(10_000).fill(''), text: 'x'.repeat(10_000) }, {});
    limited('{{indent text 100}}', { text: 'x\n'.repeat(200_000) }, {});
  });

  it('ends the writing of values that hold each other many times', () => {
    for (const encode of ['json this', 'yaml this block=true']) {
      const depth = 60;
      limited(
        `${'{{#with (list this this)}}'.repeat(depth)}{{${encode}}}${'{{/with}}'.repeat(depth)}`,
        { a: 1 },
        {},
      );
    }
  });

  it('checks long lists of anything without delay', () => {
    const count = 1_300;
    const names = Array.from({ length: count }, (_, index) => `k${index}`);
    assert.deepEqual(
      problemsIn(`{{json (object ${names.map((name) => `${name}=1`).join(' ')})}}`, 't'),
      [],
    );
    assert.equal(
      problemsIn(`{{trim x ${names.map((name) => `${name}=1`).join(' ')}}}`, 't').length,
      50,
    );
    assert.equal(problemsIn('{{jsn x}}'.repeat(990), 't').length, 50);
    const params = `{{#each a as |${names.join(' ')}|}}${'{{k1299}}'.repeat(600)}{{/each}}`;
    assert.match(problemsIn(params, 't')[0]?.message ?? '', /each has at most 2 block parameters/);
    assert.match(
      problemsIn('{{!-- x --}}'.repeat(8_000), 't')[0]?.message ?? '',
      /8000 comments .*too many for its length/,
    );
    assert.match(
      problemsIn(`{{json ${'['.repeat(100_000)}`, 't')[0]?.message ?? '',
      /is not allowed here/,
    );
    assert.deepEqual(problemsIn(`{{concat ${names.join(' ')}}}`, 't'), []);
    assert.deepEqual(problemsIn(`{{${names.join('.')}}}`, 't'), []);
  });

  it('rejects deep nesting without delay, however it is hidden', () => {
    for (const source of [
      '{{#a}}'.repeat(40_000),
      '{{#a}}{{! {{/a}}'.repeat(15_000),
      `{{#a}}${'{{else if b}}'.repeat(18_000)}{{/a}}`,
      `{{json ${'(list '.repeat(40_000)}`,
      '{{^a}}'.repeat(40_000),
      '{{#> a}}'.repeat(30_000),
    ]) {
      assert.match(problemsIn(source, 't')[0]?.message ?? '', /nested deeper than 200/);
    }
  });

  it('accepts what is nested just below the limit', () => {
    const source = `${'{{#if a}}'.repeat(150)}{{json ${'(list '.repeat(50)}1${')'.repeat(50)}}}${'{{/if}}'.repeat(150)}`;
    const { text } = renderTemplate(parseTemplate(source, 't'), {
      root: { a: 1 },
      lookup: lookupIn({}),
    });
    assert.equal(text, `${'['.repeat(50)}1${']'.repeat(50)}`);
    const chain = `{{#if b}}${'{{else if b}}'.repeat(198)}{{else}}x{{/if}}`.repeat(4);
    assert.deepEqual(problemsIn(chain, 't'), []);
  });
});

describe('arbitrary templates', () => {
  const NAMES = [
    ...TEMPLATE_HELPERS.map(({ name }) => name),
    ...[
      'a',
      'b.c',
      'this',
      '..',
      '../a',
      '@root',
      '@index',
      '@key',
      '.',
      'xs',
      '__proto__',
      'constructor',
    ],
    ...[
      'toString',
      'log',
      'nope',
      '"kv/a#k"',
      '"x"',
      '1',
      '0',
      '-2.5',
      'true',
      'null',
      'undefined',
      '[s t]',
    ],
  ];
  const tokens = fc.constantFrom(
    ...[
      '{{',
      '}}',
      '{{{',
      '}}}',
      '{{{{',
      '}}}}',
      '{{#',
      '{{/',
      '{{^',
      '{{else',
      '{{else}}',
      '{{~',
      '~}}',
      '{{!',
      '{{!--',
    ],
    ...[
      '--}}',
      '{{>',
      '{{#>',
      '{{*',
      '{{#*',
      '{{&',
      '(',
      ')',
      '=',
      '|',
      ' as |x i|',
      ' ',
      '\n',
      '"',
      "'",
      '\\',
      '\0',
      '~',
    ],
    ...NAMES,
    ...NAMES,
  );
  const expression: fc.Arbitrary<string> = fc.letrec<{ e: string }>((tie) => ({
    e: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(...NAMES),
      fc
        .tuple(
          fc.constantFrom(...NAMES),
          fc.array(tie('e'), { maxLength: 3 }),
          fc.constantFrom('', ' k=a', ' indent=2'),
        )
        .map(([name, args, hash]) => `(${[name, ...args].join(' ')}${hash})`),
    ),
  })).e;
  const tags = fc.oneof(
    expression.map((text) => `{{${text.replace(/^\(|\)$/g, '')}}}`),
    expression.map((text) => `{{#each ${text}}}{{this}}{{@key}}{{else}}-{{/each}}`),
    expression.map((text) => `{{#if ${text}}}1{{else}}2{{/if}}`),
    expression.map((text) => `{{#with ${text} as |w|}}{{w}}{{../a}}{{/with}}`),
    fc.constantFrom('x', '\n', ' '),
  );
  const sources = fc.oneof(
    fc.array(tokens, { maxLength: 25 }).map((parts) => parts.join('')),
    fc.array(tags, { maxLength: 6 }).map((parts) => parts.join('')),
    fc.string({ unit: 'binary', maxLength: 30 }),
  );

  it('end with text or with an error of ours', () => {
    const root = { a: 'A', b: { c: [1, { d: null }] }, xs: ['p', 'q'], 's t': true };
    const values = { 'read:kv/a': { k: 'v' }, 'list:x': ['y'] };
    fc.assert(
      fc.property(sources, (source) => {
        try {
          const template = parseTemplate(source, 't');
          renderTemplate(
            template,
            { root, lookup: lookupIn(values) },
            { ...RENDER_LIMITS, steps: 10_000 },
          );
        } catch (error) {
          assert.ok(error instanceof VouchsafeError, `${source}: ${String(error)}`);
          assert.match(error.code, /^ERR_TEMPLATE_/);
          assert.match(error.message, /t:\d+:\d+|steps/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
