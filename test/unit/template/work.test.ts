import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  AGENT_WORK_BYTES,
  checkTemplate,
  DRIVER_WORK_BYTES,
  parseTemplate,
  RENDER_LIMITS,
  renderTemplate,
  type RenderLimits,
} from '../../../src/template/index.ts';
import { FIXED_CERTIFICATE, FIXED_KEY } from '../../helpers/every-template.ts';
import { cpuMs } from '../../helpers/cpu-time.ts';
import { doubled } from '../../helpers/costly-document.ts';
import { lookupIn, refusal } from './support.ts';

const MIB = 1024 * 1024;
const DRIVER = { ...RENDER_LIMITS, workBytes: DRIVER_WORK_BYTES };

function run(source: string, root: unknown, limits: RenderLimits = RENDER_LIMITS): string {
  const input = { root, lookup: lookupIn({}) };
  return renderTemplate(parseTemplate(source, 't'), input, limits).text ?? '';
}

function limited(source: string, root: unknown, limits?: RenderLimits): string {
  return refusal('ERR_TEMPLATE_LIMIT', () => run(source, root, limits));
}

describe('work', () => {
  it('what all helpers of one rendering make is one sum', () => {
    const limits = { ...RENDER_LIMITS, workBytes: 1000 };
    const call = '{{#if (concat a a)}}{{/if}}';
    assert.equal(run(call.repeat(5), { a: 'x'.repeat(100) }, limits), '');
    assert.match(
      limited(call.repeat(6), { a: 'x'.repeat(100) }, limits),
      /^t:1:143: concat: the texts and items .* more than 1000 bytes; .* agent\.maxRenderBytes .*csi\.maxRenderBytes/,
    );
  });

  it('the output is part of it, and characters beyond U+00FF are two bytes', () => {
    const limits = { ...RENDER_LIMITS, workBytes: 100 };
    run('{{a}}', { a: 'é'.repeat(100) }, limits);
    limited('{{a}}x', { a: 'é'.repeat(100) }, limits);
    run('{{a}}', { a: '€'.repeat(50) }, limits);
    limited('{{a}}', { a: '€'.repeat(51) }, limits);
    limited('{{a}}{{b}}', { a: 'x'.repeat(50), b: '€' }, limits);
  });

  it('key stores are a few, however cheap they look, and none is made by a check', () => {
    const root = { key: FIXED_KEY, certificate: FIXED_CERTIFICATE };
    const call = '{{#if (pkcs12 key certificate)}}{{/if}}';
    const spentMs = cpuMs(() => {
      assert.match(limited(call.repeat(100), root), /more than 5000000 steps/);
    });
    assert.ok(spentMs < 1000, `${spentMs} ms`);
    const literal = `{{secret (sha256 (pkcs12Trust "${FIXED_CERTIFICATE}"))}}`;
    const checkMs = cpuMs(() => checkTemplate(literal.repeat(20), 't'));
    assert.ok(checkMs < 100, `${checkMs} ms`);
  });

  it('letters that are longer in the other case are looked at one by one, and each is a step', () => {
    const limits = { ...RENDER_LIMITS, steps: 1000 };
    for (const helper of ['upper', 'lower']) {
      run(`{{${helper} a}}`, { a: 'é'.repeat(2000) }, limits);
      assert.match(
        limited(`{{${helper} a}}`, { a: 'ß'.repeat(2000) }, limits),
        /more than 1000 steps/,
      );
    }
  });

  it('nothing is made beyond the bound, whatever makes it', () => {
    const a = 'x\n'.repeat(MIB);
    for (const source of [
      '{{length (concat a a a a a a a a a a a a a a a a)}}',
      '{{length (indent a 100)}}',
      '{{length (replace a "x" a)}}',
      '{{length (split a "x")}}',
      '{{length (join (split "x x x x x x x x x x x x x x x x x x x" " ") a)}}',
      '{{length (json (list a a a a a a a a a a a a a a a))}}',
      '{{length (yaml (list a a a a a a a a a a a a a a a))}}',
      '{{length (properties (concat a a a a a a a a a a a a))}}',
      '{{length (url (concat a a a a a a a a a a))}}',
      '{{length (xml (concat a a a a a a a a a a))}}',
      '{{length (base64Encode (concat a a a a a a a a))}}',
      '{{length (parseJson b)}}',
    ]) {
      const root = { a, b: `[${'0,'.repeat(MIB)}0]` };
      assert.ok(cpuMs(() => limited(source, root)) < 1000, source);
    }
  });

  it('a megabyte prints through json, Base64 and indent, in agent and driver', () => {
    const secret = { value: 'line of a secret\n'.repeat(MIB / 17) };
    for (const limits of [{ ...RENDER_LIMITS, workBytes: AGENT_WORK_BYTES }, DRIVER]) {
      for (const source of [
        '{{json this}}',
        '{{json value}}',
        '{{base64Encode value}}',
        '{{base64Encode (json value)}}',
        '{{indent value 4}}',
        '{{indent (base64Encode value) 4}}',
        '{{yaml value}}{{sha256 value}}',
        '{{properties value}}',
      ]) {
        assert.ok(run(source, secret, limits).length >= MIB - 17, source);
      }
    }
  });

  it('a fault that nobody sees costs no look through a secret', () => {
    const big = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`k${index}`, 1]));
    const source = '{{#each xs}}{{#with (secret "kv/a")}}{{@root.big.nope}}{{/with}}{{/each}}';
    const root = { big, xs: Array(5_000).fill(1) };
    assert.ok(cpuMs(() => run(source, root)) < 1000);
  });

  it('JSON is rejected by depth, number of values and length of keys before it is parsed', () => {
    const deep = refusal('ERR_TEMPLATE_VALUE', () =>
      run('{{json (parseJson a)}}', { a: '['.repeat(6 * MIB) }),
    );
    assert.match(deep, /nested deeper than 100/);
    const many = `{${'"n":[],'.repeat(428_000)}"n":[]}`;
    assert.ok(cpuMs(() => limited('{{#if (parseJson a)}}{{/if}}', { a: many })) < 1000);
    const key = `{"${'k'.repeat(20_000)}":1}`;
    assert.match(
      refusal('ERR_TEMPLATE_VALUE', () => run('{{#if (parseJson a)}}{{/if}}', { a: key })),
      /a key of more than 16000 characters/,
    );
    assert.equal(
      run('{{json (parseJson a)}}', { a: '{"a":["[{,:",{"b":null}]}' }),
      '{"a":["[{,:",{"b":null}]}',
    );
  });
});

