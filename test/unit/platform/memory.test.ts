import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryLimit } from '../../../src/platform/memory.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

/** Group -> its limit, as the kernel writes it. */
const CASES: readonly (readonly [string, string, Readonly<Record<string, string>>, number?])[] = [
  ['of a container that sees its own group alone', '0::/\n', { '/': '536870912\n' }, 536_870_912],
  ['none', '0::/\n', { '/': 'max\n' }],
  [
    'the least of the groups above',
    '0::/pods/pod/driver\n',
    { '/pods': 'max', '/pods/pod': '1000', '/pods/pod/driver': '3000' },
    1000,
  ],
  ['groups of version 1 tell nothing', '4:memory:/a\n', { '/': '1000' }],
  ['no group that can be seen', '0::/elsewhere\n', {}],
];

for (const [name, self, groups, expected] of CASES) {
  test(`limit of memory: ${name}`, async (t) => {
    const root = tempDirectory(t);
    for (const [group, text] of Object.entries(groups)) {
      mkdirSync(join(root, group), { recursive: true });
      writeFileSync(join(root, group, 'memory.max'), text);
    }
    writeFileSync(join(root, 'self'), self);
    assert.equal(await memoryLimit(root, join(root, 'self')), expected);
  });
}
