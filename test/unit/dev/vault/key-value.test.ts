import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBench, type Bench, text } from './client.ts';

async function startWithEngines(): Promise<Bench> {
  const bench = await startBench();
  await bench.vault.write('sys/mounts/secret', { type: 'kv', options: { version: '1' } });
  await bench.vault.write('sys/mounts/kvv2', { type: 'kv-v2' });
  return bench;
}

test('a value of KV version 1 has a lease duration but no lease', async () => {
  await using bench = await startWithEngines();
  assert.equal((await bench.root('POST', 'secret/app', { test: '123' })).status, 204);
  const { status, body } = await bench.root('GET', 'secret/app');
  assert.equal(status, 200);
  assert.match(text(body['request_id']), /^[0-9a-f-]{36}$/);
  assert.deepEqual(
    { ...body, request_id: '' },
    {
      request_id: '',
      lease_id: '',
      renewable: false,
      lease_duration: 2764800,
      data: { test: '123' },
      wrap_info: null,
      warnings: null,
      auth: null,
      mount_type: 'kv',
    },
  );
  assert.deepEqual(bench.vault.leaseIds, []);
});

test('a value of KV version 1 may say itself how long it is good', async () => {
  await using bench = await startWithEngines();
  await bench.vault.write('secret/app', { a: 'b', ttl: '5m' });
  assert.equal((await bench.root('GET', 'secret/app')).body['lease_duration'], 300);
});

test('KV version 1 lists one level, and answers 404 without a text where nothing is', async () => {
  await using bench = await startWithEngines();
  await bench.vault.write('secret/a/b', { x: 1 });
  await bench.vault.write('secret/c', { x: 1 });
  const listed = await bench.root('GET', 'secret/?list=true');
  assert.deepEqual(listed.body['data'], { keys: ['a/', 'c'] });
  for (const path of ['secret/none', 'secret/none?list=true']) {
    const { status, text: raw } = await bench.root('GET', path);
    assert.deepEqual([status, raw], [404, '{"errors":[]}\n']);
  }
  assert.deepEqual((await bench.root('POST', 'secret/c', {})).body['errors'], [
    'missing data fields',
  ]);
});

test('KV version 2 keeps versions with their metadata', async () => {
  await using bench = await startWithEngines();
  const written = await bench.root('POST', 'kvv2/data/app', { data: { a: '1' } });
  assert.deepEqual(written.body['data'], {
    created_time: '2026-01-01T00:00:00.000Z',
    custom_metadata: null,
    deletion_time: '',
    destroyed: false,
    version: 1,
  });
  await bench.root('POST', 'kvv2/data/app', { data: { a: '2' } });
  const current = await bench.root('GET', 'kvv2/data/app');
  assert.deepEqual(current.body['data']?.['data'], { a: '2' });
  assert.equal(current.body['lease_duration'], 0);
  const first = await bench.root('GET', 'kvv2/data/app?version=1');
  assert.deepEqual(first.body['data']?.['data'], { a: '1' });
  assert.equal((await bench.root('GET', 'kvv2/data/app?version=7')).text, '{"errors":[]}\n');
});

test('a deleted version of KV version 2 is 404 with its metadata, until it is brought back', async () => {
  await using bench = await startWithEngines();
  await bench.vault.write('kvv2/data/app', { data: { a: '1' } });
  assert.equal((await bench.root('DELETE', 'kvv2/data/app')).status, 204);
  const gone = await bench.root('GET', 'kvv2/data/app');
  assert.equal(gone.status, 404);
  assert.deepEqual(gone.body['data'], {
    data: null,
    metadata: {
      created_time: '2026-01-01T00:00:00.000Z',
      custom_metadata: null,
      deletion_time: '2026-01-01T00:00:00.000Z',
      destroyed: false,
      version: 1,
    },
  });
  await bench.vault.write('kvv2/undelete/app', { versions: [1] });
  assert.equal((await bench.root('GET', 'kvv2/data/app')).status, 200);
  await bench.vault.write('kvv2/destroy/app', { versions: [1] });
  const destroyed = await bench.root('GET', 'kvv2/data/app');
  assert.equal(destroyed.status, 404);
  assert.equal(destroyed.body['data']?.['metadata']?.['destroyed'], true);
  await bench.vault.delete('kvv2/metadata/app');
  assert.equal((await bench.root('GET', 'kvv2/metadata/app?list=true')).status, 404);
});

test('KV version 2 refuses what the real one refuses', async () => {
  await using bench = await startWithEngines();
  const refusals: [string, unknown, string][] = [
    ['kvv2/data/app', { a: '1' }, 'no data provided'],
    [
      'kvv2/data/app',
      { data: {}, options: { cas: 3 } },
      'check-and-set parameter did not match the current version',
    ],
    ['kvv2/data/app', { data: {}, options: { cas: 'x' } }, 'error parsing check-and-set parameter'],
    ['kvv2/delete/app', {}, 'No version number provided'],
  ];
  for (const [path, body, text] of refusals) {
    const answer = await bench.root('POST', path, body);
    assert.deepEqual([answer.status, answer.body['errors']], [400, [text]]);
  }
  const unversioned = await bench.root('GET', 'kvv2/app');
  assert.equal(unversioned.status, 404);
  assert.match(text(unversioned.body['warnings']), /^Invalid path for a versioned K\/V/);
});

test('KV version 2 keeps only so many versions, patches, and lists keys without values', async () => {
  await using bench = await startWithEngines();
  await bench.vault.write('kvv2/config', { max_versions: 2 });
  for (const a of ['1', '2', '3']) await bench.vault.write('kvv2/data/app', { data: { a, b: {} } });
  assert.equal((await bench.root('GET', 'kvv2/data/app?version=1')).status, 404);
  const metadata = await bench.vault.read('kvv2/metadata/app');
  assert.equal(metadata['oldest_version'], 2);
  await bench.call('PATCH', 'kvv2/data/app', {
    body: { data: { a: null, c: { d: 'x' } } },
    token: bench.vault.rootToken.reveal(),
    headers: { 'content-type': 'application/merge-patch+json' },
  });
  assert.deepEqual((await bench.vault.read('kvv2/data/app'))['data'], { b: {}, c: { d: 'x' } });
  assert.deepEqual((await bench.vault.read('kvv2/subkeys/app'))['subkeys'], {
    b: null,
    c: { d: null },
  });
});
