/**
 * The example output in the manual is what the command prints.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blocksOf, readText } from '../docs/documents.ts';
import type { Fields } from '../cli/harness.ts';
import { AT, CA, check, pod } from './harness.ts';

const POD = '/api/v1/namespaces/shop/pods/vouchsafe-check-1';

const VALUES = JSON.stringify({
  vault: { connections: { prod: { address: 'https://vault.example.org:8200', caPem: CA } } },
});

/** A pod that was created before the webhook was registered. */
function older(name: string): Fields {
  const ownerReferences = [{ kind: 'ReplicaSet', name: 'cart-5d9c', controller: true }];
  return { name, creationTimestamp: '2025-11-01T00:00:00Z', ownerReferences };
}

test('the check in docs/reference/cli.md is a real one, but for numbers', async (t) => {
  const terminated = {
    exitCode: 12,
    message: 'ERR_SPIFFE_DENIED: the Workload API has no identity for this workload',
  };
  const objects = {
    [AT.values]: { metadata: {}, data: { 'values.yaml': VALUES } },
    [AT.slices]: {
      items: [{ endpoints: [1, 2].map(() => ({ conditions: { ready: true } })) }],
    },
    [AT.pods]: { items: [1, 2, 3].map((number) => pod(older(`cart-5d9c-${number}`))) },
    [POD]: {
      status: { initContainerStatuses: [{ name: 'vouchsafe-init', state: { terminated } }] },
    },
  };
  const words = ['--probe', 'shop/web', '--setting', 'role=web'];
  const checked = await check(t, { objects }, words);
  const printed = `${await checked.text()}${checked.errors}`;
  const [block = ''] = blocksOf('console', readText('docs/reference/cli.md')).filter((text) =>
    text.startsWith('$ npm run -s vouchsafe -- check'),
  );
  const lines = (text: string): readonly string[] => {
    return text.split('\n').map((line) => line.trim().replaceAll(/\d+[dhms]*/g, 'N'));
  };
  assert.deepEqual(lines(block).slice(1), lines(printed));
});
