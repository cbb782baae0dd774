import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc, { type GeneratorValue } from 'fast-check';
import Handlebars from 'handlebars';
import { VouchsafeError } from '../../../src/core/index.ts';
import { render } from './support.ts';

/** What the data looks like, so that templates can be made that fit it. */
type Shape =
  | { readonly kind: 'text' | 'number' | 'boolean' | 'null' | 'key' }
  | { readonly kind: 'record'; readonly keys: Readonly<Record<string, Shape>> }
  | { readonly kind: 'list' | 'map'; readonly of: Shape };

const TEXT: Shape = { kind: 'text' };
/** What a block parameter of `each` gives; a number in lists, so it is not made a context. */
const KEY: Shape = { kind: 'key' };
const NUMBER: Shape = { kind: 'number' };
const ROOT: Shape = {
  kind: 'record',
  keys: {
    a: TEXT,
    n: NUMBER,
    t: { kind: 'boolean' },
    z: { kind: 'null' },
    o: {
      kind: 'record',
      keys: { a: TEXT, 'seg ment': TEXT, p: { kind: 'record', keys: { n: NUMBER, b: TEXT } } },
    },
    xs: { kind: 'list', of: TEXT },
    ns: { kind: 'list', of: NUMBER },
    rs: { kind: 'list', of: { kind: 'record', keys: { a: TEXT, ys: { kind: 'list', of: TEXT } } } },
    m: { kind: 'map', of: TEXT },
    mo: { kind: 'map', of: { kind: 'record', keys: { b: TEXT, n: NUMBER } } },
  },
};

/**
 * Handlebars takes contexts that are loosely equal (`0` and `''`, `[1]` and `1`) for the same one and mixes them
 * up, so zeros and empty texts are not in the same data, and lists of one are left out.
 */
function dataOf(shape: Shape, falsy: 0 | ''): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case 'text':
      return fc.constantFrom(
        falsy === '' ? falsy : 'v',
        'x',
        'yy',
        '<&>"\'`=',
        '{{a}}',
        ' sp ',
        'ü€😀',
        'l\nm',
      );
    case 'key':
    case 'number':
      return fc.constantFrom(falsy === 0 ? falsy : 3, 7, -2.5, 1e21, 42);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constantFrom(null, 'w');
    case 'record':
      return fc.record(
        Object.fromEntries(Object.entries(shape.keys).map(([key, of]) => [key, dataOf(of, falsy)])),
        { noNullPrototype: true },
      );
    case 'map':
      return fc.dictionary(fc.constantFrom('k', 'l', '9', '8', 'k-k'), dataOf(shape.of, falsy), {
        noNullPrototype: true,
      });
    case 'list':
      return fc.oneof(
        fc.constant([]),
        fc.array(dataOf(shape.of, falsy), { minLength: 2, maxLength: 3 }),
      );
  }
}

/** The names around a place in the template being made. */
interface Place {
  /** Contexts, innermost first. */
  readonly contexts: readonly Shape[];
  readonly params: Readonly<Record<string, Shape>>;
  /** How many `each` are around. */
  readonly turns: number;
  readonly depth: number;
}

/** Writes a random template that fits the data. */
class Author {
  readonly #draw: GeneratorValue;

  constructor(draw: GeneratorValue) {
    this.#draw = draw;
  }

  program(place: Place): string {
    // A block has up to three programs: without an end at some depth, one in thousands of templates would never end.
    const max = place.depth > 6 ? 0 : place.depth > 3 ? 1 : 4;
    const count = this.#draw(fc.integer, { min: 0, max });
    return (
      Array.from({ length: count }, () => this.#text() + this.#piece(place)).join('') + this.#text()
    );
  }

  #pick<T>(...items: readonly [T, ...T[]]): T {
    const index = this.#draw(fc.nat, { max: items.length - 1 });
    return items[index] ?? items[0];
  }

