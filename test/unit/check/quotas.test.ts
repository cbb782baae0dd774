import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fields } from '../cli/harness.ts';
import { AT, check, type Objects } from './harness.ts';

function quota(namespace: string, hard: Fields, more: Fields = {}): Fields {
  return { metadata: { name: 'compute', namespace }, spec: { hard, ...more } };
}

function range(namespace: string, ...limits: readonly Fields[]): Fields {
  return {
    metadata: { name: 'bounds', namespace },
    spec: { limits: limits.map((one) => ({ type: 'Container', ...one })) },
  };
}

function objectsOf(quotas: readonly Fields[], ranges: readonly Fields[] = []): Objects {
  return { [AT.quotas]: { items: quotas }, [AT.limitRanges]: { items: ranges } };
}

const CPU = { 'limits.cpu': '10', 'requests.cpu': '5' };

const UNMET: readonly (readonly [string, readonly Fields[], readonly Fields[], RegExp])[] = [
  ['limits.cpu', [quota('shop', CPU)], [], /shop: ResourceQuota compute requires limits\.cpu$/],
  [
    'limits.cpu, with a limit range for memory',
    [quota('shop', CPU)],
    [range('shop', { default: { memory: '1Gi' } })],
    /requires limits\.cpu$/,
  ],
  [
    'a default of another namespace',
    [quota('shop', CPU)],
    [range('other', { default: { cpu: '1' } })],
    /shop: ResourceQuota/,
  ],
  ['a least request', [], [range('shop', { min: { cpu: '50m' } })], /at least 50m of cpu/],
  [
    'a greatest limit',
    [],
    [range('shop', { max: { memory: '100Mi' } })],
    /at most 100Mi of memory/,
  ],
  [
    'a ratio',
    [],
    [range('shop', { maxLimitRequestRatio: { memory: '2' } })],
    /limit and request of memory differ/,
  ],
  [
    'a default limit below the request',
    [],
    [range('shop', { default: { cpu: '5m' } })],
    /default limit of cpu is less/,
  ],
];

for (const [name, quotas, ranges, pattern] of UNMET) {
  test(`pods with the agent are rejected by ${name}: a warning`, async (t) => {
    const { code, the } = await check(t, { objects: objectsOf(quotas, ranges) });
    const { status, message, remedy } = the('quotas');
    assert.deepEqual([code, status], [0, 'warning'], message);
    assert.match(message, pattern);
    assert.match(remedy ?? '', /vouchsafe\.dev\/cpu: 10m\/100m/);
  });
}

const MET: readonly (readonly [string, Objects])[] = [
  ['no quota', {}],
  [
    'requests and memory',
    objectsOf([quota('shop', { 'requests.cpu': '1', 'limits.memory': '1' })]),
  ],
  ['the number of pods', objectsOf([quota('shop', { pods: '10', 'requests.storage': '1Ti' })])],
  [
    'disk, which a quota only counts',
    objectsOf([quota('shop', { 'limits.ephemeral-storage': '1Gi' })]),
  ],
  ['pods without requests', objectsOf([quota('shop', CPU, { scopes: ['BestEffort'] })])],
  [
    'a default of a limit range',
    objectsOf([quota('shop', CPU)], [range('shop', { default: { cpu: '1' } })]),
  ],
  [
    'a maximum, which is the default as well',
    objectsOf([quota('shop', CPU)], [range('shop', { max: { cpu: '1' } })]),
  ],
  ['bounds of pods', objectsOf([], [range('shop', { type: 'Pod', max: { memory: '1Mi' } })])],
  ['an excluded namespace', objectsOf([quota('kube-system', CPU)])],
  [
    'a default of the installation',
    {
      ...objectsOf([quota('shop', CPU)]),
      [AT.values]: { data: { 'values.yaml': 'defaults: {cpu: 10m/100m}' } },
    },
  ],
  [
    'an annotation of the namespace',
    {
      ...objectsOf([quota('shop', CPU)]),
      [AT.namespaces]: {
        items: [{ metadata: { name: 'shop', annotations: { 'vouchsafe.dev/cpu': '10m/100m' } } }],
      },
    },
  ],
];

for (const [name, objects] of MET) {
  test(`the agent meets ${name}`, async (t) => {
    const { status, message } = (await check(t, { objects })).the('quotas');
    assert.equal(status, 'ok', message);
  });
}

test('many namespaces are counted, and some of them named', async (t) => {
  const quotas = Array.from({ length: 12 }, (_, number) => quota(`team-${number}`, CPU));
  const { message } = (await check(t, { objects: objectsOf(quotas) })).the('quotas');
  assert.match(message, /team-9: [^;]*; and 2 more namespaces$/);
});

test('one namespace is checked by its own objects', async (t) => {
  const objects = {
    '/api/v1/namespaces/shop': { metadata: { name: 'shop' } },
    '/api/v1/namespaces/shop/pods': { items: [] },
    '/api/v1/namespaces/shop/resourcequotas': { items: [quota('shop', CPU)] },
    [AT.quotas]: { items: [quota('other', CPU)] },
  };
  const { message } = (await check(t, { objects }, ['--namespace', 'shop'])).the('quotas');
  assert.match(message, /shop: ResourceQuota compute requires limits\.cpu$/);
});

test('without the right to read them nothing fails', async (t) => {
  for (const path of [AT.quotas, AT.limitRanges]) {
    const { code, the } = await check(t, { objects: { [path]: 403 } });
    assert.deepEqual([code, the('quotas').status], [0, 'unknown']);
  }
});
