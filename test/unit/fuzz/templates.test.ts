/**
 * Templates over hostile data: what the check finds fine renders or ends with an error about the data, within its
 * bounds, and prints nothing but what it was given. (Arbitrary sources alone are in test/unit/template/bounds.)
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VouchsafeError, dependencyKey, type Dependency } from '../../../src/core/index.ts';
import {
  checkTemplate,
  formatTemplate,
  parseTemplate,
  RENDER_LIMITS,
  renderTemplate,
  TEMPLATE_HELPERS,
  type Template,
} from '../../../src/template/index.ts';
import {
  holds,
  hostileText,
  hostileValue,
  mutatedText,
  PROTOTYPE_NAMES,
} from '../../helpers/arbitraries.ts';

const LIMITS = { ...RENDER_LIMITS, steps: 100_000, outputBytes: 1_000_000, dependencies: 100 };

const names = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'b.c', 'this', 'xs', '@root', '@key', '../a', 'w') },
  { weight: 2, arbitrary: fc.constantFrom(...PROTOTYPE_NAMES).map((name) => `[${name}]`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('a', 'xs', 'this', '@root', '..'), fc.constantFrom(...PROTOTYPE_NAMES))
      .map(([base, name]) => `${base}${base === '..' ? '/' : '.'}${name}`),
  },
  { weight: 1, arbitrary: fc.constantFrom('1', '"x"', 'true', 'null', '-1', '"__proto__"', '""') },
  { weight: 1, arbitrary: hostileText.map((text) => JSON.stringify(text)) },
);

const helpers = TEMPLATE_HELPERS.map(({ name }) => name);
const calls: fc.Arbitrary<string> = fc.letrec<{ call: string }>((tie) => ({
  call: fc.oneof(
    { maxDepth: 3 },
    names,
    fc
      .tuple(
        fc.constantFrom(...helpers, 'lookup', 'get'),
        fc.array(tie('call'), { maxLength: 3 }),
        fc.constantFrom('', '', ' indent=2', ' block=true', ' __proto__=1', ' constructor=a'),
      )
      .map(([name, args, hash]) => `(${[name, ...args].join(' ')}${hash})`),
  ),
})).call;

const parts = fc.oneof(
  calls.map((text) => `{{${text.replace(/^\(|\)$/g, '')}}}`),
  calls.map((text) => `{{#each ${text} as |v k|}}{{json v}}{{k}}{{else}}-{{/each}}`),
  calls.map((text) => `{{#with ${text} as |w|}}{{json w}}{{json this}}{{else}}-{{/with}}`),
  calls.map((text) => `{{#if ${text}}}1{{else}}2{{/if}}`),
  calls.map(
    (text) => `{{#each (list this @root)}}{{#each this}}{{json ${text}}}{{/each}}{{/each}}`,
  ),
  hostileText.map((text) => text.replaceAll('{{', '')),
);
const sources = fc.oneof(
  { weight: 4, arbitrary: fc.array(parts, { maxLength: 4 }).map((list) => list.join('')) },
  {
    weight: 1,
    arbitrary: mutatedText(
      '{{#with (secret "kv/b")}}{{password}}{{/with}}',
      'username = {{properties username}}\n{{#each (keys this)}}{{this}}{{/each}}',
      '{{#each (secrets "kv/")}}{{@key}}{{json (secret (concat "kv/" this))}}{{/each}}',
    ),
  },
);

const data = fc.record({ a: hostileValue, b: hostileValue, xs: fc.array(hostileValue) });

/** Everything but the first call of each is there. */
function lookupOver(value: unknown): (dependency: Dependency) => { value: unknown } | undefined {
  return (dependency) => (dependencyKey(dependency).length % 5 === 0 ? undefined : { value });
}

/** The result, or undefined after an error about data or limits. */
function rendered(
  template: Template,
  root: unknown,
  value: unknown,
): ReturnType<typeof renderTemplate> | undefined {
  try {
    return renderTemplate(template, { root, lookup: lookupOver(value) }, LIMITS);
  } catch (error) {
    assert.ok(error instanceof VouchsafeError, error instanceof Error ? String(error.stack) : '');
    assert.match(error.code, /^ERR_TEMPLATE_(MISSING_KEY|VALUE|LIMIT)$/, error.message);
    assert.ok(error.message.length < 4000, `${error.message.length} characters`);
    return undefined;
  }
}

test('what the check finds fine renders, or says what is wrong with the data', () => {
  const outcomes = { fine: 0, rendered: 0 };
  holds(fc.tuple(sources, data, hostileValue), 1500, ([source, root, value]) => {
    const { problems } = checkTemplate(source, 't');
    if (problems.length > 0) {
      assert.throws(() => parseTemplate(source, 't'), { name: 'VouchsafeError' });
      for (const { path, message } of problems) assert.ok(path !== '' && message !== '');
      return;
    }
    outcomes.fine += 1;
    const template = parseTemplate(source, 't');
    const result = rendered(template, root, value);
    if (result === undefined) return;
    outcomes.rendered += 1;
    assert.ok(Buffer.byteLength(result.text ?? '') <= LIMITS.outputBytes);
    const used = new Set(result.used.map(dependencyKey));
    assert.ok(result.missing.every((one) => used.has(dependencyKey(one))));
    assert.deepEqual(rendered(template, root, value), result, 'the same again');
  });
  assert.ok(outcomes.fine > 200 && outcomes.rendered > 100, JSON.stringify(outcomes));
});

test('nothing of JavaScript itself is ever printed', () => {
  const innards = /native code|\[object |function |=>|class /;
  const plain = { a: 'A', b: { c: 1 }, xs: ['p'] };
  holds(sources, 800, (source) => {
    if (innards.test(source) || checkTemplate(source, 't').problems.length > 0) return;
    assert.doesNotMatch(rendered(parseTemplate(source, 't'), plain, plain)?.text ?? '', innards);
  });
});

test('the shipped formats print any data, or say what cannot be printed', () => {
  const formats = fc.constantFrom('json', 'env', 'properties', 'yaml' as const);
  holds(fc.tuple(formats, hostileValue), 600, ([format, given]) => {
    const value: unknown = JSON.parse(JSON.stringify(given ?? {})); // as Vault sends it: no -0
    const text = rendered(formatTemplate(format), value, value)?.text;
    if (format === 'json' && text !== undefined) assert.deepEqual(JSON.parse(text), value);
  });
});
