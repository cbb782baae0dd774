import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capabilitiesOn, parsePolicy } from '../../../../src/dev/vault/core/acl.ts';
import { startBench, tokenOf } from './client.ts';

function granted(policy: string, path: string, operation?: 'list'): string[] {
  return [...capabilitiesOn(parsePolicy(policy), path, operation)].sort();
}

test('the path forms of policies', () => {
  const read = (path: string): string => `path "${path}" { capabilities = ["read"] }`;
  const cases: [string, string, boolean][] = [
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/c', false],
    ['a/*', 'a/b/c', true],
    ['a/*', 'a/', true],
    ['a/*', 'a', false],
    ['a/b*', 'a/bc/d', true],
    ['a/+/c', 'a/b/c', true],
    ['a/+/c', 'a/b/x/c', false],
    ['+/+/x*', 'a/b/xyz', true],
    ['*', 'anything/at/all', true],
  ];
  for (const [pattern, path, expected] of cases) {
    assert.equal(granted(read(pattern), path).includes('read'), expected, `${pattern} ${path}`);
  }
});

test('the most specific path counts, deny wins, and rules of one path add up', () => {
  const policy = `
    # comments of all kinds
    path "s/*" { capabilities = ["read", "list"] }
    path "s/deep/*" { capabilities = ["deny"] } // deeper
    path "s/deep/+/open" { capabilities = ["read"] }
    path "s/one" { capabilities = ["create"] }
    path "s/one" { capabilities = ["update"], allowed_parameters = { a = ["x", 1, true], "*" = [] } }
    /* old form */
    path "old" { policy = "write" }`;
  assert.deepEqual(granted(policy, 's/x'), ['list', 'read']);
  assert.deepEqual(granted(policy, 's/deep/x'), []);
  assert.deepEqual(granted(policy, 's/deep/x/open'), ['read']);
  assert.deepEqual(granted(policy, 's/one'), ['create', 'update']);
  assert.deepEqual(granted(policy, 'old'), ['create', 'delete', 'list', 'read', 'update']);
  assert.deepEqual(granted(policy, 'other'), []);
});

test('a list fits a path with and without its slash', () => {
  const policy = 'path "kv/metadata/app" { capabilities = ["list"] }';
  assert.deepEqual(granted(policy, 'kv/metadata/app/', 'list'), ['list']);
  assert.deepEqual(granted(policy, 'kv/metadata/app/'), []);
});

test('policies may be JSON', () => {
  const policy = JSON.stringify({ path: { 'a/*': { capabilities: ['read'] } } });
  assert.deepEqual(granted(policy, 'a/b'), ['read']);
});

test('what is no policy is refused with its place', () => {
  const refusals: [string, RegExp][] = [
    [
      'path "x" { capabilities = ["fly"] }',
      /^failed to parse policy: path "x": invalid capability "fly"/,
    ],
    ['garbage {{', /^failed to parse policy: At 1:10:/],
    ['path "x" {\n  capabilities = [', /At 2:19:/],
    ['path "x" { capabilities = }', /unexpected "}"/],
    ['path "x" { ; }', /illegal character/],
    ['thing "x" {}', /unknown key "thing"/],
    ['a = 1', /unknown key "a"/],
    ['{"path": ', /^failed to parse policy:/],
  ];
  for (const [source, message] of refusals) {
    assert.throws(() => parsePolicy(source), { name: 'Refusal', status: 400, message });
  }
});

test('policies are enforced: reading, listing, creating and updating apart', async () => {
  await using bench = await startBench();
  const { vault } = bench;
  await vault.write('sys/mounts/kvv2', { type: 'kv', options: { version: '2' } });
  await vault.write('kvv2/data/app/old', { data: { a: 1 } });
  await vault.write('sys/policies/acl/app', {
    policy: `path "kvv2/data/app/*" { capabilities = ["create"] }
             path "kvv2/metadata/app/*" { capabilities = ["list"] }`,
  });
  const made = await bench.root('POST', 'auth/token/create', { policies: ['app'] });
  const token = tokenOf(made);
  const body = { data: { a: 2 } };
  const cases: [string, string, number][] = [
    ['POST', 'kvv2/data/app/new', 200],
    ['POST', 'kvv2/data/app/new', 403],
    ['POST', 'kvv2/data/app/old', 403],
    ['GET', 'kvv2/data/app/old', 403],
    ['GET', 'kvv2/metadata/app?list=true', 200],
    ['GET', 'kvv2/metadata/app/old', 403],
    ['DELETE', 'kvv2/data/app/old', 403],
    ['GET', 'nowhere/at/all', 403],
  ];
  for (const [method, path, status] of cases) {
    const more = method === 'POST' ? { token, body } : { token };
    assert.equal((await bench.call(method, path, more)).status, status, `${method} ${path}`);
  }
  const self = await bench.call('POST', 'sys/capabilities-self', {
    token,
    body: { paths: ['kvv2/data/app/x', 'other'] },
  });
  assert.deepEqual(self.body['data'], {
    capabilities: ['create'],
    'kvv2/data/app/x': ['create'],
    other: ['deny'],
  });
});

test('policies are written, read, listed and deleted', async () => {
  await using bench = await startBench();
  const policy = 'path "a" { capabilities = ["read"] }';
  await bench.vault.write('sys/policies/acl/p1', { policy });
  assert.deepEqual(await bench.vault.read('sys/policies/acl/p1'), { name: 'p1', policy });
  assert.deepEqual(await bench.vault.read('sys/policy/p1'), { name: 'p1', rules: policy });
  const listed = await bench.root('GET', 'sys/policies/acl?list=true');
  assert.deepEqual(listed.body['data'], { keys: ['default', 'p1', 'root'] });
  await bench.vault.delete('sys/policies/acl/p1');
  assert.equal((await bench.root('GET', 'sys/policies/acl/p1')).status, 404);
  const refusals: [string, object | undefined, string][] = [
    ['PUT', {}, "'policy' parameter not supplied or empty"],
    ['DELETE', undefined, 'cannot delete default policy'],
  ];
  for (const [method, body, text] of refusals) {
    const { status, body: answer } = await bench.root(method, 'sys/policies/acl/default', body);
    assert.deepEqual([status, answer['errors']], [400, [text]]);
  }
});
