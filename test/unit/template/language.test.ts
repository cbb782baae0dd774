import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { refusal, render } from './support.ts';

const ROOT = {
  db: { user: 'app', password: "p'w", port: 5432, 'two words': 'yes', options: { ssl: true } },
  hosts: ['a', 'b'],
  users: [{ name: 'x' }, { name: 'y' }],
  none: [],
  zero: 0,
  empty: '',
  nothing: null,
  no: false,
  name: 'web',
};

describe('what Handlebars does', () => {
  const cases: readonly (readonly [source: string, expected: string])[] = [
    ['{{db.user}} {{db/user}} {{this.db.user}} {{./name}}', 'app app app web'],
    ['{{db.[two words]}} {{lookup db "two words"}}', 'yes yes'],
    ['{{{db.password}}}{{db.password}}{{&db.password}}', "p'wp'wp'w"],
    ['{{db.port}} {{db.options.ssl}} [{{nothing}}]', '5432 true []'],
    ['{{name.length}}{{hosts.length}}{{hosts.[1]}}', '32b'],
    ['{{#each hosts}}{{@index}}{{this}}{{@first}}{{@last}} {{/each}}', '0atruefalse 1bfalsetrue '],
    ['{{#each db.options}}{{@key}}={{.}}{{/each}}', 'ssl=true'],
    ['{{#each hosts as |h i|}}{{i}}{{h}}{{/each}}', '0a1b'],
    [
      '{{#each users as |u|}}{{#with u.name as |n|}}{{n}}{{../../name}}{{/with}}{{/each}}',
      'xwebyweb',
    ],
    [
      '{{#each users}}{{#each ../hosts}}{{@../index}}{{../name}}{{this}} {{/each}}{{/each}}',
      '0xa 0xb 1ya 1yb ',
    ],
    ['{{#each none}}x{{else}}none{{/each}}', 'none'],
    ['{{#if zero}}x{{else}}0{{/if}}{{#if zero includeZero=true}}z{{/if}}', '0z'],
    ['{{#if empty}}a{{else if no}}b{{else if db}}c{{else}}d{{/if}}', 'c'],
    ['{{#unless no}}u{{/unless}}{{^if no}}v{{/if}}{{^no}}w{{/no}}', 'uvw'],
    ['{{#with db}}{{user}}{{@root.name}}{{/with}}{{#with nothing}}x{{else}}y{{/with}}', 'appweby'],
    [
      '{{#db}}{{user}}{{/db}}{{#hosts}}{{this}}{{/hosts}}{{#db.options.ssl}}{{name}}{{/db.options.ssl}}',
      'appabweb',
    ],
    ['{{#none}}x{{^}}y{{/none}}', 'y'],
    ['{{lookup db "user"}}{{lookup hosts 1}}{{lookup db (concat "us" "er")}}', 'appbapp'],
    ['{{! a }}{{!-- b {{x}} --}}c', 'c'],
    ['\\{{name}} {{{{raw}}}}{{name}}{{{{/raw}}}}', '{{name}} {{name}}'],
    ['a {{~name~}} b', 'awebb'],
    ['x\n{{#if name}}\n  y\n{{/if}}\nz', 'x\n  y\nz'],
    ['{{"name"}}{{[name]}}', 'webweb'],
    ['{{upper (concat name "-" (lookup hosts 0))}}', 'WEB-A'],
  ];
  for (const [source, expected] of cases) {
    it(source.replaceAll('\n', '⏎'), () => assert.equal(render(source, ROOT), expected));
  }

  it('keeps the order of the data, and walks a Map as Handlebars does', () => {
    assert.equal(render('{{#each this}}{{@key}}{{/each}}', { b: 1, a: 2, c: 3 }), 'bac');
    const root = { map: new Map([['k', 'v']]) };
    assert.equal(render('{{#each map}}{{@key}}{{this.[0]}}{{this.[1]}}{{/each}}', root), '0kv');
  });

  it('never escapes for HTML', () => {
    assert.equal(render('{{x}}', { x: '<&"\'>`=' }), '<&"\'>`=');
  });

  it('prints the empty template', () => {
    assert.equal(render(''), '');
  });

  it('lets a helper win over a key of its name, which this.name reaches', () => {
    assert.equal(render('{{this.url}} {{url "a b"}} {{upper url}}', { url: 'x' }), 'x a%20b X');
    assert.equal(render('{{#each xs}}{{@first}}{{/each}}', { xs: ['a'] }), 'true');
  });
});

