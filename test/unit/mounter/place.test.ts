import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { placeOf, targetOf } from '../../../src/mounter/index.ts';

const UID = '6a2f7c0e-0f8e-4b39-9a44-6f2f4c1b1d11';

for (const place of [
  { pod: UID, volume: 'secrets' },
  // That of a static pod, and the name of a persistent volume.
  { pod: '0f1e2d3c4b5a69788796a5b4c3d2e1f0', volume: 'pvc-1.zone-a.example' },
]) {
  test(`a target path names pod and volume: ${place.volume}`, () => {
    const target = targetOf('/var/lib/kubelet/pods', place);
    assert.equal(
      target,
      `/var/lib/kubelet/pods/${place.pod}/volumes/kubernetes.io~csi/${place.volume}/mount`,
    );
    assert.deepEqual(placeOf(target), place);
  });
}

for (const path of [
  '',
  '/',
  '/etc',
  `/var/lib/kubelet/pods/${UID}/volumes/kubernetes.io~csi/secrets`,
  `/var/lib/kubelet/pods/${UID}/volumes/kubernetes.io~csi/secrets/mount/`,
  `/var/lib/kubelet/pods/${UID}/volumes/kubernetes.io~csi/secrets/mount2`,
  `/var/lib/kubelet/pods/${UID}/volumes/kubernetes.io~csi/../mount`,
  `/var/lib/kubelet/pods/../volumes/kubernetes.io~csi/secrets/mount`,
  `/var/lib/kubelet/pods/${UID}/volumes/kubernetes.io~empty-dir/secrets/mount`,
  `/var/lib/kubelet/pods/${UID}/volume-subpaths/kubernetes.io~csi/secrets/mount`,
  `/var/lib/kubelet/plugins/${UID}/volumes/kubernetes.io~csi/secrets/mount`,
]) {
  test(`not the target path of a volume: ${path}`, () => {
    assert.equal(placeOf(path), undefined);
  });
}

test('any path: undefined, or a place that has this very path', () => {
  const part = fc.constantFrom('pods', 'volumes', 'kubernetes.io~csi', 'mount', '..', '.', '', 'a');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 9 }), (parts) => {
      const path = `/${parts.join('/')}`;
      const place = placeOf(path);
      if (place === undefined) return;
      const pods = path.slice(0, path.length - targetOf('', place).length);
      assert.equal(`${pods}${targetOf('', place)}`, path);
      assert.ok(pods.endsWith('pods/') || pods.endsWith('pods'));
    }),
  );
});