describe('templates that stopped a driver', () => {
  it('a long needle in a long text ends at once', () => {
    const needle = `{{#with (concat "ab" this) as |pat|}}`;
    for (const [text, part] of [
      [22, 16],
      [20, 16],
      [14, 11],
    ] as const) {
      const rest = `{{#with (concat this this)}}`.repeat(text - part);
      const source = doubled(
        'a',
        part,
        `${needle}${rest}{{#if (contains this pat)}}{{/if}}{{#if (replace this pat "")}}{{/if}}{{#if (split this pat)}}{{/if}}${'{{/with}}'.repeat(text - part + 1)}`,
      );
      assert.ok(cpuMs(() => run(source, {})) < 1000);
    }
  });

  it('each over the parts of a long text ends before it makes them', () => {
    const source = doubled('a', 23, '{{#each (split this "a")}}{{/each}}');
    assert.match(limited(source, {}), /split: rendering takes more than 5000000 steps/);
    assert.match(
      limited(
        source
          .replace('(concat this this)', 'this')
          .replace('(concat this this)', 'this')
          .replace('(concat this this)', 'this'),
        {},
        DRIVER,
      ),
      /split: the texts and items .* 8 MiB/,
    );
  });

  it('seventy lengths of a long text end below a second', () => {
    const source = doubled('a', 23, '{{length this}}'.repeat(70));
    assert.ok(cpuMs(() => run(source, {})) < 1000);
    const wide = doubled('€', 21, '{{length this}}'.repeat(70));
    assert.ok(cpuMs(() => run(wide, {})) < 1000);
  });
});