  #text(): string {
    return this.#pick(
      '',
      '',
      ' ',
      '\n',
      '\n  ',
      'x',
      ' y\n',
      '\t\n\n',
      '\r\n',
      '\\{{b}} ',
      'z\\\\',
    );
  }

  #open(sign: string): string {
    return this.#pick('{{', '{{', '{{', '{{~') + sign;
  }

  #close(): string {
    return this.#pick('}}', '}}', '}}', '~}}');
  }

  #piece(place: Place): string {
    const kinds = [
      'print',
      'print',
      'if',
      'each',
      'with',
      'section',
      'data',
      'odd',
      'lookup',
    ] as const;
    switch (this.#pick(...kinds)) {
      case 'print': {
        const { text, shape } = this.#path(place, (found) => !isFilled(found));
        return this.#print(text, shape.kind === 'text');
      }
      case 'if':
        return this.#condition(place);
      case 'each':
        return this.#each(place);
      case 'with':
        return this.#with(place);
      case 'section':
        return this.#section(place);
      case 'data':
        return this.#data(place);
      case 'lookup':
        return this.#print(
          `lookup ${this.#path(place, (shape) => shape.kind === 'record').text} "a"`,
          true,
        );
      case 'odd':
        return this.#pick(
          '{{! note }}',
          '{{~!-- {{x}} --~}}',
          '{{"a"}}',
          '{{&a}}',
          '{{#if true}}1{{/if}}',
          '{{#if 0 includeZero=true}}0{{/if}}',
          '{{{{t}}}} {{raw}} {{{{/t}}}}',
          '{{#if (lookup xs 1)}}s{{/if}}',
          '{{lookup "abc" 1}}',
          '{{@root.o.[seg ment]}}',
        );
    }
  }

  /** Handlebars adds two numbers that stand side by side, so text is put between. */
  #print(inner: string, isText = false): string {
    return (
      (isText ? '' : 'p') +
      this.#pick(`${this.#open('')}${inner}${this.#close()}`, `{{{${inner}}}}`, `{{ ${inner} }}`)
    );
  }

  #condition(place: Place): string {
    const name = this.#pick('if', 'unless');
    const subject = this.#path(place, () => true).text;
    const zero = this.#pick(
      '',
      '',
      ' includeZero=true',
      ` includeZero=${this.#path(place, () => true).text}`,
    );
    const inner = { ...place, depth: place.depth + 1 };
    const sign = this.#pick('#', '#', '#', '^');
    const chain = sign === '^' ? '' : this.#pick('', '', this.#chain(inner));
    return this.#block(
      sign,
      `${name} ${subject}${zero}`,
      name,
      this.program(inner) + chain + this.#else(inner, sign),
    );
  }

  #chain(place: Place): string {
    const subject = this.#path(place, () => true).text;
    return `${this.#open('else ')}if ${subject}${this.#close()}${this.program(place)}`;
  }

  #else(place: Place, sign = '#'): string {
    if (sign === '^' || this.#draw(fc.boolean)) return '';
    return this.#open(this.#pick('else', '^')) + this.#close() + this.program(place);
  }

  #each(place: Place): string {
    const { text, shape } = this.#path(
      place,
      (found) => found.kind === 'list' || found.kind === 'map',
    );
    const item = shape.kind === 'list' || shape.kind === 'map' ? shape.of : TEXT;
    const [names, params] = this.#pick<[string, Record<string, Shape>]>(
      ['', {}],
      [' as |v|', { v: item }],
      [' as |v k|', { v: item, k: KEY }],
      [' as |a b|', { a: item, b: KEY }],
    );
    const inner = this.#inside(place, item, params, 1);
    return this.#block(
      '#',
      `each ${text}${names}`,
      'each',
      this.program(inner) + this.#else(place),
    );
  }

  #with(place: Place): string {
    const { text, shape } = this.#path(place, (found) => found.kind !== 'key');
    const name = this.#pick('', 'w', 'a');
    const params = name === '' ? {} : { [name]: shape };
    const inner = this.#inside(place, shape, params, 0);
    const names = name === '' ? '' : ` as |${name}|`;
    return this.#block(
      '#',
      `with ${text}${names}`,
      'with',
      this.program(inner) + this.#else(place),
    );
  }

  #section(place: Place): string {
    const { text, shape } = this.#path(place, (found) => found.kind !== 'key');
    if (shape.kind === 'list') {
      return this.#block(
        '#',
        text,
        text,
        this.program(this.#inside(place, shape.of, {}, 1)) + this.#else(place),
      );
    }
    const isSame = shape.kind === 'boolean';
    const outer = { ...place, depth: place.depth + 1 };
    const inner = isSame ? outer : this.#inside(place, shape, {}, 0);
    const sign = this.#pick('#', '^');
    const body = this.program(sign === '^' ? outer : inner);
    return this.#block(sign, text, text, body + this.#else(place, sign));
  }

  #data(place: Place): string {
    if (place.turns === 0) return this.#print('@root.a');
    const up = this.#draw(fc.integer, { min: 0, max: place.turns - 1 });
    return this.#print(`@${'../'.repeat(up)}${this.#pick('index', 'key', 'first', 'last')}`);
  }

  #block(sign: string, head: string, name: string, body: string): string {
    return `${this.#open(sign)}${head}${this.#close()}${body}${this.#open('/')}${name}${this.#close()}`;
  }

  #inside(place: Place, context: Shape, params: Record<string, Shape>, turns: number): Place {
    return {
      contexts: [context, ...place.contexts],
      params: { ...place.params, ...params },
      turns: place.turns + turns,
      depth: place.depth + 1,
    };
  }

  /** A path to something that suits. */
  #path(place: Place, suits: (shape: Shape) => boolean): { text: string; shape: Shape } {
    const starts = [
      ...place.contexts.map((shape, up) => ({
        text: up === 0 ? 'this' : Array(up).fill('..').join('/'),
        shape,
      })),
      ...Object.entries(place.params).map(([text, shape]) => ({ text, shape })),
      { text: '@root', shape: ROOT },
    ];
    const found = starts.flatMap((start) => below(start.text, start.shape));
    const suitable = found.filter(({ shape }) => suits(shape));
    const chosen = this.#pick(...(suitable as [(typeof suitable)[number]])); // @root has every kind
    // The short form, where no block parameter hides it.
    const short = chosen.text.replace(/^this[./]/, '');
    const isHidden = Object.hasOwn(place.params, short.split(/[./]/)[0] ?? '');
    return { shape: chosen.shape, text: isHidden || this.#draw(fc.boolean) ? chosen.text : short };
  }
}

