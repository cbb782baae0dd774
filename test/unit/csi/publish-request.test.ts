import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readPublishRequest } from '../../../src/csi/publish-request.ts';
import type { NodePublishVolumeRequest } from '../../../src/csi/proto/csi.ts';
import { toVouchsafeError } from '../../../src/core/index.ts';

const INFO = 'csi.storage.k8s.io/';
const KUBELET = {
  [`${INFO}ephemeral`]: 'true',
  [`${INFO}pod.name`]: 'web',
  [`${INFO}pod.namespace`]: 'shop',
  [`${INFO}pod.uid`]: 'u-1',
  [`${INFO}serviceAccount.name`]: 'account',
};
const POD = { namespace: 'shop', name: 'web', uid: 'u-1', serviceAccount: 'account' };

/** What a pod's author writes, overwritten by the kubelet. */
function request(author: Readonly<Record<string, string>>): NodePublishVolumeRequest {
  return {
    volumeId: 'v',
    publishContext: new Map(),
    stagingTargetPath: '',
    readonly: true,
    targetPath: '/var/lib/kubelet/pods/u-1/volumes/kubernetes.io~csi/x/mount',
    volumeCapability: {
      block: undefined,
      mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
      accessMode: { mode: 1 },
    },
    secrets: new Map(),
    volumeContext: new Map(Object.entries({ ...author, ...KUBELET })),
  };
}

const key = fc.oneof(
  fc.string(),
  fc.constantFrom(...Object.keys(KUBELET)),
  fc.string().map((rest) => `${INFO}${rest}`),
  fc.constantFrom('pod.uid', 'CSI.storage.k8s.io/pod.uid', `${INFO}Pod.uid`, `${INFO}pod.uid `),
);

test('whatever an author writes, the pod is the one that the kubelet names', () => {
  fc.assert(
    fc.property(fc.dictionary(key, fc.string()), (author) => {
      const { pod, attributes } = readPublishRequest(request(author));
      assert.deepEqual(pod, POD);
      assert.ok(Object.keys(attributes).every((name) => !name.startsWith(INFO)));
    }),
  );
});

test('any paths, groups and flags: a request, or an error for the kubelet', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.constantFrom('/a', '/pods/u-1/mount', '/pods/u-1/../x', '12'),
  );
  fc.assert(
    fc.property(texts, texts, fc.array(texts, { maxLength: 3 }), (targetPath, group, flags) => {
      const mount = { fsType: '', mountFlags: flags, volumeMountGroup: group };
      const volumeCapability = { block: undefined, mount, accessMode: undefined };
      try {
        const read = readPublishRequest({ ...request({}), targetPath, volumeCapability });
        assert.match(read.target, /^\/(.*\/)?u-1(\/|$)/);
        assert.ok(!read.target.includes('..') || !read.target.split('/').includes('..'));
      } catch (error) {
        assert.equal(toVouchsafeError(error).code, 'ERR_CSI_REQUEST');
      }
    }),
  );
});
