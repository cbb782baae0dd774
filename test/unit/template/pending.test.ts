import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dependencyKey, type Dependency } from '../../../src/core/index.ts';
import { parseTemplate, renderTemplate, type TemplateInput } from '../../../src/template/index.ts';
import { lookupIn, pass, refusal } from './support.ts';

function keys(dependencies: readonly Dependency[]): string[] {
  return dependencies.map(dependencyKey);
}

/** Renders until nothing is missing; gives the text and what each pass missed. */
function passes(
  source: string,
  values: Readonly<Record<string, unknown>>,
  input: Omit<TemplateInput, 'lookup'> = {},
): { text: string | undefined; missed: string[][] } {
  const template = parseTemplate(source, 't');
  const have: Record<string, unknown> = {};
  const missed: string[][] = [];
  for (;;) {
    const { text, missing } = renderTemplate(template, { ...input, lookup: lookupIn(have) });
    if (missing.length === 0) return { text, missed };
    missed.push(keys(missing));
    assert.equal(text, undefined);
    assert.ok(missed.length < 10);
    for (const key of keys(missing)) {
      assert.ok(Object.hasOwn(values, key) && !Object.hasOwn(have, key), key);
      have[key] = values[key];
    }
  }
}

describe('many passes', () => {
  it('asks for all independent values in one pass, each once', () => {
    const source =
      '{{secret "b/x#u"}}{{json (secret "a/x")}}{{secret "b/x#v"}}{{spiffeId}}{{jwtSvid "one"}}';
    const { text, missed } = passes(source, {
      'read:b/x': { u: 'U', v: 'V' },
      'read:a/x': {},
      'spiffe-id': 'spiffe://x.test/w',
      'jwt-svid:["one"]': 'JWT',
    });
    assert.equal(text, 'U{}Vspiffe://x.test/wJWT');
    assert.deepEqual(missed, [['read:b/x', 'read:a/x', 'spiffe-id', 'jwt-svid:["one"]']]);
  });

  it('asks for what depends on a value once the value is there', () => {
    const source =
      '{{#each (secrets "kv/apps") as |app|}}{{app}}={{secret (concat "kv/apps/" app "#pw")}};{{/each}}';
    const { text, missed } = passes(source, {
      'list:kv/apps': ['a', 'b'],
      'read:kv/apps/a': { pw: '1' },
      'read:kv/apps/b': { pw: '2' },
    });
    assert.equal(text, 'a=1;b=2;');
    assert.deepEqual(missed, [['list:kv/apps'], ['read:kv/apps/a', 'read:kv/apps/b']]);
  });

  it('goes on within with, so that nested values are asked for together', () => {
    const source =
      '{{#with (secret "a/x") as |a|}}{{user}}{{#with (secret "b/x")}}{{../user}}{{a.user}}{{pw}}{{/with}}{{/with}}';
    const { text, missed } = passes(source, {
      'read:a/x': { user: 'u' },
      'read:b/x': { pw: 'p' },
    });
    assert.equal(text, 'uuup');
    assert.deepEqual(missed, [['read:a/x', 'read:b/x']]);
  });

  it('is sure of nothing within an unknown context', () => {
    const source =
      '{{#with (secret "a/x")}}{{#with (secret "b/x")}}{{secret ../../path}}{{../nope.x}}{{trim (list 1)}}{{/with}}{{/with}}';
    assert.deepEqual(keys(pass(source, { path: 'c/x' }).missing), [
      'read:a/x',
      'read:b/x',
      'read:c/x',
    ]);
  });

  it('renders neither branch of what is not known', () => {
    const source =
      '{{#if (secret "a/x#on")}}{{secret "b/x#v"}}{{else}}{{secret "c/x#v"}}{{/if}}{{#each (secret "a/x")}}{{@key}}{{else}}{{secret "d/x#v"}}{{/each}}{{#with (secret "a/x#no")}}x{{else}}{{secret "c/x#v"}}{{/with}}';
    const { text, missed } = passes(source, {
      'read:a/x': { on: false, no: null },
      'read:c/x': { v: 'C' },
    });
    assert.equal(text, 'ConnoC');
    assert.deepEqual(missed, [['read:a/x'], ['read:c/x']]);
  });

  it('spreads through paths, parameters, includeZero, sections and helpers', () => {
    const source = `{{#with (secret "a/x") as |x|}}{{x.y.z}}{{json (object k=x.y)}}{{upper (concat "a" x.b)}}
      {{#if 0 includeZero=x.b}}{{secret "b/x#v"}}{{/if}}{{#x.c}}{{secret "b/x#v"}}{{/x.c}}{{^x.c}}{{secret "b/x#v"}}{{/x.c}}
      {{#if (not x.d)}}{{secret "b/x#v"}}{{/if}}{{default x.e (secret "b/x#v")}}{{/with}}`;
    assert.deepEqual(keys(pass(source).missing), ['read:a/x']);
  });

  it('does not ask for a fallback that is not needed', () => {
    const { text, missed } = passes('{{default (secret "a/x#k") (secret "b/x#k")}}', {
      'read:a/x': { k: 'v' },
    });
    assert.equal(text, 'v');
    assert.deepEqual(missed, [['read:a/x']]);
  });

  it('distinguishes writes, reads and certificates by their parameters', () => {
    const source =
      '{{json (secret "t/x")}}{{json (secret "t/x" a=1 b=2)}}{{json (secret "t/x" b=2 a=1)}}{{json (pki "t/x" a=1)}}';
    assert.deepEqual(keys(pass(source).missing), [
      'read:t/x',
      'write:t/x?[["a",1],["b",2]]',
      'pki:t/x?[["a",1]]',
    ]);
  });

  it('reports what was used, also what is there already', () => {
    const { used, missing } = pass(
      '{{secret "a/x#k"}}{{secret "b/x#k"}}',
      {},
      { 'read:a/x': { k: 1 } },
    );
    assert.deepEqual([keys(used), keys(missing)], [['read:a/x', 'read:b/x'], ['read:b/x']]);
  });

  it('reports a missing key while other values are still missing', () => {
    const work = (): unknown =>
      pass('{{secret "b/x#k"}}{{secret "a/x#nope"}}', {}, { 'read:a/x': { k: 1 } });
    assert.match(
      refusal('ERR_TEMPLATE_MISSING_KEY', work),
      /secret: there is no key nope in a\/x \(keys: k\)/,
    );
  });

  it('names the path of a value in whose context a key is missing', () => {
    const values = { 'read:a/x': { k: 1, inner: { i: 1 } } };
    for (const [source, key, found] of [
      ['{{#with (secret "a/x")}}{{nope}}{{/with}}', 'nope', 'k, inner'],
      ['{{#with (secret "a/x") as |s|}}{{s.inner.nope}}{{/with}}', 's.inner.nope', 'i'],
    ] as const) {
      const message = refusal('ERR_TEMPLATE_MISSING_KEY', () => pass(source, {}, values));
      assert.ok(
        message.endsWith(`: ${key}: there is no key nope in a/x (keys: ${found})`),
        message,
      );
    }
  });

  it('is lenient about a key of a secret where a missing value is', () => {
    const { text } = pass('{{default (secret "a/x#nope") "d"}}', {}, { 'read:a/x': { k: 1 } });
    assert.equal(text, 'd');
  });

  it('passes on what the look-up throws', () => {
    const reason = new Error('stop');
    const template = parseTemplate('{{secret "a/x#k"}}', 't');
    const lookup = (): never => {
      throw reason;
    };
    assert.throws(() => renderTemplate(template, { lookup }), reason);
  });
});

