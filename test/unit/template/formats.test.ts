import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { formatTemplate, renderTemplate, type FormatName } from '../../../src/template/index.ts';
import { refusal } from './support.ts';

const dependency = { kind: 'read', path: 'kvv2/app' } as const;

/** A secret as that format, or one key of it. */
function format(name: FormatName, data: unknown, key?: string): string | undefined {
  const { text, missing } = renderTemplate(formatTemplate(name), {
    context: key === undefined ? { dependency } : { dependency, key },
    lookup: () => ({ value: data }),
  });
  assert.deepEqual(missing, []);
  return text;
}

const SECRET = {
  USER: 'app',
  PASSWORD: `p'w $1`,
  EMPTY: '',
  NONE: null,
  PORT: 5432,
  TAGS: ['a', { b: true }],
};

describe('shipped formats', () => {
  it('json prints the object on several lines, or the one value', () => {
    assert.equal(format('json', SECRET), `${JSON.stringify(SECRET, null, 2)}\n`);
    assert.equal(format('json', SECRET, 'PASSWORD'), `"p'w $1"\n`);
    assert.equal(format('json', {}), '{}\n');
  });

  it('env prints KEY=value lines', () => {
    const lines = [
      'USER=app',
      `PASSWORD="p'w \\$1"`,
      'EMPTY=',
      'NONE=',
      'PORT=5432',
      `TAGS='["a",{"b":true}]'`,
    ];
    assert.equal(format('env', SECRET), `${lines.join('\n')}\n`);
    assert.equal(format('env', {}), '');
  });

  it('env rejects invalid names, and single values', () => {
    const work = (): unknown => format('env', { 'db-user': 'x' });
    assert.match(
      refusal('ERR_TEMPLATE_VALUE', work),
      /^env format:1:10: envKeys: these keys are not valid names .*: db-user; rename/,
    );
    refusal('ERR_TEMPLATE_VALUE', () => format('env', SECRET, 'USER'));
  });

  it('properties prints key=value lines', () => {
    assert.equal(
      format('properties', { 'a b': ' x', 'db.url': 'jdbc:x', n: 1, l: [1] }),
      'a\\ b=\\ x\ndb.url=jdbc\\:x\nn=1\nl=[1]\n',
    );
  });

  it('yaml prints a mapping, or the one value', () => {
    const text = format('yaml', SECRET) ?? '';
    assert.match(text, /^USER: "app"\nPASSWORD: "p'w \$1"\n/);
    assert.deepEqual(parseYaml(text), SECRET);
    assert.equal(format('yaml', SECRET, 'USER'), '"app"\n');
  });

  it('raw prints the one value exactly', () => {
    assert.equal(format('raw', SECRET, 'PASSWORD'), `p'w $1`);
    assert.equal(format('raw', { only: ' two\nlines\n' }), ' two\nlines\n');
    assert.equal(format('raw', SECRET, 'NONE'), '');
  });

  it('raw rejects several values, and says how to pick one', () => {
    const message = refusal('ERR_TEMPLATE_VALUE', () => format('raw', SECRET));
    assert.match(message, /select it with path#key \(keys: USER, PASSWORD/);
    refusal('ERR_TEMPLATE_VALUE', () => format('raw', SECRET, 'TAGS'));
    refusal('ERR_TEMPLATE_VALUE', () => format('raw', {}));
  });

  it('print nothing of a secret that is not there yet', () => {
    for (const name of ['json', 'env', 'properties', 'yaml', 'raw'] as const) {
      const result = renderTemplate(formatTemplate(name), {
        context: { dependency },
        lookup: () => undefined,
      });
      assert.deepEqual(result, {
        text: undefined,
        binary: undefined,
        isAbsent: false,
        missing: [dependency],
        used: [dependency],
      });
    }
  });

  it('are the files of templates/', () => {
    const files = readdirSync(new URL('../../../templates/', import.meta.url)).filter((file) =>
      file.endsWith('.hbs'),
    );
    assert.deepEqual(files.sort(), [
      'env.hbs',
      'json.hbs',
      'properties.hbs',
      'raw.hbs',
      'yaml.hbs',
    ]);
  });
});
