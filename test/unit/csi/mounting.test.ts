/** What the engine sees of the mounts of its volumes. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { VolumeMounts } from '../../../src/csi/mounting.ts';
import { readPublishRequest } from '../../../src/csi/publish-request.ts';
import { targetOf, type MounterPort } from '../../../src/mounter/index.ts';
import { systemMounts } from '../../../src/platform/index.ts';
import { CANNOT_MOUNT } from '../../helpers/csi-world.ts';
import { directoryWithMounts, mounterOf, mountForeign, unmount } from '../../helpers/mounting.ts';

const SOURCE = 'csi.vouchsafe.test';
const never = new AbortController().signal;
const SPEC = { sizeBytes: 65_536, group: null, selinux: null };
const PLACE = { pod: 'a', volume: 'secrets' };

/** The kernel's mounts, with the reads of its table counted; what is mounted at the end is unmounted. */
async function realMounts(t: TestContext) {
  const root = directoryWithMounts(t);
  const target = targetOf(join(root, 'pods'), PLACE);
  await mkdir(dirname(target), { recursive: true });
  const reads = { count: 0 };
  const list: typeof systemMounts.list = () => {
    reads.count += 1;
    return systemMounts.list();
  };
  const mounts = new VolumeMounts({
    mounts: { ...systemMounts, list },
    mounter: mounterOf(root),
    source: SOURCE,
  });
  return { mounts, target, reads };
}

test('the context of a request is read, with and without quotes', () => {
  for (const flag of ['context="u:r:t:s0:c1,c2"', 'context=u:r:t:s0:c1,c2']) {
    const { selinux } = readPublishRequest({
      volumeId: 'v',
      publishContext: new Map(),
      stagingTargetPath: '',
      readonly: true,
      targetPath: '/pods/u/volumes/kubernetes.io~csi/v/mount',
      volumeCapability: {
        block: undefined,
        mount: { fsType: '', mountFlags: [flag], volumeMountGroup: '' },
        accessMode: undefined,
      },
      secrets: new Map(),
      volumeContext: new Map(
        Object.entries({
          'csi.storage.k8s.io/ephemeral': 'true',
          'csi.storage.k8s.io/pod.name': 'p',
          'csi.storage.k8s.io/pod.namespace': 'n',
          'csi.storage.k8s.io/pod.uid': 'u',
          'csi.storage.k8s.io/serviceAccount.name': 's',
        }),
      ),
    });
    assert.equal(selinux, 'context="u:r:t:s0:c1,c2"');
  }
});

test(
  'the kernel’s table is read once for a mount that stays',
  { skip: CANNOT_MOUNT },
  async (t) => {
    const { mounts, target, reads } = await realMounts(t);
    await mounts.mount({ ...SPEC, target }, never);
    for (let turn = 0; turn < 3; turn += 1) assert.ok(await mounts.isMounted(target));
    assert.equal(reads.count, 1);
  },
);

test('a mount that was found is missed when it is gone', { skip: CANNOT_MOUNT }, async (t) => {
  const { mounts, target } = await realMounts(t);
  await mounts.mount({ ...SPEC, target }, never);
  assert.ok(await mounts.isMounted(target));
  unmount(target);
  assert.equal(await mounts.isMounted(target), false);
});

test(
  'a foreign mount is not mistaken for the one that was there before',
  { skip: CANNOT_MOUNT },
  async (t) => {
    const { mounts, target } = await realMounts(t);
    await mounts.mount({ ...SPEC, target }, never);
    assert.ok(await mounts.isMounted(target));
    unmount(target);
    mountForeign(target);
    assert.equal(await mounts.isMounted(target), false);
  },
);

/** Says that all is done. */
const idle: MounterPort = { mount: () => Promise.resolve(), unmount: () => Promise.resolve() };

test('a mount that does not reach the engine is an error: nothing is written below it', async () => {
  const mounts = new VolumeMounts({ mounts: systemMounts, mounter: idle, source: SOURCE });
  const target = targetOf('/nowhere/pods', PLACE);
  await assert.rejects(mounts.mount({ ...SPEC, target }, never), {
    code: 'ERR_CSI_MOUNT',
    message:
      /the driver does not see it: does the volume pods of the DaemonSet propagate mounts\?$/,
  });
});

test('the mounter gets no request for a path that is not the target path of a volume', async () => {
  const mounter: MounterPort = {
    mount: () => assert.fail('the mounter got a request'),
    unmount: () => assert.fail('the mounter got a request'),
  };
  const mounts = new VolumeMounts({ mounts: systemMounts, mounter, source: SOURCE });
  const target = '/var/lib/kubelet/pods/a/volumes/kubernetes.io~csi/../mount';
  await assert.rejects(mounts.mount({ ...SPEC, target }, never), { code: 'ERR_CSI_MOUNT' });
  await mounts.unmount(target);
});