describe('missing keys', () => {
  const missing: readonly (readonly [source: string, message: RegExp])[] = [
    [
      'a\n {{db.nope}}',
      /^t:2:4: db\.nope: there is no key nope \(keys: user, password, port, "two words", options\)$/,
    ],
    ['{{nope}}', /^t:1:3: nope: there is no key nope \(keys: db, hosts/],
    [`{{"${'a'.repeat(5000)}"}}`, /^t:1:3: a{199}…: there is no key "a{63}…" \(keys/],
    ['{{name.x}}', /^t:1:3: name\.x: there is no key x \(it is text\)$/],
    ['{{nothing.x}}', /it is null/],
    ['{{hosts.[7]}}', /there is no key 7 \(it is a list\)/],
    ['{{upper db.nope}}', /^t:1:9: db\.nope/],
    ['{{json (object a=db.nope)}}', /^t:1:18: db\.nope/],
    ['{{#each nope}}{{/each}}', /nope/],
    ['{{#with nope}}{{/with}}', /nope/],
    ['{{#nope}}{{/nope}}', /nope/],
    ['{{lookup db name}}', /^t:1:3: lookup: there is no such key \(keys/],
    ['{{default db.a db.b}}', /db\.b/],
    ['{{#if (eq db.nope 1)}}{{/if}}', /db\.nope/],
    ['{{@index}}', /@index exists only within each/],
    ['{{@foo}}', /unknown data variable/],
    ['{{../name}}', /not that many outer contexts/],
    ['{{pick db "nope"}}', /no such key/],
  ];
  for (const [source, message] of missing) {
    it(`rejects ${source.replaceAll('\n', '⏎')}`, () => {
      assert.match(
        refusal('ERR_TEMPLATE_MISSING_KEY', () => render(source, ROOT)),
        message,
      );
    });
  }

  const lenient: readonly (readonly [source: string, expected: string])[] = [
    ['{{#if nope.x.y}}a{{else}}b{{/if}}{{#unless nope}}c{{/unless}}', 'bc'],
    ['{{#if (and name nope)}}a{{else}}b{{/if}}{{#if (or nope name)}}c{{/if}}', 'bc'],
    [
      '{{#if (not nope.x)}}a{{/if}}{{#if (lookup db "x")}}b{{/if}}{{#if (first none)}}c{{/if}}',
      'a',
    ],
    ['{{default nope.x db.nope "d"}}{{default (lookup db "x") "e"}}', 'de'],
    ['{{^nope}}a{{/nope}}{{#nope}}b{{else}}c{{/nope}}', 'ac'],
    ['{{#each nope}}a{{else}}b{{/each}}{{#with nope.x}}c{{else}}d{{/with}}', 'bd'],
  ];
  for (const [source, expected] of lenient) {
    it(`accepts ${source}`, () => assert.equal(render(source, ROOT), expected));
  }

  it('names at most 20 keys, shortened, and no value', () => {
    const keys = Array.from({ length: 30 }, (_, index) => `key${index}`);
    const root = Object.fromEntries([...keys, 'k'.repeat(500)].map((key) => [key, 'SECRET']));
    const message = refusal('ERR_TEMPLATE_MISSING_KEY', () => render('{{x}}', root));
    assert.match(message, /key19, and 11 more\)$/);
    assert.doesNotMatch(message, /SECRET|key20/);
  });

  it('carries template, line and column as details', () => {
    const details = { template: 't', line: 2, column: 3 };
    assert.throws(() => render('\n{{x}}'), { details });
  });
});

describe('values that do not fit', () => {
  const refused: readonly (readonly [source: string, message: RegExp])[] = [
    [
      '{{db}}',
      /^t:1:3: db: an object \(keys: .*\) cannot be printed; pick a key of it, or encode it/,
    ],
    ['{{hosts}}', /a list cannot be printed/],
    [
      '{{#each name}}{{/each}}',
      /each: it iterates over a list or an object, not over text; parse it/,
    ],
    ['{{#each db.port}}{{/each}}', /not over a number/],
    ['{{trim hosts}}', /trim: argument 1 must be text, not a list/],
    ['{{trim nothing}}', /must be text, not null/],
    ['{{join name ","}}', /argument 1 must be a list, not text/],
    ['{{keys hosts}}', /must be an object, not a list/],
    ['{{required nope "set db.nope"}}', /required: set db\.nope$/],
    ['{{required empty}}', /a value is required here/],
  ];
  for (const [source, message] of refused) {
    it(`rejects ${source}`, () => {
      assert.match(
        refusal('ERR_TEMPLATE_VALUE', () => render(source, ROOT)),
        message,
      );
    });
  }
});

describe('prototypes', () => {
  const names = [
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '__defineGetter__',
  ];
  for (const name of names) {
    it(`has no ${name}`, () => {
      for (const source of [
        `{{${name}}}`,
        `{{this.${name}}}`,
        `{{db.${name}.x}}`,
        `{{hosts.${name}}}`,
        `{{name.${name}}}`,
        `{{@root.${name}}}`,
        `{{@${name}}}`,
        `{{lookup this "${name}"}}`,
        `{{lookup (list 1) "${name}"}}`,
        `{{#with db as |x|}}{{x.${name}}}{{/with}}`,
        `{{#${name}}}x{{/${name}}}`,
        `{{pick db "${name}"}}`,
      ]) {
        refusal('ERR_TEMPLATE_MISSING_KEY', () => render(source, ROOT));
      }
      refusal('ERR_TEMPLATE_HELPER', () => render(`{{${name} 1}}`, ROOT));
      refusal('ERR_TEMPLATE_HELPER', () => render(`{{json (${name})}}`, ROOT));
      assert.equal(render(`{{#if ${name}}}x{{/if}}{{contains db "${name}"}}`, ROOT), 'false');
    });
  }

  it('reads keys of such names when the data has them', () => {
    const root: unknown = JSON.parse('{"__proto__":{"a":1},"constructor":"c"}');
    assert.equal(render('{{__proto__.a}}{{constructor}}', root), '1c');
    assert.equal(render('{{json (object __proto__=1)}}'), '{"__proto__":1}');
    assert.equal(Object.hasOwn(Object.prototype, 'a'), false);
  });

  it('has no functions', () => {
    refusal('ERR_TEMPLATE_VALUE', () => render('{{f}}', { f: () => 'called' }));
    refusal('ERR_TEMPLATE_HELPER', () => render('{{f 1}}', { f: () => 'called' }));
  });
});
