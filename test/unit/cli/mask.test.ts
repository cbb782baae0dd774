import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAgentConfig, type FileConfig } from '../../../src/config/agent/index.ts';
import { maskFile } from '../../../src/cli/mask.ts';

function fileWith(parts: object): FileConfig {
  const [file] = parseAgentConfig({
    apiVersion: 'vouchsafe.dev/v1',
    kind: 'AgentConfig',
    vault: { address: 'http://127.0.0.1:1' },
    spiffe: { socket: 'unix:///run/api.sock' },
    files: [{ name: 'app', ...parts }],
  }).files;
  if (file === undefined) throw new Error('there is one file');
  return file;
}

const SECRET = 'hunter2';
const CASES: readonly (readonly [string, object, string, RegExp])[] = [
  ['JSON keeps its keys', { secret: 'kv/a' }, `{"a": {"b": "${SECRET}", "c": [1]}}`, /"b": "\*+"/],
  ['JSON that is none', { secret: 'kv/a' }, SECRET, /^\*+$/],
  ['variables keep their names', { secret: 'kv/a', format: 'env' }, `A=${SECRET}\n`, /^A=\*+$/],
  ['one value', { secret: 'kv/a#b' }, SECRET, /^\*+ \(7 bytes\)$/],
  [
    'a key from the template',
    { template: 'key={{secret "kv/a#b"}}' },
    `key=${SECRET}`,
    /^key=\*+$/,
  ],
  ['a key from a value', { template: '{{secret "kv/a#b"}}' }, `${SECRET}=${SECRET}`, /^\*+$/],
  ['a mounted template', { templateFile: '/t' }, `key=${SECRET}`, /^\*+ \(\d+ bytes\)$/],
  ['a token', { jwtSvid: ['vault'] }, SECRET, /^\*+ \(7 bytes\)$/],
  [
    'PEM keeps its frame',
    { secret: 'kv/a#b' },
    `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----\n`,
    /^-----BEGIN PRIVATE KEY-----\n\*+\n-----END PRIVATE KEY-----$/,
  ],
];

for (const [name, parts, content, shown] of CASES) {
  test(`masked: ${name}`, () => {
    const text = maskFile(fileWith(parts), content).join('\n');
    assert.match(text, shown);
    assert.doesNotMatch(text, new RegExp(SECRET));
  });
}

test('long files are cut', () => {
  const content = 'A=1\n'.repeat(100);
  const lines = maskFile(fileWith({ secret: 'kv/a', format: 'env' }), content);
  assert.deepEqual([lines.length, lines.at(-1)], [21, '... and 80 more lines']);
});
