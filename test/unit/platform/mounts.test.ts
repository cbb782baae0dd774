import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMountinfo, systemMounts } from '../../../src/platform/mounts.ts';

test('mounts are read from the kernel’s table, names unescaped, other lines skipped', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue',
    '42 27 0:39 / /pods/a/mount rw,nosuid - tmpfs csi.vouchsafe.dev rw,size=64k',
    'no line of mounts',
    '',
  ].join('\n');
  assert.deepEqual(parseMountinfo(text), [
    { id: 36, target: '/mnt 2', type: 'ext3', source: '/dev/root' },
    { id: 42, target: '/pods/a/mount', type: 'tmpfs', source: 'csi.vouchsafe.dev' },
  ]);
});

test('any text: a list', () => {
  fc.assert(fc.property(fc.string(), (text) => assert.ok(Array.isArray(parseMountinfo(text)))));
});

test('unmounting what is not mounted fails with the reason', async () => {
  const directory = openSync('/proc/self', 'r');
  try {
    await assert.rejects(systemMounts.unmount(directory), {
      name: 'MountError',
      message: /no mount point|not mounted|must be superuser/,
    });
  } finally {
    closeSync(directory);
  }
});

test('the mount of an open file is known', async () => {
  const directory = openSync('/proc/self', 'r');
  try {
    const found = await systemMounts.mountOf(directory);
    assert.deepEqual([found?.target, found?.type], ['/proc', 'proc']);
  } finally {
    closeSync(directory);
  }
});
