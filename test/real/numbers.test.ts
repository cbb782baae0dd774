/** Numbers through the real Vault: from a secret to a file, and from a file's template to a write. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { AgentBench } from '../helpers/agent-process.ts';
import type { RealVault } from '../helpers/real-vault.ts';
import { startRealWorld, type RealWorld } from '../helpers/real-world.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/numbers';
const POLICY = [
  'path "kv1/*" { capabilities = ["read", "list", "create", "update"] }',
  'path "secret/*" { capabilities = ["read", "list"] }',
  'path "transit/*" { capabilities = ["update"] }',
].join('\n');
const NUMBERS =
  '{"amount":1.10,"big":12345678901234567890,"exp":1e21,"id":1099511627776123456,"large":1.5E300,"list":[1.0,{"n":2.50}],"minus":-0}';

let world: RealWorld;
let vault: RealVault;

/** Sends a body as it is: `JSON.stringify` of a JS value would change its numbers. */
async function writeText(path: string, body: string): Promise<void> {
  const headers = { 'X-Vault-Token': vault.token };
  const response = await fetch(`${vault.address}/v1/${path}`, { method: 'POST', headers, body });
  assert.ok(response.ok, `${response.status} ${await response.text()}`);
}

async function readText(path: string): Promise<string> {
  const headers = { 'X-Vault-Token': vault.token };
  return await (await fetch(`${vault.address}/v1/${path}`, { headers })).text();
}

before(async () => {
  world = await startRealWorld({ spiffeId: SPIFFE_ID, role: 'numbers', policy: POLICY });
  ({ vault } = world);
  await vault.write('sys/mounts/kv1', { type: 'kv', options: { version: '1' } });
  await vault.write('sys/mounts/transit', { type: 'transit' });
  await vault.write('transit/keys/app', {});
  await writeText('kv1/numbers', NUMBERS);
  await writeText('secret/data/numbers', `{"data":${NUMBERS}}`);
  await writeText('kv1/long', `{"pad":"${'x'.repeat(100_000)}","n":1.10}`);
});

after(() => world[Symbol.asyncDispose]());

function settings(...files: readonly object[]): object {
  return { ...world.servers, files };
}

suite('numbers of the real Vault', () => {
  test('KV v1, KV v2 and a long secret are written with the digits that Vault stores', async () => {
    await using bench = await AgentBench.create();
    const agent = await bench.start(
      settings(
        { name: 'kv1', template: '{{json (secret "kv1/numbers")}}' },
        { name: 'kv2', template: '{{json (secret "secret/numbers")}}' },
        { name: 'env', secret: 'kv1/long#n' },
        { name: 'yaml', template: '{{yaml (secret "kv1/numbers")}}' },
        { name: 'plain', template: '{{#with (secret "kv1/numbers")}}{{id}} {{amount}}{{/with}}' },
      ),
      ['--once'],
    );
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await bench.file('kv1'), NUMBERS);
    // KV version 2 itself reads numbers as doubles.
    const stored = await readText('secret/data/numbers');
    assert.ok(stored.includes(`"data":{"data":${await bench.file('kv2')},`), stored);
    assert.equal(await bench.file('env'), '1.10');
    assert.equal(await bench.file('plain'), '1099511627776123456 1.10');
    assert.match(
      await bench.file('yaml'),
      /"amount": 1\.10, "big": 12345678901234567890, "exp": 1\.0e\+21/,
    );
  });

  test('a write sends numbers, lists and objects as they are', async () => {
    await using bench = await AgentBench.create();
    const template = [
      '{{#with (secret "kv1/numbers")}}',
      '{{json (secret "kv1/copy" id=id all=(list amount big list 3.30) literal=1099511627776123457)}}',
      '{{/with}}',
    ].join('');
    const agent = await bench.start(settings({ name: 'copy', template }), ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await bench.file('copy'), '{}');
    const copy = await readText('kv1/copy');
    const sent =
      '"data":{"all":[1.10,12345678901234567890,[1.0,{"n":2.50}],3.30],"id":1099511627776123456,"literal":1099511627776123457}';
    assert.ok(copy.includes(sent), copy);
  });

  test('a batch of transit is a list of objects', async () => {
    await using bench = await AgentBench.create();
    const template = [
      '{{#with (secret "transit/encrypt/app" batch_input=(list (object plaintext=(base64Encode "one")) (object plaintext=(base64Encode 1.10))))}}',
      '{{#with (secret "transit/decrypt/app" batch_input=(list (object ciphertext=(lookup (first batch_results) "ciphertext")) (last batch_results)))}}',
      '{{#each batch_results}}{{base64Decode plaintext}};{{/each}}',
      '{{/with}}{{/with}}',
    ].join('');
    const agent = await bench.start(settings({ name: 'batch', template }), ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await bench.file('batch'), 'one;1.10;');
  });

  test('a change of digits alone is a change', async () => {
    await using bench = await AgentBench.create();
    await writeText('kv1/price', '{"n":1.10}');
    const agent = await bench.start(
      settings({ name: 'price', secret: 'kv1/price#n', refresh: '1s' }),
    );
    await bench.until('price', (text) => text === '1.10');
    await writeText('kv1/price', '{"n":1.1}');
    await bench.until('price', (text) => text === '1.1');
    assert.match(agent.output, /"changed":\["price"\]/);
  });
});
