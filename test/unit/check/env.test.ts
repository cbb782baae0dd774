import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, check, pod, type Objects } from './harness.ts';

const NODES = '/api/v1/nodes';
const ENABLED: Objects = {
  [AT.values]: { metadata: {}, data: { 'values.yaml': '{ env: { enabled: true } }' } },
};

function node(name: string, kubeletVersion: string): object {
  return { metadata: { name }, status: { nodeInfo: { kubeletVersion } } };
}

/** A running pod on a node, with variables or without. */
function running(name: string, nodeName: string, hasVariables = true): object {
  const volumes = hasVariables ? [{ name: 'vouchsafe-env', emptyDir: {} }] : [];
  return pod({ name }, { spec: { nodeName, volumes, containers: [{ name: 'web' }] } });
}

test('without variables no nodes are listed', async (t) => {
  const { findings, requests } = await check(t);
  assert.ok(!findings.some((one) => one.check === 'env'));
  assert.ok(!requests.some(({ path }) => path.startsWith(NODES)));
});

test('new nodes have variables', async (t) => {
  const nodes = [node('a', 'v1.35.0'), node('b', 'v1.37.2')];
  const { the } = await check(t, { objects: { ...ENABLED, [NODES]: { items: nodes } } });
  assert.equal(the('env').status, 'ok');
  assert.match(the('env').message, /all 2 nodes have Kubernetes 1\.35/);
});

test('old nodes are named, because pods that may run there are denied', async (t) => {
  const nodes = ['a', 'b', 'c', 'd'].map((name) => node(name, 'v1.34.2'));
  const items = [...nodes, node('new', 'v1.37.2')];
  const objects = {
    ...ENABLED,
    [NODES]: { items },
    [AT.pods]: { items: [running('x', 'new'), running('y', 'a', false)] },
  };
  const { the } = await check(t, { objects });
  assert.equal(the('env').status, 'warning');
  assert.match(the('env').message, /4 of 5 nodes are older .*a \(v1\.34\.2\).* and 1 more$/);
});

for (const [pods, expected] of [
  [['x'], /; shop\/x runs there without variables$/],
  [['x', 'y', 'z'], /; shop\/x and 2 more pods run there without variables$/],
] as const) {
  test(`pods with variables on an old node: ${pods.length}`, async (t) => {
    const objects = {
      ...ENABLED,
      [NODES]: { items: [node('old', 'v1.34.2')] },
      [AT.pods]: { items: pods.map((name) => running(name, 'old')) },
    };
    const { the } = await check(t, { objects });
    assert.equal(the('env').status, 'failure');
    assert.match(the('env').message, expected);
  });
}

test('without the right to list nodes the check says which right', async (t) => {
  const { the } = await check(t, { objects: { ...ENABLED, [NODES]: 403 } });
  assert.equal(the('env').status, 'unknown');
  assert.match(the('env').message, /requires the right to list nodes$/);
});