function isFilled(shape: Shape): boolean {
  return shape.kind === 'record' || shape.kind === 'list' || shape.kind === 'map';
}

function below(text: string, shape: Shape): { text: string; shape: Shape }[] {
  const here = { text, shape };
  if (shape.kind !== 'record') return [here];
  const keys = Object.entries(shape.keys).flatMap(([key, inner]) =>
    below(
      `${text}${text.endsWith('..') || key === 'p' ? '/' : '.'}${key.replace(/.* .*/, '[$&]')}`,
      inner,
    ),
  );
  return [here, ...keys];
}

describe('compared with Handlebars', () => {
  it('prints what Handlebars prints, for any template that misses nothing', () => {
    let compared = 0;
    let skipped = 0;
    fc.assert(
      fc.property(
        fc.constantFrom<0 | ''>(0, '').chain((falsy) => dataOf(ROOT, falsy)),
        fc.gen(),
        (data, draw) => {
          const source = new Author(draw).program({
            contexts: [ROOT],
            params: {},
            turns: 0,
            depth: 0,
          });
          const expected = Handlebars.compile(source, { noEscape: true })(data);
          let text: string;
          try {
            text = render(source, data);
          } catch (error) {
            // What Handlebars lets pass: a missing key, an object that is printed, `each` over text.
            assert.ok(error instanceof VouchsafeError, String(error));
            assert.match(error.code, /^ERR_TEMPLATE_(MISSING_KEY|VALUE)$/);
            skipped += 1;
            return;
          }
          compared += 1;
          assert.equal(text, expected, source);
        },
      ),
      { numRuns: 200 },
    );
    assert.ok(compared > skipped * 2, `${compared} compared, ${skipped} skipped`);
  });
});
