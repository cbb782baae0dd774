import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dependencyLabel } from '../../../src/core/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';

function asks(source: string): readonly string[] {
  const { problems, dependencies } = checkTemplate(source, 't');
  assert.deepEqual(problems, []);
  return dependencies.map((one) => `${one.kind} ${dependencyLabel(one)}`);
}

const KNOWN: readonly (readonly [source: string, asked: string])[] = [
  ['{{secret "kv/x"}}', 'read kv/x'],
  ['{{secret (concat "kv/other")}}', 'read kv/other'],
  ['{{secret (concat "kv/" "other" "#id")}}', 'read kv/other'],
  ['{{secret (lower (concat "KV/" (upper "x")))}}', 'read kv/x'],
  ['{{secret (replace "kv-x" "-" "/")}}', 'read kv/x'],
  ['{{secret (join (split "kv,x" ",") "/")}}', 'read kv/x'],
  ['{{secret (base64Decode "a3YveA==")}}', 'read kv/x'],
  ['{{secret (default "" "kv/x")}}', 'read kv/x'],
  ['{{#with (secret (concat "kv/" "x"))}}{{a}}{{/with}}', 'read kv/x'],
  ['{{#each (secrets (concat "kv" "/"))}}{{this}}{{/each}}', 'list kv/'],
  ['{{jwtSvid (concat "api:" "//x")}}', 'jwt-svid jwt-svid for api://x'],
  // One value among the parameters hides no path.
  ['{{secret "transit/sign/k" input=(sha256 a.b)}}', 'write transit/sign/k (input)'],
  ['{{json (pki "pki/issue/web" common_name=name)}}', 'pki pki/issue/web (common_name)'],
];

for (const [source, asked] of KNOWN) {
  test(`known without data: ${source}`, () => {
    assert.ok(asks(source).includes(asked), asks(source).join('; '));
  });
}

const UNKNOWN: readonly string[] = [
  '{{secret a}}',
  '{{secret (concat "kv/" a)}}',
  '{{#with "kv/x"}}{{secret this}}{{/with}}',
  '{{#with (secret "kv/a")}}{{secret (concat "kv/" b)}}{{/with}}',
];

for (const source of UNKNOWN) {
  test(`not known without data: ${source}`, () => {
    assert.deepEqual(
      asks(source).filter((one) => one !== 'read kv/a'),
      [],
    );
  });
}

test('an invalid path is reported early, however it is written', () => {
  const [problem] = checkTemplate('{{secret (concat "kv/../" "x")}}', 't').problems;
  assert.match(problem?.message ?? '', /^secret: argument 1 is not a valid Vault path/);
});

test('constants that grow without end are left for the rendering to reject', () => {
  const grow = (depth: number): string =>
    depth === 0 ? '"0123456789abcdef"' : `(concat ${grow(depth - 1)} ${grow(depth - 1)})`;
  assert.deepEqual(asks(`{{secret (sha256 ${grow(9)})}}`), []);
});
