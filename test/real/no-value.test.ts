/**
 * What the real Vault answers without an envelope, without JSON or wrapped. Control groups need Vault Enterprise; their answers have the
 * form of those that a proxy forces with X-Vault-Wrap-TTL.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { AgentBench, type RunningAgent } from '../helpers/agent-process.ts';
import type { RealVault } from '../helpers/real-vault.ts';
import { startRealWorld, type RealWorld } from '../helpers/real-world.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';

const POLICY = `
path "*" { capabilities = ["create", "read", "update", "list"] }
path "kvv2/data/enforced" { capabilities = ["read"] min_wrapping_ttl = "1s" }`;

/** Vault behind a proxy that has the answers for some paths wrapped. */
interface WrappingProxy extends AsyncDisposable {
  readonly address: string;
  wraps: RegExp | undefined;
  readonly wrapped: string[];
}

async function startWrappingProxy(vault: RealVault): Promise<WrappingProxy> {
  const server = createServer((incoming, response) => {
    const { method, url = '', headers } = incoming;
    const isWrapped = proxy.wraps?.test(url) ?? false;
    if (isWrapped) proxy.wrapped.push(url);
    const more = isWrapped ? { 'x-vault-wrap-ttl': '60s' } : {};
    const outgoing = request(`${vault.address}${url}`, {
      method,
      headers: { ...headers, ...more },
    });
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind of address
  const proxy: WrappingProxy = {
    address: `http://127.0.0.1:${port}`,
    wraps: undefined,
    wrapped: [],
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
  return proxy;
}

suite('answers without a value', () => {
  const stack = new AsyncDisposableStack();
  let vault: RealVault;
  let world: RealWorld;
  let proxy: WrappingProxy;

  before(async () => {
    const login = { role: 'web', policy: POLICY, more: { token_ttl: '1h' } };
    world = stack.use(await startRealWorld({ spiffeId: SPIFFE_ID, ...login }));
    ({ vault } = world);
    proxy = stack.use(await startWrappingProxy(vault));
    await vault.write('sys/mounts/pki', { type: 'pki' });
    await vault.write('pki/root/generate/internal', { common_name: 'test CA', ttl: '24h' });
    await vault.write('sys/mounts/ssh', { type: 'ssh' });
    await vault.write('ssh/config/ca', { generate_signing_key: true });
    await vault.write('sys/mounts/kv', { type: 'kv' });
    await vault.write('sys/mounts/kvv2', { type: 'kv', options: { version: '2' } });
    await vault.write('kv/app', { v: 'one' });
    for (const name of ['app', 'enforced', 'c%23sharp', 'c']) {
      await vault.write(`kvv2/data/${name}`, { data: { v: `of ${name}` } });
    }
    await vault.write('kvv2/data/empty', { data: {} });
  });

  after(() => stack.disposeAsync());

  const start = async (
    bench: AgentBench,
    files: readonly object[],
    more: { readonly flags?: readonly string[]; readonly document?: object } = {},
  ): Promise<RunningAgent> =>
    bench.start(
      {
        ...world.servers,
        vault: { address: proxy.address },
        files,
        ...more.document,
      },
      more.flags ?? ['--once'],
    );

  test('endpoints without an envelope are read as they stand, an empty secret as it is', async () => {
    await using bench = await AgentBench.create();
    const agent = await start(bench, [
      { name: 'jwks.json', secret: 'identity/oidc/.well-known/keys' },
      { name: 'discovery.json', secret: 'identity/oidc/.well-known/openid-configuration' },
      { name: 'health.json', template: '{{json (secret "sys/health")}}' },
      { name: 'sealed', secret: 'sys/seal-status#sealed' },
      { name: 'leader.json', secret: 'sys/leader' },
      { name: 'empty.json', secret: 'kvv2/empty' },
    ]);
    assert.equal(await agent.exit(), 0, agent.output);
    const json = async (name: string): Promise<object> =>
      JSON.parse(await bench.file(name)) as object; // fails below if it is not
    assert.ok('keys' in (await json('jwks.json')));
    assert.ok('jwks_uri' in (await json('discovery.json')));
    assert.ok('initialized' in (await json('health.json')));
    assert.equal(await bench.file('sealed'), 'false');
    assert.ok('ha_enabled' in (await json('leader.json')));
    assert.deepEqual(await json('empty.json'), {});
  });

  test('an escaped # is part of the path, with a key after it', async () => {
    await using bench = await AgentBench.create();
    const agent = await start(bench, [
      { name: 'a', secret: 'kvv2/c\\#sharp#v' },
      { name: 'b', template: '{{secret "kvv2/c\\#sharp#v"}} {{secret "kvv2/c#v"}}' },
      {
        name: 'c',
        template:
          '{{#each (secrets "kvv2")}}{{#if (startsWith this "c")}}{{secret (concat "kvv2/" (replace this "#" "\\#") "#v")}};{{/if}}{{/each}}',
      },
    ]);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await bench.file('a'), 'of c%23sharp');
    assert.equal(await bench.file('b'), 'of c%23sharp of c');
    assert.equal(await bench.file('c'), 'of c;of c%23sharp;');
  });

  const issuer = 'pki/issuer/default';
  for (const [path, inJson] of [
    ['pki/ca/pem', 'pki/cert/ca#certificate'],
    ['pki/ca', 'pki/cert/ca#certificate'],
    ['pki/ca_chain', 'pki/cert/ca_chain#certificate'],
    ['pki/crl', 'pki/cert/crl#certificate'],
    ['pki/crl/pem', 'pki/cert/crl#certificate'],
    ['pki/crl/delta/pem', 'pki/cert/delta-crl#certificate'],
    [`${issuer}/pem`, `${issuer}/json#certificate`],
    [`${issuer}/der`, `${issuer}/json#certificate`],
    [`${issuer}/crl/pem`, `${issuer}/crl#crl`],
    [`${issuer}/crl/delta/der`, `${issuer}/crl/delta#crl`],
    ['pki/cert/ca/raw/pem', 'pki/cert/ca#certificate'],
    ['ssh/public_key', 'ssh/config/ca#public_key'],
  ] as const) {
    test(`${path} ends the start at once; ${inJson} is the same`, async () => {
      await using bench = await AgentBench.create();
      const wrong = await start(bench, [{ name: 'a', secret: path }]);
      assert.equal(await wrong.exit(), 15, wrong.output);
      const reason = await wrong.terminationMessage();
      assert.match(reason, /^ERR_VAULT_NOT_JSON: /);
      assert.ok(reason.includes(`read ${inJson} instead`), reason);
      const right = await start(bench, [{ name: 'a', secret: inJson }]);
      assert.equal(await right.exit(), 0, right.output);
      assert.match(await bench.file('a'), /^(-----BEGIN |ssh-)/);
    });
  }

  test('a wrapped answer at a start: one request, and the deadline names it', async () => {
    await using bench = await AgentBench.create();
    proxy.wraps = /\/kvv2\/data\/app/;
    proxy.wrapped.length = 0;
    const files = [{ name: 'a', secret: 'kvv2/app' }];
    const agent = await start(bench, files, { document: { initDeadline: '8s' } });
    assert.equal(await agent.exit(), 17, agent.output);
    const reason = await agent.terminationMessage();
    assert.match(
      reason,
      /^ERR_AGENT_DEADLINE: .*ERR_VAULT_WRAPPED: .*creation path kvv2\/data\/app/,
    );
    assert.equal(proxy.wrapped.length, 1);
    assert.doesNotMatch(`${agent.output}${reason}`, /hvs\./);
    await assert.rejects(bench.file('a'), { code: 'ENOENT' });
  });

  test('a wrapped answer at a refresh, also of a write: the files stay, it is asked for once and logged once', async () => {
    await using bench = await AgentBench.create();
    proxy.wraps = undefined;
    const agent = await start(
      bench,
      [
        { name: 'a', secret: 'kv/app#v', refresh: '1s' },
        { name: 'b', template: '{{json (secret "sys/tools/random" bytes=4)}}', refresh: '1s' },
        { name: 'c', secret: 'kvv2/app#v', refresh: '1s' },
      ],
      { flags: [] },
    );
    await agent.logged(/files delivered/);
    proxy.wrapped.length = 0;
    proxy.wraps = /\/kv\/app|\/sys\/tools\/random/;
    await agent.logged(/"secret":"kv\/app".*ERR_VAULT_WRAPPED.*secret was not refreshed/);
    await vault.write('kvv2/data/app', { data: { v: 'two' } });
    await bench.until('c', (text) => text === 'two');
    await vault.write('kvv2/data/app', { data: { v: 'three' } });
    await bench.until('c', (text) => text === 'three');
    assert.equal(await bench.file('a'), 'one');
    assert.match(await bench.file('b'), /random_bytes/);
    const count = (path: string): number =>
      proxy.wrapped.filter((one) => one.includes(path)).length;
    assert.equal(count('/kv/app'), 1);
    assert.ok(count('/sys/tools/random') <= 1);
    assert.equal(agent.output.match(/"secret":"kv\/app".*not refreshed/g)?.length, 1);
    await agent.kill('SIGTERM');
    assert.doesNotMatch(agent.output, /hvs\./);
  });

  test('a token that is created wrapped is not written to a file', async () => {
    await using bench = await AgentBench.create();
    proxy.wraps = /\/auth\/token\/create$/;
    const files = [{ name: 'a', template: '{{json (secret "auth/token/create" ttl="1m")}}' }];
    const agent = await start(bench, files, { document: { initDeadline: '5s' } });
    assert.equal(await agent.exit(), 17, agent.output);
    assert.match(await agent.terminationMessage(), /accessor of the wrapped token \w+/);
  });

  test('a policy that demands wrapping denies', async () => {
    await using bench = await AgentBench.create();
    proxy.wraps = undefined;
    const files = [{ name: 'a', secret: 'kvv2/enforced' }];
    const agent = await start(bench, files, { document: { initDeadline: '5s' } });
    assert.equal(await agent.exit(), 17, agent.output);
    assert.match(await agent.terminationMessage(), /ERR_VAULT_DENIED/);
  });
});
