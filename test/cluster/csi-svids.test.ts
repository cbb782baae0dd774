/** SVIDs of pods by the CSI driver under a real kubelet, by either API of SPIRE that gives them. */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { createLocalJWKSet, decodeJwt, jwtVerify, type JSONWebKeySet } from 'jose';
import { getText } from '../helpers/get-text.ts';
import { changes, handWritten, READ, revoked, settings, waitsBecause } from './parts/csi-pods.ts';
import { TRUSTED } from './parts/identity-place.ts';
import { install } from './parts/installing.ts';
import type { Pod } from './parts/objects.ts';
import { BY_BROKER, BY_DELEGATED } from './parts/release.ts';
import { act, api, eventually, shellPod, Space, vault, world } from './parts/suite.ts';

/** A start that failed is tried again by the kubelet, at most two minutes later. */
const START_MS = 180_000;
const CLOUD = 'api://cloud';
/** Files with SVIDs besides the secret. */
const SVID_FILES = { 'x509-svid': 'true', 'jwt-svid-cloud': CLOUD };

/** Those of pods that have a registration entry of their own. */
const LABELS = { [TRUSTED.name]: TRUSTED.value };

/** A namespace whose pods log in with their JWT-SVIDs. */
async function withSvids(how: { readonly isRegistered?: boolean } = {}): Promise<Space> {
  const space = await Space.create({}, how);
  await space.grantSecret({ password: 'first' });
  return space;
}

function idOf(space: Space): string {
  return `spiffe://example.org/ns/${space.name}/sa/default`;
}

/** Lets its pods log in over TLS with their X.509-SVIDs; gives the mount. */
async function trustCertificates(space: Space): Promise<string> {
  const mount = `cert-${space.name}`;
  await vault.write(`sys/auth/${mount}`, { type: 'cert' });
  await vault.write(`auth/${mount}/certs/app`, {
    certificate: world.bundlePem,
    allowed_uri_sans: idOf(space),
    token_policies: space.name,
    token_ttl: '1h',
  });
  return mount;
}

function byCertificate(mount: string): Record<string, string> {
  return { 'auth-method': 'cert', 'auth-mount': mount, vault: 'tls' };
}

/** Files of the pod `app`, all of one set. */
async function read(space: Space, ...names: string[]): Promise<readonly string[]> {
  const line = `cd /vault/secrets/..data && for name in ${names.join(' ')}; do cat $name; echo '#'; done`;
  const text = await space.exec('app', 'app', '/bin/sh', '-c', line);
  return text.split('#\n').slice(0, names.length);
}

/** Certificate and key belong together, and are of the pod; gives the certificate. */
async function x509Svid(space: Space): Promise<X509Certificate> {
  const [chain = '', key = '', bundle = ''] = await read(
    space,
    ...['svid.pem', 'svid_key.pem', 'bundle.pem'],
  );
  const svid = new X509Certificate(chain);
  assert.ok(svid.subjectAltName?.split(', ').includes(`URI:${idOf(space)}`), 'it is of the pod');
  assert.ok(svid.checkPrivateKey(createPrivateKey(key)), 'key and certificate are of one set');
  assert.ok(svid.verify(new X509Certificate(bundle).publicKey), 'the bundle verifies it');
  return svid;
}

/** The JWT-SVID is of the pod and for the audience; gives it. */
async function jwtSvid(space: Space): Promise<string> {
  const [token = ''] = await read(space, 'cloud');
  const { url, caPem } = world.issuer;
  const keys = JSON.parse(await getText(`${url}/keys`, caPem)) as JSONWebKeySet; // by its interface
  const expected = { audience: CLOUD, subject: idOf(space), issuer: url };
  await jwtVerify(token, createLocalJWKSet(keys), expected);
  return token;
}

