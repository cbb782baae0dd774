import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkTemplate, parseTemplate } from '../../../src/template/index.ts';
import { refusal } from './support.ts';

function only(source: string): string {
  const problems = checkTemplate(source, 't').problems;
  assert.equal(problems.length, 1, JSON.stringify(problems));
  return problems.map(({ path, message }) => `${path}: ${message}`).join();
}

describe('static check', () => {
  const syntax: readonly (readonly [source: string, expected: RegExp])[] = [
    ['a\n {{#if x}}', /^t:2:\d+: the template ends while a block is still open/],
    ['{{#if x}}{{/each}}', /^t:1:4: \{\{#if\}\} is closed by \{\{\/each\}\}/],
    ['\n{{/if}}', /^t:2:1: a block is closed that was not opened/],
    ['{{.Data.x}}', /^t:1:3: a path starts with a dot or slash/],
    ['{{}}', /^t:1:3: the tag is closed too early/],
    ['{{foo', /^t:1:\d+: /],
    ['{{a.this.b}}', /^t:1:3: Invalid path: a\.this/],
    ['{{else}}', /\{\{else\}\} is outside of a block/],
    ['{{#a}}{{else}}{{else}}{{/a}}', /or appears twice in one/],
    ['{{!-- a', /a comment or raw block is not closed/],
    ['a\0b', /NUL/],
    ['{{> x}}', /^t:1:1: partials \(\{\{> name\}\}\) are not supported/],
    ['{{#> x}}{{/x}}', /partials/],
    ['{{* x}}', /decorators/],
    ['{{#* x}}{{/x}}', /decorators/],
    [`${'{{#if a}}'.repeat(201)}${'{{/if}}'.repeat(201)}`, /nested deeper than 200/],
    [`{{json ${'(list '.repeat(201)}1${')'.repeat(201)}}}`, /nested deeper than 200/],
    ['{{#a}}'.repeat(9_000) + '{{/a}}'.repeat(9_000), /nested/],
    [' '.repeat(256 * 1024 + 1), /longer than 256 KiB/],
  ];
  for (const [source, expected] of syntax) {
    it(`finds wrong syntax: ${source.slice(0, 30).replace(/[\n\0]/g, '⏎')}`, () => {
      assert.match(only(source), expected);
      refusal('ERR_TEMPLATE_SYNTAX', () => parseTemplate(source, 't'));
    });
  }

  const helpers: readonly (readonly [source: string, expected: RegExp])[] = [
    ['{{jsn x}}', /^t:1:3: unknown helper jsn; did you mean json\?$/],
    ['{{base64encode x}}', /did you mean base64Encode\?/],
    ['{{json (lookupp x "y")}}', /^t:1:9: unknown helper lookupp; did you mean lookup\?/],
    ['{{range x}}', /did you mean \{\{#each …\}\}\?/],
    ['{{toJSON x}}', /did you mean json\?/],
    ['{{somethingElse x}}', /unknown helper somethingElse$/],
    ['{{#frobnicate x}}{{/frobnicate}}', /unknown helper frobnicate/],
    ['{{log x}}', /the helper log is not supported/],
    ['{{if x}}', /if is a block: \{\{#if …\}\}…\{\{\/if\}\}/],
    ['{{json (each x)}}', /each is a block/],
    ['{{#json x}}{{/json}}', /json is not a block; write \{\{json …\}\}/],
    ['{{url}}', /url takes 1 argument, not 0; the key of that name is \{\{this\.url\}\}/],
    ['{{secret}}', /secret takes 1 argument, not 0/],
    ['{{replace a b}}', /replace takes 3 arguments, not 2/],
    ['{{concat}}', /at least 1 arguments?, not 0/],
    ['{{required a "b" "c"}}', /1 to 2 arguments, not 3/],
    ['{{#if a b}}{{/if}}', /if takes 1 argument, not 2/],
    ['{{#each}}{{/each}}', /each takes 1 argument, not 0$/],
    ['{{json x ident=2}}', /json has no parameter ident; its parameters are indent/],
    ['{{trim x a=1}}', /trim has no parameter a; it takes no parameters/],
    ['{{pki "pki/issue/x" a=1 a=2}}', /a is set twice/],
    ['{{required a b}}', /argument 2 must be a string literal/],
    ['{{#if a as |b|}}{{/if}}', /if has no block parameters/],
    ['{{^a as |b|}}{{/a}}', /an inverse block has no block parameters/],
    ['{{a.b 1}}', /"?a\.b"? is not a helper; it cannot take arguments/],
    ['{{#each a as |x|}}{{x 1}}{{/each}}', /x is not a helper/],
    ['{{#a.b 1}}{{/a.b}}', /a\.b is not a helper/],
    ['{{json (a.b)}}', /a\.b is not a helper/],
    ['{{secret "kv/../x"}}', /secret: argument 1 is not a valid Vault path/],
    ['{{secret "kv/x#"}}', /the key after # is missing/],
    ['{{secret ""}}', /argument 1 is empty/],
    ['{{jwtSvid ""}}', /argument 1 is empty/],
  ];
  for (const [source, expected] of helpers) {
    it(`finds wrong helpers: ${source}`, () => {
      assert.match(only(source), expected);
      refusal('ERR_TEMPLATE_HELPER', () => parseTemplate(source, 't'));
    });
  }

  it('finds every problem at once, with its place', () => {
    const problems = checkTemplate(
      '{{foo 1}}\n{{#if}}{{bar 1}}{{else}}{{trim}}{{/if}}',
      'web',
    ).problems;
    assert.deepEqual(
      problems.map(({ path }) => path),
      ['web:1:3', 'web:2:4', 'web:2:10', 'web:2:27'],
    );
    const message = refusal('ERR_TEMPLATE_HELPER', () =>
      parseTemplate('{{foo 1}}{{bar 2}}', 'web'),
    );
    assert.match(message, /web:1:3: unknown helper foo[^]*web:1:12: unknown helper bar/);
  });

  it('lists a bounded number of problems', () => {
    assert.equal(checkTemplate('{{foo 1}}'.repeat(1000), 't').problems.length, 50);
  });

  it('finds nothing wrong with a good template', () => {
    const source =
      '{{#each (secrets "kvv2/apps") as |n|}}{{#with (secret (concat "kvv2/apps/" n))}}{{json this indent=2}}{{else}}-{{/with}}{{/each}}{{(spiffeId)}}';
    assert.deepEqual(
      checkTemplate(source.replace('{{(spiffeId)}}', '{{spiffeId}}'), 't').problems,
      [],
    );
  });
});

describe('literal dependencies', () => {
  it('are what calls ask for whose arguments are known without data, in order', () => {
    const source = `
      {{#if false}}{{secret "/v1/kvv2/app/#password"}}{{/if}}
      {{secret "kvv2/app?version=2"}} {{secret (concat "kvv2/" name)}}
      {{json (secret "transit/sign/key" input="eA==" n=1 prehashed=true)}} {{secret "a/b" x=y}}
      {{#each (secrets "kvv2/apps/")}}{{pki "pki/issue/web" common_name="x.test"}}{{/each}}
      {{jwtSvid "b" "a" "b"}} {{spiffeId}}`;
    assert.deepEqual(checkTemplate(source, 't').dependencies, [
      { kind: 'read', path: 'kvv2/app' },
      { kind: 'read', path: 'kvv2/app?version=2' },
      { kind: 'write', path: 'transit/sign/key', params: { input: 'eA==', n: 1, prehashed: true } },
      { kind: 'write', path: 'a/b', params: { x: '' } },
      { kind: 'list', path: 'kvv2/apps' },
      { kind: 'pki', path: 'pki/issue/web', params: { common_name: 'x.test' } },
      { kind: 'jwt-svid', audiences: ['b', 'a'] },
      { kind: 'spiffe-id' },
    ]);
  });
});
