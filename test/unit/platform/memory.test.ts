import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { memoryLimit } from '../../../src/platform/memory.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

/** Files below the root of the groups, as the kernel writes them. */
type Groups = Readonly<Record<string, string>>;

const NONE_V1 = '9223372036854771712\n';

const CASES: readonly (readonly [string, string, Groups, number?])[] = [
  [
    'of a container that sees its own group alone',
    '0::/\n',
    { 'memory.max': '536870912\n' },
    536_870_912,
  ],
  ['none', '0::/\n', { 'memory.max': 'max\n' }],
  [
    'the least of the groups above',
    '0::/pods/pod/driver\n',
    {
      'pods/memory.max': 'max',
      'pods/pod/memory.max': '1000',
      'pods/pod/driver/memory.max': '3000',
    },
    1000,
  ],
  [
    'version 1, of a container that sees the groups of the node',
    '5:cpu,cpuacct:/kubepods/pod/driver\n4:memory:/kubepods/pod/driver\n',
    {
      'memory/memory.limit_in_bytes': NONE_V1,
      'memory/kubepods/memory.limit_in_bytes': NONE_V1,
      'memory/kubepods/pod/driver/memory.limit_in_bytes': '536870912\n',
      'cpu,cpuacct/kubepods/pod/driver/memory.limit_in_bytes': '1\n',
    },
    536_870_912,
  ],
  [
    'version 1, of a container that sees its own group alone, under the path of the node',
    '4:memory:/kubepods/pod/driver\n',
    { 'memory/memory.limit_in_bytes': '536870912\n' },
    536_870_912,
  ],
  ['version 1, none', '4:memory:/a\n', { 'memory/a/memory.limit_in_bytes': NONE_V1 }],
  [
    'version 1, none, with pages of 64 KiB',
    '4:memory:/a\n',
    { 'memory/a/memory.limit_in_bytes': '9223372036854710272\n' },
  ],
  [
    'both versions: the smallest',
    '4:memory:/a\n1:name=systemd:/b\n0::/c\n',
    { 'memory/a/memory.limit_in_bytes': '2000', 'c/memory.max': '3000' },
    2000,
  ],
  ['no group that can be seen', '4:memory:/elsewhere\n0::/elsewhere\n', {}],
  ['what is no number', '0::/\n', { 'memory.max': '12 apples\n' }],
  ['no groups at all', '', { 'memory.max': '1000' }],
];

for (const [name, groupsOfProcess, groups, expected] of CASES) {
  test(`limit of memory: ${name}`, async (t) => {
    const root = tempDirectory(t);
    for (const [path, text] of Object.entries(groups)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const self = join(root, 'self');
    writeFileSync(self, groupsOfProcess);
    assert.equal(await memoryLimit({ root, self }), expected);
  });
}
