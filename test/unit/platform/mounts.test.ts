import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMountinfo, systemMounts } from '../../../src/platform/mounts.ts';

test('mounts are read from the kernel’s table, names unescaped, lines that are none skipped', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue',
    '42 27 0:39 / /pods/a/mount rw,nosuid - tmpfs csi.vouchsafe.dev rw,size=64k',
    'no line of mounts',
    '',
  ].join('\n');
  assert.deepEqual(parseMountinfo(text), [
    { target: '/mnt 2', type: 'ext3', source: '/dev/root' },
    { target: '/pods/a/mount', type: 'tmpfs', source: 'csi.vouchsafe.dev' },
  ]);
});

test('any text: a list', () => {
  fc.assert(fc.property(fc.string(), (text) => assert.ok(Array.isArray(parseMountinfo(text)))));
});

test('unmounting what is not mounted tells why', async () => {
  await assert.rejects(systemMounts.unmount('/no/such/mount', { lazy: false }), {
    name: 'MountError',
    message: /no mount point|not mounted|must be superuser/,
  });
});