describe('the root context', () => {
  const dependency = { kind: 'read', path: 'a/x' } as const;
  const values = { 'read:a/x': { user: 'u', nested: { k: 'v' } } };

  it('is the data of a dependency', () => {
    assert.deepEqual(
      passes('{{user}}{{@root.user}}{{secret "a/x#user"}}', values, { context: { dependency } }),
      {
        text: 'uuu',
        missed: [['read:a/x']],
      },
    );
  });

  it('is one key of it', () => {
    const { text } = passes('{{k}}', values, { context: { dependency, key: 'nested' } });
    assert.equal(text, 'v');
    const work = (): unknown =>
      passes('{{this}}', values, { context: { dependency, key: 'nope' } });
    assert.match(
      refusal('ERR_TEMPLATE_MISSING_KEY', work),
      /^t:1:1: the context: there is no key nope in a\/x \(keys: user, nested\)$/,
    );
  });

  it('lets independent values be asked for while it is pending', () => {
    const { missing } = renderTemplate(
      parseTemplate('{{user}}{{#each this}}x{{/each}}{{secret "b/x"}}', 't'),
      {
        context: { dependency },
        lookup: () => undefined,
      },
    );
    assert.deepEqual(keys(missing), ['read:a/x', 'read:b/x']);
  });

  it('is an empty object when none is given', () => {
    const { text } = renderTemplate(parseTemplate('{{json this}}', 't'), {
      lookup: () => undefined,
    });
    assert.equal(text, '{}');
  });
});
