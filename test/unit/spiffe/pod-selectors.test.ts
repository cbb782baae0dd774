import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podSelectors } from '../../../src/spiffe/index.ts';

const POD = {
  uid: '8f3b',
  namespace: 'shop',
  name: 'web-7c9f',
  serviceAccount: 'web',
  nodeName: 'node-1',
};
const OF_EVERY_POD = [
  'k8s:sa:web',
  'k8s:ns:shop',
  'k8s:node-name:node-1',
  'k8s:pod-uid:8f3b',
  'k8s:pod-name:web-7c9f',
];

test('every pod has selectors of its names', () => {
  assert.deepEqual(podSelectors(POD), OF_EVERY_POD);
});

test('labels and owners are listed with their values', () => {
  const selectors = podSelectors({
    ...POD,
    labels: { app: 'web', 'app.kubernetes.io/part-of': '' },
    owners: [{ kind: 'ReplicaSet', name: 'web-7c', uid: '11aa' }],
  });
  assert.deepEqual(selectors, [
    ...OF_EVERY_POD,
    'k8s:pod-label:app:web',
    'k8s:pod-label:app.kubernetes.io/part-of:',
    'k8s:pod-owner:ReplicaSet:web-7c',
    'k8s:pod-owner-uid:ReplicaSet:11aa',
  ]);
});