for (const [name, values] of [
  ['Broker API', BY_BROKER],
  ['Delegated Identity API', BY_DELEGATED],
] as const) {
  suite(`SVIDs of pods by the ${name}`, () => {
    before(() => install(...values));
    after(() => act('start-identity'));

    suite('what pods get', { concurrency: true }, () => {
      test('a pod logs in by its JWT-SVID, and has SVIDs as files; the JWT-SVID is kept fresh', async () => {
        await using space = await withSvids();
        await space.create(shellPod('app', settings(space, SVID_FILES), READ));
        await space.ready('app', START_MS);
        assert.equal(await space.printed('app', 'app'), 'first\n');
        await x509Svid(space);
        const first = await jwtSvid(space);
        const next = await eventually(
          'there is a new JWT-SVID',
          async () => {
            const token = await jwtSvid(space);
            return token === first ? undefined : token;
          },
          START_MS,
        );
        const { exp: end = 0 } = decodeJwt(first);
        assert.ok((decodeJwt(next).iat ?? 0) < end, 'it came before the first one ended');
        assert.equal(await space.logins(), 1);
        await space.remove('app');
        await revoked(space);
      });

      test('a pod logs in by its X.509-SVID', async () => {
        await using space = await withSvids();
        const mount = await trustCertificates(space);
        await space.create(shellPod('app', settings(space, byCertificate(mount)), READ));
        await space.ready('app', START_MS);
        assert.equal(await space.printed('app', 'app'), 'first\n');
        assert.equal(await vault.count(`auth/${mount}/login`), 1);
        assert.equal(await space.logins(), 0, 'no login by a JWT-SVID');
        await changes(space, 'app', 'second');
      });

      test('a pod that is entitled to nothing waits, its events say why, and it starts when it is', async () => {
        await using space = await withSvids({ isRegistered: false });
        const mount = await trustCertificates(space);
        await space.create(shellPod('jwt', settings(space), READ));
        await space.create(shellPod('x509', settings(space, byCertificate(mount)), READ));
        await waitsBecause(space, 'jwt', /ERR_SPIFFE_DENIED/);
        await waitsBecause(space, 'x509', /ERR_SPIFFE_DENIED|ERR_SPIFFE_NO_MATCH/);
        assert.equal((await space.logins()) + (await vault.count(`auth/${mount}/login`)), 0);
        await act('admit', space.name);
        await space.ready('jwt', START_MS);
        await space.ready('x509', START_MS);
      });

      test('a pod cannot get the SPIFFE ID of another one', async () => {
        await using owner = await withSvids();
        await using thief = await withSvids();
        await api.create(`/api/v1/namespaces/${owner.name}/serviceaccounts`, {
          metadata: { name: 'other' },
        });
        const asked = settings(owner, { 'spiffe-id': idOf(owner) });
        await thief.create(shellPod('thief', asked, READ));
        await owner.create(shellPod('thief', asked, READ, { serviceAccountName: 'other' }));
        await waitsBecause(thief, 'thief', /ERR_SPIFFE_NO_MATCH/);
        await waitsBecause(owner, 'thief', /ERR_SPIFFE_NO_MATCH/);
        assert.equal(await owner.tokens(), 0);
      });

      test('forged attributes do not make it another pod', async () => {
        await using owner = await withSvids();
        await using thief = await withSvids();
        const pod = await owner.create(shellPod('app', settings(owner), READ));
        await owner.ready('app', START_MS);
        const { inject: _, mode: __, ...attributes } = settings(owner);
        const forged = { ...attributes, ...attributesOf(pod) };
        await thief.create(handWritten('thief', forged, READ));
        await waitsBecause(thief, 'thief', /ERR_VAULT_LOGIN_REFUSED/);
        assert.equal(await owner.tokens(), 1, 'that of the pod itself');
      });

      if (values === BY_DELEGATED) {
        test("selectors come from the API server's present view of the pod", async () => {
          await using space = await Space.create();
          const trusted = `${idOf(space)}/trusted`;
          await space.grantSecret({ password: 'first' }, { bound_subject: trusted });
          const asked = settings(space, { 'spiffe-id': trusted });
          const { metadata, ...rest } = shellPod('trusted', asked, READ);
          const pod = await space.create({ ...rest, metadata: { ...metadata, labels: LABELS } });
          await space.ready('trusted', START_MS);
          const { inject: _, mode: __, ...attributes } = asked;
          const forged = { ...attributes, ...attributesOf(pod) };
          await space.create(handWritten('app', forged, READ));
          await waitsBecause(space, 'app', /ERR_SPIFFE_NO_MATCH/);
          assert.equal(await space.logins(), 1);
          await api.patch(`${space.pods}/app`, { metadata: { labels: LABELS } });
          await space.ready('app', START_MS);
        });
      }
    });

    test('a new X.509-SVID: its files are replaced, and a login by the old one is replaced', async () => {
      await using space = await withSvids();
      const mount = await trustCertificates(space);
      const asked = settings(space, { ...byCertificate(mount), 'x509-svid': 'true' });
      await space.create(shellPod('app', asked, READ));
      await space.ready('app', START_MS);
      const before = await x509Svid(space);
      assert.equal(await vault.count(`auth/${mount}/login`), 1);
      await act('rotate-identity');
      await eventually('there is a new X.509-SVID', async () => {
        const { serialNumber } = await x509Svid(space);
        return serialNumber === before.serialNumber ? undefined : true;
      });
      await eventually('it has logged in', async () =>
        (await vault.count(`auth/${mount}/login`)) === 2 ? true : undefined,
      );
      await changes(space, 'app', 'second');
    });

    test("the SPIRE agent is away for a while: a pod waits for it, another's files stay and are refreshed", async () => {
      await using space = await withSvids();
      await space.create(shellPod('app', settings(space, SVID_FILES), READ));
      await space.ready('app', START_MS);
      const before = await x509Svid(space);
      await act('stop-identity');
      await space.create(shellPod('later', settings(space), READ));
      await waitsBecause(space, 'later', /ERR_SPIFFE_UNAVAILABLE/);
      await changes(space, 'app', 'second');
      assert.equal((await x509Svid(space)).serialNumber, before.serialNumber);
      await jwtSvid(space);
      await act('start-identity');
      await space.ready('later', START_MS);
      await eventually('the next agent gives it a new X.509-SVID', async () => {
        const { serialNumber } = await x509Svid(space);
        return serialNumber === before.serialNumber ? undefined : true;
      });
      assert.equal(await space.logins(), 2, 'one of each pod');
    });
  });
}

after(() => install());

/** What the kubelet says of a pod to a driver. */
function attributesOf(pod: Pod): Record<string, string> {
  const { namespace, name, uid } = pod.metadata;
  return Object.fromEntries(
    Object.entries({
      'pod.namespace': String(namespace),
      'pod.name': name ?? '',
      'pod.uid': uid ?? '',
      'serviceAccount.name': 'default',
    }).map(([key, value]) => [`csi.storage.k8s.io/${key}`, value]),
  );
}
