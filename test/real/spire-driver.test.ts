/** The CSI driver whose pods log in to the real Vault by SVIDs of their own, from SPIRE. */
import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { eventually } from '../helpers/agent-process.ts';
import {
  CANNOT_MOUNT,
  CsiWorld,
  DRIVER,
  SHORT_CALLS,
  type PublishChange,
  type RunningDriver,
  type TestPod,
} from '../helpers/csi-world.ts';
import { DRIVER_ID, startNode, type NodeIdentities } from '../helpers/node-identities.ts';
import { PodSource, type PodSourceKind } from '../helpers/pod-source.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import type { Entry } from '../helpers/spire.ts';

/** Each test has a pod of its own: an agent hears late of entries that another test has deleted. */
const NAMES = ['by-jwt', 'by-cert', 'late', 'late-cert', 'restarted'] as const;
type Name = (typeof NAMES)[number];

const SECRET = { role: 'app', 'secret-password': 'secret/app#password' };
const SVIDS = { 'x509-svid': 'true', 'jwt-svid-cloud': 'api://cloud' };

suite('the CSI driver with SPIRE and the real Vault', { skip: CANNOT_MOUNT }, () => {
  let node: NodeIdentities;
  let vault: RealVault;

  before(async () => {
    node = await startNode();
    await node.spire.register({ spiffeId: DRIVER_ID });
    vault = await startRealVault(['-dev-tls']); // as login by certificate needs it
    await prepare(vault, node);
  });

  after(async () => {
    await vault[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
  });

  for (const [kind, api] of [
    ['broker', 'Broker API'],
    ['delegated', 'Delegated Identity API'],
  ] as const) {
    suite(api, () => cases(kind, () => ({ node, vault })));
  }
});

/** Lets pods of the namespace log in by either SVID. */
async function prepare(vault: RealVault, node: NodeIdentities): Promise<void> {
  await vault.write('secret/data/app', { data: { password: 'planted' } });
  await vault.write('sys/policies/acl/app', {
    policy: 'path "secret/data/app" { capabilities = ["read"] }',
  });
  await vault.write('sys/auth/jwt', { type: 'jwt' });
  await vault.write('auth/jwt/config', { jwks_url: node.spire.jwksUrl });
  const role = { token_policies: 'app', token_ttl: '1h' };
  await vault.write('auth/jwt/role/app', {
    ...role,
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: 'vault',
    bound_claims_type: 'glob',
    bound_claims: { sub: idOf('*') },
  });
  await vault.write('sys/auth/cert', { type: 'cert' });
  const certificate = await node.spire.authorities();
  await vault.write('auth/cert/certs/app', { ...role, certificate, allowed_uri_sans: idOf('*') });
}

interface Servers {
  readonly node: NodeIdentities;
  readonly vault: RealVault;
}

function cases(kind: PodSourceKind, servers: () => Servers): void {
  let world: CsiWorld;
  let source: PodSource;
  let driver: RunningDriver;
  let pods: Readonly<Record<Name, TestPod>>;

  before(async () => {
    const { node, vault } = servers();
    world = await CsiWorld.start();
    world.hunt.plant('planted');
    const made = NAMES.map(async (name) => {
      const account = accountOf(name);
      return [name, await world.pod(account, { serviceAccount: account })] as const;
    });
    pods = Object.fromEntries(await Promise.all(made)) as typeof pods; // one for each name
    const all = Object.values(pods);
    node.setPods(all);
    source = new PodSource(kind, node, all);
    const caPem = await readFile(vault.caFile, 'utf8');
    const installation = world.installation({
      csi: {
        enabled: true,
        driverName: DRIVER,
        minRefresh: '1s',
        identity: { kind, socket: node.sockets[kind] },
      },
      spiffe: { socket: node.spire.socket },
      vault: { connections: { default: { address: vault.address, caPem } } },
    });
    driver = await world.driver({ waits: SHORT_CALLS, svids: source.svids }, installation);
  });

  after(async () => {
    const { logger } = driver;
    const { hunt } = world;
    await world[Symbol.asyncDispose]();
    await source[Symbol.asyncDispose]();
    hunt.assertNone({ log: logger.text() });
  });

  function accountOf(name: Name): string {
    return `${name}-${kind}`;
  }

  /** Registers pods for as long as a test runs. */
  async function registered(...names: readonly Name[]): Promise<AsyncDisposable> {
    const { node } = servers();
    for (const name of names) await node.spire.register(entryOf(accountOf(name)));
    return {
      async [Symbol.asyncDispose]() {
        for (const name of names) await node.spire.deregister(idOf(accountOf(name)));
      },
    };
  }

  /** Publishes as a kubelet does that sends no tokens. */
  async function published(name: Name, attributes: PublishChange['attributes']): Promise<TestPod> {
    const { kubelet } = driver;
    await world.published(kubelet, pods[name], { attributes: { ...attributes }, tokens: null });
    return pods[name];
  }

  /** Waits for a set of X.509 files that fits together, and is not `known`. */
  async function x509Set(pod: TestPod, known?: string): Promise<string> {
    return eventually(async () => {
      const set = await realpath(join(pod.target, '..data')); // one delivery, whatever comes next
      const [svid, key, bundle] = await Promise.all(
        ['svid.pem', 'svid_key.pem', 'bundle.pem'].map((name) =>
          readFile(join(set, name), 'utf8').catch(() => ''),
        ),
      );
      if (!svid || !key || !bundle || svid === known) return undefined;
      const leaf = new X509Certificate(svid);
      assert.equal(leaf.subjectAltName?.split(', ').at(-1), `URI:${idOf(pod.name)}`);
      assert.ok(leaf.checkPrivateKey(createPrivateKey(key)));
      assert.ok(leaf.verify(new X509Certificate(bundle).publicKey));
      return svid;
    }, 'no set of X.509 files came');
  }

  /** Waits for a JWT-SVID that is the pod's, and is not `known`. */
  async function jwtOf(pod: TestPod, known?: string): Promise<string> {
    const keys = createRemoteJWKSet(new URL(servers().node.spire.jwksUrl));
    return eventually(async () => {
      const token = await world.file(pod, 'cloud').catch(() => undefined); // swapped just now
      if (token === undefined || token === known) return undefined;
      await jwtVerify(token, keys, { audience: 'api://cloud', subject: idOf(pod.name) });
      return token;
    }, 'no JWT-SVID came');
  }

  test('a pod logs in by its JWT-SVID, and its SVID files are kept fresh', async () => {
    await using _ = await registered('by-jwt');
    const pod = await published('by-jwt', { ...SECRET, ...SVIDS, 'template-id': '{{spiffeId}}' });
    assert.equal(await world.file(pod, 'password'), 'planted');
    assert.equal(await world.file(pod, 'id'), idOf(pod.name));
    const [svid, token] = [await x509Set(pod), await jwtOf(pod)];
    await Promise.all([x509Set(pod, svid), jwtOf(pod, token)]);
    await world.unpublish(driver.kubelet, pod);
  });

  test('a pod logs in by its X.509-SVID', async () => {
    const before = await servers().vault.count('auth/cert/login');
    await using _ = await registered('by-cert');
    const pod = await published('by-cert', { ...SECRET, 'auth-method': 'cert' });
    assert.equal(await world.file(pod, 'password'), 'planted');
    assert.ok((await servers().vault.count('auth/cert/login')) > before);
    await world.unpublish(driver.kubelet, pod);
  });

  for (const [name, what, attributes] of [
    ['late', 'JWT-SVID', { ...SECRET, ...SVIDS }],
    ['late-cert', 'X.509-SVID', { ...SECRET, 'auth-method': 'cert' }],
  ] as const) {
    test(`a pod that is entitled to no ${what} waits with the reason, until it is registered`, async () => {
      const says = /ERR_CSI_PENDING.*ERR_SPIFFE_DENIED.*registration entry/s;
      const plain = { attributes, tokens: null };
      await world.rejectedWith(says, driver.kubelet, pods[name], plain);
      await using _ = await registered(name);
      const pod = await published(name, attributes);
      assert.equal(await world.file(pod, 'password'), 'planted');
      await world.unpublish(driver.kubelet, pod);
    });
  }

  test('an agent that restarts takes no file away, and new SVIDs come from the next one', async () => {
    const { node, vault } = servers();
    await using _ = await registered('restarted');
    const attributes = { ...SECRET, ...SVIDS, 'refresh-password': '1s' };
    const pod = await published('restarted', attributes);
    const svid = await x509Set(pod);
    await node.spire.restart();
    await published('restarted', attributes); // it is there still, and said so
    await vault.write('secret/data/app', { data: { password: 'planted-next' } });
    await world.holds(pod, 'password', 'planted-next'); // its token is good
    await x509Set(pod, svid);
    await vault.write('secret/data/app', { data: { password: 'planted' } });
    await world.unpublish(driver.kubelet, pod);
  });
}

function idOf(name: string): string {
  return `spiffe://example.org/ns/shop/sa/${name}`;
}

/** The common name is what Vault calls those who log in by certificate. */
function entryOf(name: string): Entry {
  return {
    spiffeId: idOf(name),
    selectors: ['k8s:ns:shop', `k8s:sa:${name}`],
    dnsNames: [`${name}.example.org`],
  };
}
