import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { parseEnv } from 'node:util';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import {
  encodeJson,
  encodeToml,
  encodeYaml,
  encodeYamlBlock,
} from '../../../src/template/encode.ts';
import { render } from './support.ts';

/** Text that is awkward for every format. */
const TEXTS = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom(
      ...Array.from('aZ0 \'"\\$`#=:!&<>{}[],|~%@*?;\t\n\r-_é€😀\u0085\u2028\ufeff'),
    ),
    maxLength: 12,
  }),
  fc.constantFrom('', 'true', 'no', 'null', '~', '1e3', '0x1', '1:20', '- a', 'a: b', '2001-01-01'),
);
const SHELL_TEXTS = TEXTS.map((text) => text.replaceAll('\0', '').toWellFormed());
const JSON_VALUES = fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' });

/** What `helper` makes of a text. */
function escape(helper: string, text: string): string {
  return render(`{{${helper} x}}`, { x: text });
}

/** What a POSIX shell holds in `V` after each script; one process for all. */
function shellReads(scripts: readonly string[]): string[] {
  const script = scripts.map((text) => `${text}\nprintf '%s\\0' "$V"`).join('\n');
  const output = execFileSync('/bin/sh', { input: script, env: {}, encoding: 'utf8' });
  return output.split('\0').slice(0, -1);
}

describe('escaping', () => {
  it('writes JSON as JSON.stringify does', () => {
    fc.assert(
      fc.property(JSON_VALUES, fc.integer({ min: 0, max: 10 }), (value, indent) => {
        assert.equal(encodeJson(value, indent), JSON.stringify(value, null, indent));
      }),
    );
  });

  it('writes YAML that reads back identically, by YAML 1.1 and 1.2', () => {
    fc.assert(
      fc.property(JSON_VALUES, (value) => {
        const expected: unknown = JSON.parse(JSON.stringify(value));
        for (const text of [encodeYaml(value), encodeYamlBlock(value)]) {
          for (const version of ['1.1', '1.2'] as const) {
            assert.deepEqual(
              parseYaml(text, { version, schema: version === '1.1' ? 'yaml-1.1' : 'core' }),
              expected,
            );
          }
        }
        assert.doesNotMatch(encodeYaml(value), /\n/);
      }),
    );
    fc.assert(
      fc.property(TEXTS, TEXTS, (key, value) => {
        fc.pre(key.isWellFormed() && value.isWellFormed());
        const text = render('top:\n  {{yaml k}}: {{yaml v}} # note\n', { k: key, v: value });
        assert.deepEqual(parseYaml(text), { top: Object.fromEntries([[key, value]]) });
      }),
    );
  });

  it('writes numbers that YAML 1.1 reads as numbers', () => {
    assert.equal(encodeYaml([1e21, 1e-7, 1.5e300, -0]), '[1.0e+21, 1.0e-7, 1.5e+300, 0]');
  });

  it('writes TOML values', () => {
    const value = {
      a: [1, 1.5, true, 'x"\\\n\u007f\u0001'],
      'k k': {},
      e: 1e21,
      i: Number.MAX_SAFE_INTEGER,
      n: -5,
    };
    assert.equal(
      encodeToml(value),
      String.raw`{ "a" = [1, 1.5, true, "x\"\\\n\u007f\u0001"], "k k" = {}, "e" = 1e+21, "i" = 9007199254740991, "n" = -5 }`,
    );
  });

  it('rejects what no format can hold', () => {
    const deep = Array.from({ length: 102 }).reduce<unknown>((inner) => [inner], 1);
    for (const encode of [encodeJson, encodeYaml, encodeYamlBlock, encodeToml]) {
      assert.throws(() => encode(deep), /nested deeper than 100/);
      assert.throws(() => encode(Number.NaN), /not finite/);
      assert.throws(() => encode(new Date()), /a value of unknown type/);
    }
  });

  it('writes shell words and dotenv values that a POSIX shell reads back', () => {
    const texts = fc.sample(SHELL_TEXTS, 1000);
    assert.deepEqual(shellReads(texts.map((text) => `V=${escape('shell', text)}`)), texts);
    assert.deepEqual(shellReads(texts.map((text) => `V=${escape('dotenv', text)}`)), texts);
  });

  it('writes dotenv values that Node reads back, but for apostrophes next to other quotes', () => {
    fc.assert(
      fc.property(SHELL_TEXTS, (text) => {
        fc.pre(!(text.includes("'") && /["\\$`]/.test(text)) && !/\\$|\r/.test(text));
        const file = `A=1\nV=${escape('dotenv', text)}\nB=2\n`;
        assert.deepEqual({ ...parseEnv(file) }, { A: '1', V: text, B: '2' });
      }),
    );
  });

  it('writes properties that Java’s rules read back', () => {
    fc.assert(
      fc.property(TEXTS, TEXTS, (key, value) => {
        const line = render('{{properties k key=true}}={{properties v}}', { k: key, v: value });
        assert.match(line, /^[ -~]*$/);
        assert.deepEqual(readProperty(line), [key, value]);
      }),
    );
  });

  it('writes URL components that read back', () => {
    fc.assert(
      fc.property(SHELL_TEXTS, (text) => {
        const url = new URL(`scheme://user:${escape('url', text)}@host/?q=${escape('url', text)}`);
        assert.equal(decodeURIComponent(url.password), text);
        assert.equal(url.searchParams.get('q'), text);
      }),
    );
  });

  it('writes XML content that reads back', () => {
    const names: Readonly<Record<string, string>> = {
      amp: '&',
      lt: '<',
      gt: '>',
      quot: '"',
      apos: "'",
    };
    fc.assert(
      fc.property(TEXTS, (text) => {
        fc.pre(text.isWellFormed() && !/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(text));
        const xml = escape('xml', text);
        assert.doesNotMatch(xml, /[<>"'\t\n\r]/);
        const read = xml.replace(/&(?:#(\d+)|(\w+));/g, (_, code?: string, name?: string) =>
          code === undefined ? (names[name ?? ''] ?? '?') : String.fromCharCode(Number(code)),
        );
        assert.equal(read, text);
      }),
    );
  });

  it('writes .pgpass fields that read back', () => {
    fc.assert(
      fc.property(SHELL_TEXTS, (text) => {
        fc.pre(!/[\r\n]/.test(text));
        const line = `${escape('pgpass', text)}:end`;
        const [, field] = /^((?:\\.|[^:\\])*):end$/su.exec(line) ?? [];
        assert.equal(field?.replace(/\\(.)/gsu, '$1'), text);
      }),
    );
  });

  it('codes Base64 there and back', () => {
    fc.assert(
      fc.property(TEXTS, (text) => {
        fc.pre(text.isWellFormed());
        assert.equal(render('{{base64Decode (base64Encode x)}}', { x: text }), text);
        assert.equal(render('{{base64UrlDecode (base64UrlEncode x)}}', { x: text }), text);
      }),
    );
  });
});

/** A line as `java.util.Properties.load` reads it. */
function readProperty(line: string): [key: string, value: string] {
  const parts = /^((?:\\.|[^\\=: ])*)(?: *[=:] *| +|$)(.*)$/s.exec(line);
  const [key = '', value = ''] = parts?.slice(1) ?? [];
  return [unescapeProperty(key), unescapeProperty(value)];
}

function unescapeProperty(text: string): string {
  const letters: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f' };
  return text.replace(/\\(?:u([0-9a-f]{4})|(.))/gs, (_, code?: string, letter?: string) =>
    code === undefined
      ? (letters[letter ?? ''] ?? letter ?? '')
      : String.fromCharCode(parseInt(code, 16)),
  );
}
