/** Secrets that may be absent: `optionalSecret`, and files whose own secret is optional. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { dependencyKey, isOptional, type Dependency } from '../../../src/core/index.ts';
import {
  checkTemplate,
  parseTemplate,
  renderTemplate,
  type TemplateInput,
} from '../../../src/template/index.ts';
import { lookupIn, pass, refusal, render } from './support.ts';

/** `kv/a?` is optional. */
function names(dependencies: readonly Dependency[]): string[] {
  return dependencies.map((one) => `${dependencyKey(one)}${isOptional(one) ? '?' : ''}`);
}

const ABSENT = { 'read:kv/opt': null };
const PRESENT = { 'read:kv/opt': { pw: 'secret', no: null } };

suite('a secret that may be absent', () => {
  const CASES: readonly [source: string, absent: string, present: string][] = [
    ['{{#with (optionalSecret "kv/opt")}}{{pw}}{{else}}none{{/with}}', 'none', 'secret'],
    ['{{#with (optionalSecret "kv/opt")}}{{pw}}{{/with}}.', '.', 'secret.'],
    ['{{#with (optionalSecret "kv/opt") as |s|}}{{s.pw}}{{/with}}.', '.', 'secret.'],
    ['{{#if (optionalSecret "kv/opt")}}yes{{else}}no{{/if}}', 'no', 'yes'],
    ['{{#unless (optionalSecret "kv/opt")}}no{{/unless}}', 'no', ''],
    ['{{default (optionalSecret "kv/opt#pw") "none"}}', 'none', 'secret'],
    ['{{default (optionalSecret "kv/opt#other") "none"}}', 'none', 'none'],
    ['{{default (optionalSecret "kv/opt#no") "none"}}', 'none', 'none'],
    ['{{or (optionalSecret "kv/opt#pw") "none"}}', 'none', 'secret'],
    ['{{not (optionalSecret "kv/opt")}}', 'true', 'false'],
    ['{{optionalSecret "kv/opt#pw"}}', '', 'secret'],
    ['{{json (optionalSecret "kv/opt#pw")}}', 'null', '"secret"'],
    ['{{text (optionalSecret "kv/opt#pw")}}', '', 'secret'],
    ['{{#each (optionalSecret "kv/opt")}}{{@key}},{{else}}none{{/each}}', 'none', 'pw,no,'],
    ['{{#if (optionalSecret "kv/opt")}}{{secret "kv/opt#pw"}}{{/if}}.', '.', 'secret.'],
  ];
  for (const [source, absent, present] of CASES) {
    test(source, () => {
      assert.equal(render(source, {}, ABSENT), absent);
      assert.equal(render(source, {}, PRESENT), present);
      const { text, missing } = pass(source);
      assert.equal(text, undefined);
      assert.deepEqual(names(missing), ['read:kv/opt?']);
    });
  }

  test('in a list: what was deleted is left out, and the rest is written', () => {
    const source =
      '{{#each (secrets "kv/teams")}}{{#with (optionalSecret (concat "kv/teams/" this))}}{{../this}}={{pw}};{{/with}}{{/each}}';
    const values = {
      'list:kv/teams': ['a', 'b', 'c'],
      'read:kv/teams/a': { pw: '1' },
      'read:kv/teams/b': null,
      'read:kv/teams/c': { pw: '3' },
    };
    assert.equal(render(source, {}, values), 'a=1;c=3;');
  });

  test('what only its value makes necessary is not requested before it is known', () => {
    const source = '{{#with (optionalSecret "kv/opt")}}{{secret "kv/other#x"}}{{/with}}';
    assert.deepEqual(names(pass(source).missing), ['read:kv/opt?']);
    assert.deepEqual(names(pass(source, {}, PRESENT).missing), ['read:kv/other']);
    assert.equal(render(source, {}, ABSENT), '');
  });

  test('a use that requires it finds it missing', () => {
    const both = '{{default (optionalSecret "kv/opt#pw") "none"}}{{secret "kv/opt#pw"}}';
    const other = '{{secret "kv/opt#pw"}}{{default (optionalSecret "kv/opt#pw") "none"}}';
    for (const source of [both, other]) {
      for (const values of [ABSENT, {}]) {
        const { text, missing, used } = pass(source, {}, values);
        assert.equal(text, undefined);
        assert.deepEqual([names(missing), names(used)], [['read:kv/opt'], ['read:kv/opt?']]);
      }
      assert.equal(render(source, {}, PRESENT), 'secretsecret');
      assert.deepEqual(names(pass(source, {}, PRESENT).used), ['read:kv/opt?']);
    }
  });

  test('is a version, too; parameters make it no write', () => {
    const [found] = checkTemplate(
      '{{json (optionalSecret "/v1/kv//opt?version=2")}}',
      't',
    ).dependencies;
    assert.deepEqual(found, { kind: 'read', path: 'kv/opt?version=2', optional: true });
    for (const [source, problem] of [
      ['{{optionalSecret "kv/opt" a=1}}', /optionalSecret has no parameter a/],
      ['{{optionalSecret}}', /optionalSecret takes 1 argument, not 0/],
      ['{{optionalSecret "kv/opt#"}}', /the key after # is missing/],
      ['{{optionalSecret ""}}', /argument 1 is empty/],
      ['{{#optionalSecret "kv/opt"}}{{/optionalSecret}}', /not a block/],
      ['{{optionalsecret "kv/opt"}}', /did you mean optionalSecret/],
    ] as const) {
      assert.match(
        checkTemplate(source, 't')
          .problems.map(({ message }) => message)
          .join(),
        problem,
      );
    }
  });

  test('errors say that it is null, and never what it holds', () => {
    const missing = '{{lookup (optionalSecret "kv/opt") "pw"}}';
    const message = refusal('ERR_TEMPLATE_MISSING_KEY', () => render(missing, {}, ABSENT));
    assert.match(message, /it is null/);
    const required = '{{required (optionalSecret "kv/opt#pw") "set kv/opt"}}';
    assert.match(
      refusal('ERR_TEMPLATE_VALUE', () => render(required, {}, ABSENT)),
      /set kv\/opt/,
    );
    const printed = refusal('ERR_TEMPLATE_VALUE', () =>
      render('{{optionalSecret "kv/opt"}}', {}, PRESENT),
    );
    assert.match(printed, /an object \(keys: pw, no\) cannot be printed/);
  });
});

suite('a context that may be absent', () => {
  const template = parseTemplate('{{pw}}{{secret "kv/other#x"}}', 't');
  const context = (optional: boolean, key?: string): NonNullable<TemplateInput['context']> => ({
    dependency: { kind: 'read', path: 'kv/opt', ...(optional && { optional }) },
    key,
  });

  test('leads to no output, and to no other request', () => {
    const input = { lookup: lookupIn(ABSENT), context: context(true) };
    const { text, binary, isAbsent, missing, used } = renderTemplate(template, input);
    assert.deepEqual(
      { text, binary, isAbsent, missing },
      { text: undefined, binary: undefined, isAbsent: true, missing: [] },
    );
    assert.deepEqual(names(used), ['read:kv/opt?']);
  });

  test('is waited for before anything else is requested', () => {
    const { isAbsent, missing } = renderTemplate(template, {
      lookup: lookupIn({}),
      context: context(true),
    });
    assert.deepEqual([isAbsent, names(missing)], [false, ['read:kv/opt?']]);
  });

  test('is rendered while it exists', () => {
    const lookup = lookupIn({ ...PRESENT, 'read:kv/other': { x: '!' } });
    const { text, isAbsent } = renderTemplate(template, { lookup, context: context(true) });
    assert.deepEqual([text, isAbsent], ['secret!', false]);
  });

  test('is absent without its key', () => {
    const raw = parseTemplate('{{this}}', 't');
    for (const [key, isAbsent] of [
      ['pw', false],
      ['other', true],
      ['no', true],
    ] as const) {
      const found = renderTemplate(raw, { lookup: lookupIn(PRESENT), context: context(true, key) });
      assert.equal(found.isAbsent, isAbsent, key);
    }
    const run = (): unknown =>
      renderTemplate(raw, { lookup: lookupIn(PRESENT), context: context(false, 'other') });
    assert.match(refusal('ERR_TEMPLATE_MISSING_KEY', run), /no key other in kv\/opt/);
  });

  test('that is required is missing while it is absent', () => {
    const { text, isAbsent, missing } = renderTemplate(template, {
      lookup: lookupIn(ABSENT),
      context: context(false),
    });
    assert.deepEqual([text, isAbsent], [undefined, false]);
    assert.deepEqual(names(missing), ['read:kv/opt', 'read:kv/other']);
  });
});

test('whatever exists: a guarded use never requires, an unguarded one always does', () => {
  const guarded = '{{#with (optionalSecret (concat "kv/" NAME))}}{{x}}{{/with}}';
  const required = '{{secret (concat "kv/" NAME "#x")}}';
  const use = fc.record({ name: fc.constantFrom('a', 'b', 'c'), isGuarded: fc.boolean() });
  const state = fc.record({ a: fc.boolean(), b: fc.boolean(), c: fc.boolean() });
  fc.assert(
    fc.property(fc.array(use, { minLength: 1, maxLength: 8 }), state, (uses, exists) => {
      const source = uses
        .map(({ name, isGuarded }) => (isGuarded ? guarded : required).replace('NAME', `"${name}"`))
        .join('');
      const values = Object.fromEntries(
        Object.entries(exists).map(([name, is]) => [`read:kv/${name}`, is ? { x: name } : null]),
      );
      const { text, missing, used } = pass(source, {}, values);
      const blocked = new Set(
        uses
          .filter((one) => !one.isGuarded && !exists[one.name])
          .map(({ name }) => `read:kv/${name}`),
      );
      assert.deepEqual(new Set(names(missing)), blocked);
      const expected = uses
        .filter(({ name }) => exists[name])
        .map(({ name }) => name)
        .join('');
      assert.equal(text, blocked.size > 0 ? undefined : expected);
      for (const one of used) {
        const isGuarded = uses.some(
          (other) => other.isGuarded && dependencyKey(one) === `read:kv/${other.name}`,
        );
        assert.equal(isOptional(one), isGuarded);
      }
    }),
  );
});
