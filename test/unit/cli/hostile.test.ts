/** Manifests, values and templates in hostile hands: no command prints what would steer a terminal. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parse } from 'yaml';
import { podText, run, type Outcome } from './harness.ts';

/** ESC, OSC, C1, bidi, a private and a lone surrogate character, separators of lines and paragraphs. */
const HOSTILE = [
  ...['\u001b[2J', '\u001b]0;pwned\u0007', '\u009b31m', '\u007f', '\u202eevil', '\u2066', '\u200f'],
  ...['\ue000', '\u{f0000}', '\ud800', '\u2028', '\u2029', '\r', '\b', '\ufeff', '\u00ad'],
];
const RAW = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;

function assertPrintable(what: string, { out, errors }: Outcome): void {
  assert.doesNotMatch(out, RAW, `${what}: ${JSON.stringify(out)}`);
  assert.doesNotMatch(errors, RAW, `${what}: ${JSON.stringify(errors)}`);
}

/** Places of a manifest that a stranger writes. */
const PLACES: Readonly<Record<string, (text: string) => string>> = {
  ...Object.fromEntries(
    ['role', 'audience', 'secret-app', 'file-app', 'vault', 'mount-path', 'on-change', 'mode'].map(
      (name) => [name, (text: string) => podText({ [`vouchsafe.dev/${name}`]: `a/b${text}c` })],
    ),
  ),
  'the name of an annotation': (text) => podText({ [`vouchsafe.dev/ro${text}le`]: 'x' }),
  'the name of a file': (text) => podText({ [`vouchsafe.dev/secret-a${text}`]: 'kv/a' }),
  'a template': (text) => podText({ 'vouchsafe.dev/template-app': `{{nothing "${text}"}}${text}` }),
  'an annotation of others': (text) => podText({ [`example.org/x${text}`]: text }),
  'the name of a container': (text) => podText({}, { containers: [{ name: `a${text}` }] }),
};

suite('hostile manifests', () => {
  for (const [place, make] of Object.entries(PLACES)) {
    for (const command of ['explain', 'inject']) {
      test(`${command}: ${place}`, async () => {
        for (const text of HOSTILE) {
          const files = { '-': make(JSON.parse(`"${escape(text)}"`) as string) };
          assertPrintable(JSON.stringify(text), await run([command, '-f', '-'], files));
        }
      });
    }
  }

  test('what inject prints means what was read', async () => {
    for (const text of HOSTILE.filter((one) => one !== '\ud800')) {
      const manifest = podText({
        'example.org/x': `plain ${text} text`,
        [`example.org/${text}`]: 'y',
      });
      const { code, out } = await run(['inject', '-f', '-'], { '-': manifest });
      assert.equal(code, 0);
      const { metadata } = parse(out) as { readonly metadata: { readonly annotations: object } };
      const annotations = new Map(Object.entries(metadata.annotations));
      assert.equal(annotations.get('example.org/x'), `plain ${text} text`);
      assert.equal(annotations.get(`example.org/${text}`), 'y');
    }
  });

  test('a command, a file and a flag that are hostile', async () => {
    for (const text of HOSTILE) {
      assertPrintable('command', await run([`x${text}`]));
      assertPrintable('file', await run(['explain', '-f', `none${text}`]));
      assertPrintable(
        'values',
        await run(['explain', '-f', '-', '--values', 'v'], {
          '-': podText(),
          v: `a: "${escape(text)}"`,
        }),
      );
      assertPrintable(
        'render',
        await run(['render', '-f', 't', '--data', 'd'], { t: `{{nothing "${text}"}}`, d: '{}' }),
      );
      assertPrintable('check', await run(['check', `--x${text}`]));
      assertPrintable('status', await run(['status', text]));
    }
  });
});

function escape(text: string): string {
  return Array.from({ length: text.length }, (_, index) => {
    return `\\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }).join('');
}
