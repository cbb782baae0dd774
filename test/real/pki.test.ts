/**
 * Certificates of the real Vault that live a minute: a server and a client reload them from the files and
 * handshake several times a second, for ten minutes.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile, readlink } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, createServer, type SecureContextOptions, type Server } from 'node:tls';
import { AgentBench } from '../helpers/agent-process.ts';
import { Hunt } from '../helpers/hunt.ts';
import { startRealWorld, type RealWorld } from '../helpers/real-world.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';
const NAME = 'web.example.org';
const TEN_MINUTES_MS = 600_000;
const INTERVAL_MS = 200;
const LIFE_MS = 60_000;
/** From Vault to the eye of the test, on a busy machine. */
const ON_THE_WAY_MS = 4000;

const POLICY = [
  'path "pki/issue/web" { capabilities = ["update"] }',
  'path "pki/cert/ca" { capabilities = ["read"] }',
].join('\n');

suite('PKI: a certificate that lives a minute', () => {
  const hunt = new Hunt();
  let world: RealWorld;

  before(async () => {
    const login = { role: 'web', policy: POLICY, more: { token_ttl: '1h' } };
    world = await startRealWorld({ spiffeId: SPIFFE_ID, ...login });
    const { vault } = world;
    await vault.write('sys/mounts/pki', { type: 'pki' });
    await vault.write('pki/root/generate/internal', { common_name: 'test CA', ttl: '24h' });
    await vault.write('pki/roles/web', { allow_any_name: true, ttl: `${LIFE_MS / 1000}s` });
  });

  after(() => world[Symbol.asyncDispose]());

  test('is replaced for ten minutes: no handshake fails, none is issued before it is due', async (t) => {
    const { vault } = world;
    await using bench = await AgentBench.create();
    const part = (name: string, key: string): object => ({
      name,
      template: `{{#with (pki "pki/issue/web" common_name="${NAME}")}}{{${key}}}{{/with}}\n`,
    });
    const agent = await bench.start({
      ...world.servers,
      files: [
        part('tls.crt', 'certificate'),
        part('tls.key', 'private_key'),
        { name: 'ca.crt', secret: 'pki/cert/ca#certificate', format: 'raw', refresh: '1h' },
      ],
    });
    await agent.logged(/files delivered/);
    await using server = await listen(await load(bench));
    const issuedAtMs: number[] = [];
    const failures: string[] = [];
    let serial = '';
    let handshakes = 0;
    let leastLeftMs = Infinity;
    const endMs = performance.now() + TEN_MINUTES_MS;
    while (performance.now() < endMs) {
      const identity = await load(bench);
      hunt.plant(identity.key.split('\n')[1] ?? '');
      const certificate = new X509Certificate(identity.cert);
      leastLeftMs = Math.min(leastLeftMs, certificate.validToDate.getTime() - Date.now());
      if (certificate.serialNumber !== serial) issuedAtMs.push(performance.now());
      serial = certificate.serialNumber;
      server.setSecureContext(identity);
      handshakes += 1;
      await handshake(server, identity).catch((error: unknown) => failures.push(String(error)));
      await delay(INTERVAL_MS);
    }
    const issued = await vault.count('pki/issue/web');
    const spansMs = issuedAtMs.slice(1).map((atMs, index) => atMs - (issuedAtMs[index] ?? 0));
    const [shortest, longest] = [Math.min(...spansMs), Math.max(...spansMs)];
    t.diagnostic(
      `${handshakes} handshakes, ${failures.length} failed; ${issued} certificates, each for ` +
        `${Math.round(shortest)} to ${Math.round(longest)} ms; least life left ${leastLeftMs} ms`,
    );
    assert.deepEqual(failures, []);
    assert.ok(handshakes > TEN_MINUTES_MS / INTERVAL_MS / 2, `${handshakes} handshakes`);
    // The last one may be on its way to the file.
    assert.ok([0, 1].includes(issued - issuedAtMs.length), 'each was delivered');
    // Due at 65 to 75 % of what is left when it is issued.
    assert.ok(shortest > LIFE_MS * 0.65 - ON_THE_WAY_MS, `one lived for ${shortest} ms`);
    assert.ok(longest < LIFE_MS * 0.75 + ON_THE_WAY_MS, `one lived for ${longest} ms`);
    assert.ok(issued <= Math.ceil(TEN_MINUTES_MS / (LIFE_MS * 0.65)) + 1, `${issued} issued`);
    assert.equal(await vault.count('auth/jwt/login'), 1);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0);
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
    hunt.assertNone({ output: agent.output });
  });
});

interface Identity extends SecureContextOptions {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** All files of one set, as an application reads them that wants certificate and key to fit. */
async function load(bench: AgentBench): Promise<Identity> {
  const set = join(bench.output, await readlink(join(bench.output, '..data')));
  const [cert, key, ca] = await Promise.all(
    ['tls.crt', 'tls.key', 'ca.crt'].map((name) => readFile(join(set, name), 'utf8')),
  );
  assert.ok(cert !== undefined && key !== undefined && ca !== undefined);
  return { cert, key, ca };
}

/** A server that wants a certificate of the same CA from its clients. */
async function listen(identity: Identity): Promise<Server> {
  const server = createServer({ ...identity, requestCert: true }, (socket) => {
    socket.on('error', () => undefined); // the other end reports it
    socket.end('welcome');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Connects, and waits to be welcome: in TLS 1.3 the client's certificate is judged after the handshake. */
async function handshake(server: Server, identity: Identity): Promise<void> {
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const socket = connect({ ...identity, host: '127.0.0.1', port, servername: NAME });
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  socket.on('error', reject);
  socket.on('data', () => resolve(undefined));
  socket.on('close', () => reject(new Error('closed before the welcome')));
  socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
  try {
    await promise;
  } finally {
    socket.destroy();
  }
}
