/** Two trust domains of the real SPIRE that federate: what the agents of their workloads write. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile, realpath } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { connect, createServer, type SecureContextOptions } from 'node:tls';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { startSpire, type Spire } from '../helpers/spire.ts';

const OWN = 'example.org';
const PARTNER = 'partner.example';
/** Its SVID outlives a test. */
const PARTNER_ENTRY = {
  spiffeId: 'spiffe://partner.example/ns/default/sa/app',
  federatesWith: [OWN],
  x509TtlSeconds: 600,
};

suite('two trust domains of SPIRE', () => {
  const servers = new AsyncDisposableStack();
  let own: Spire;
  let partner: Spire;

  before(async () => {
    const both = [startSpire(), startSpire({ trustDomain: PARTNER })] as const;
    const [first, second] = await Promise.allSettled(both);
    for (const one of [first, second]) if (one.status === 'fulfilled') servers.use(one.value);
    [own, partner] = await Promise.all(both);
    await own.federate(partner);
    await partner.federate(own);
    await own.register({ spiffeId: idOf(OWN), federatesWith: [PARTNER] });
    await partner.register(PARTNER_ENTRY);
  });

  after(() => servers.disposeAsync());

  async function start(bench: AgentBench, spire: Spire): Promise<RunningAgent> {
    return bench.start({ spiffe: { socket: spire.socket }, x509Svid: true });
  }

  test('workloads of both verify each other by their files, and nobody by the own bundle', async () => {
    await using ours = await AgentBench.create();
    await using theirs = await AgentBench.create();
    await start(ours, own);
    await start(theirs, partner);
    const server = await identityOf(ours, PARTNER);
    const client = await identityOf(theirs, OWN);
    assert.deepEqual(await handshake(server, client), [uri(PARTNER), uri(OWN)]);
    const { ca } = await identityOf(theirs);
    await assert.rejects(handshake(server, { ...client, ca }), {
      code: /SELF_SIGNED|UNABLE_TO_|SIGNATURE/,
    });
    const { ca: ourBundle } = await identityOf(ours);
    await assert.rejects(
      handshake({ ...server, ca: ourBundle }, client),
      /closed before the welcome|ECONNRESET|hang up/,
    );
  });

  test('a new authority of the other trust domain is trusted before it signs, the old one until it is revoked', async () => {
    await using ours = await AgentBench.create();
    await using theirs = await AgentBench.create();
    const agent = await start(ours, own);
    await start(theirs, partner);
    await bundleOf(ours, PARTNER, 1);
    const old = await identityOf(theirs);

    const authority = await partner.prepareX509Authority();
    await own.refreshFederation(partner);
    await bundleOf(ours, PARTNER, 2);
    await partner.activateX509Authority(authority);
    await partner.update({ ...PARTNER_ENTRY, hint: 'signed again' });
    const fresh = await eventually(async () => {
      const next = await identityOf(theirs);
      return issuerOf(next.cert) === issuerOf(old.cert) ? undefined : next;
    }, 'no SVID of the new authority came');
    const { cert, key } = await identityOf(ours);
    const { ca } = await identityOf(ours, PARTNER);
    for (const client of [old, fresh]) {
      const trusting = { ...client, ca: (await identityOf(theirs, OWN)).ca };
      assert.deepEqual(await handshake({ cert, key, ca }, trusting), [uri(PARTNER), uri(OWN)]);
    }

    await partner.revokeOldX509Authority();
    await own.refreshFederation(partner);
    const left = await bundleOf(ours, PARTNER, 1);
    assert.deepEqual(left, certificatesOf(await partner.authorities()));
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
  });

  test('the federation ends: its file is removed, the own set stays and is refreshed', async () => {
    await using bench = await AgentBench.create();
    const agent = await start(bench, own);
    await bundleOf(bench, PARTNER, 1);
    const svid = await bench.file('svid.pem');
    await own.endFederation(partner);
    await eventually(
      () =>
        bench.file(`bundle-${PARTNER}.pem`).then(
          () => undefined,
          () => true,
        ),
      'the file of an ended federation stays',
    );
    await bench.until('svid.pem', (text) => text !== svid);
    assert.deepEqual(await bundleOf(bench, undefined, 1), certificatesOf(await own.authorities()));
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
  });
});

function idOf(trustDomain: string): string {
  return `spiffe://${trustDomain}/ns/default/sa/app`;
}

function uri(trustDomain: string): string {
  return `URI:${idOf(trustDomain)}`;
}

interface Identity extends SecureContextOptions {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** The files of one set: SVID, key, and the bundle of a federated trust domain or the own one. */
async function identityOf(bench: AgentBench, federated?: string): Promise<Identity> {
  const file = bundleFile(federated);
  await bench.until(file, () => true);
  const set = await realpath(join(bench.output, '..data'));
  const [cert = '', key = '', ca = ''] = await Promise.all(
    ['svid.pem', 'svid_key.pem', file].map((name) => readFile(join(set, name), 'utf8')),
  );
  return { cert, key, ca };
}

function bundleFile(federated: string | undefined): string {
  return federated === undefined ? 'bundle.pem' : `bundle-${federated}.pem`;
}

/** Waits until the file has so many authorities; gives their fingerprints. */
async function bundleOf(
  bench: AgentBench,
  federated: string | undefined,
  count: number,
): Promise<readonly string[]> {
  const pem = await bench.until(
    bundleFile(federated),
    (text) => certificatesOf(text).length === count,
  );
  return certificatesOf(pem);
}

function certificatesOf(pem: string): readonly string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block).fingerprint256).sort();
}

/** Key identifier of who signed it: authorities of SPIRE have one name. */
function issuerOf(pem: string): string {
  const { raw } = new X509Certificate(pem);
  const at = raw.indexOf(Buffer.from([0x06, 0x03, 0x55, 0x1d, 0x23])); // authorityKeyIdentifier
  assert.ok(at > 0, 'an SVID that names the key of its authority');
  return raw.subarray(at + 5, at + 5 + 26).toString('hex');
}

/** Both ends verify each other by SPIFFE ID; gives the names that the server and the client saw. */
async function handshake(server: Identity, client: Identity): Promise<readonly string[]> {
  const seen: string[] = [];
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const listener = createServer({ ...server, requestCert: true }, (socket) => {
    seen.push(socket.getPeerX509Certificate()?.subjectAltName ?? '');
    socket.on('error', () => undefined); // the other end reports it
    socket.end('welcome');
  });
  listener.on('tlsClientError', reject);
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo; // a TCP server that listens has one
  const socket = connect({
    ...client,
    host: '127.0.0.1',
    port,
    checkServerIdentity: () => undefined, // an SVID has a SPIFFE ID instead of a name
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('closed before the welcome')));
  try {
    await Promise.race([once(socket, 'data'), failed]); // in TLS 1.3 the server judges last
    return [...seen, socket.getPeerX509Certificate()?.subjectAltName ?? ''];
  } finally {
    failed.catch(() => undefined);
    socket.destroy();
    listener.close();
  }
}
