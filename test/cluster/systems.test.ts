/** The seed systems that need a cluster, with their own annotations where a cluster of this suite has what they ask. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decodeJwt } from 'jose';
import { IDENTITY_DIRECTORY } from './parts/identity-place.ts';
import type { Pod } from './parts/objects.ts';
import { BY_HOST_PATH } from './parts/release.ts';
import { install } from './parts/installing.ts';
import { FOREVER, shellPod, Space, vault, world } from './parts/suite.ts';

const READ = 'cat /vault/secrets/foo; echo;';

suite('seed systems', { concurrency: true }, () => {
  test('a projected service-account token with the audience vault-dev and the role k8s-dev', async () => {
    await using space = await Space.create();
    const { url, caPem } = world.accountKeys;
    await space.grantSecret({ foo: 'bar' });
    await vault.write(`auth/${space.mount}/config`, {
      jwks_url: url,
      jwks_ca_pem: caPem,
      default_role: 'k8s-dev',
    });
    await vault.write(`auth/${space.mount}/role/k8s-dev`, {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: 'vault-dev',
      bound_subject: `system:serviceaccount:${space.name}:default`,
      token_policies: space.name,
      token_ttl: '1h',
    });
    const settings = {
      inject: 'true',
      identity: 'service-account',
      audience: 'vault-dev',
      'auth-mount': space.mount,
      'secret-foo': `${space.secret}#foo`,
    };
    const more = { automountServiceAccountToken: false };
    await space.create(shellPod('writer', settings, `${READ} ${FOREVER}`, more));
    await space.ready('writer');
    assert.equal(await space.printed('writer', 'app'), 'bar\n');
    const seen = await space.exec('writer', 'app', 'sh', '-c', 'ls /var/run/secrets 2>&1 || true');
    assert.match(seen, /No such file/, 'the application itself has no token');
  });

  test('Azure federation: a JWT-SVID in a file, and the variables that an SDK reads', async () => {
    await using space = await Space.create();
    await space.grantSecret({ foo: 'bar' });
    const settings = {
      ...space.login,
      'secret-foo': `${space.secret}#foo`,
      'jwt-svid-azure': 'api://AzureADTokenExchange',
      'file-azure': 'azure-identity-token',
      'azure-client-id': '00000000-0000-0000-0000-000000000001',
      'azure-tenant-id': '00000000-0000-0000-0000-000000000002',
    };
    const line = `env | grep ^AZURE_ | sort; cat "$AZURE_FEDERATED_TOKEN_FILE"; echo; ${FOREVER}`;
    await space.create(shellPod('client', settings, line));
    await space.ready('client');
    const lines = (await space.printed('client', 'app', 5)).trim().split('\n');
    assert.ok(lines.includes('AZURE_CLIENT_ID=00000000-0000-0000-0000-000000000001'));
    assert.ok(lines.includes('AZURE_TENANT_ID=00000000-0000-0000-0000-000000000002'));
    assert.ok(lines.includes('AZURE_FEDERATED_TOKEN_FILE=/vault/secrets/azure-identity-token'));
    assert.ok(lines.some((each) => each.startsWith('AZURE_AUTHORITY_HOST=https://')));
    const { sub, aud } = decodeJwt(lines.at(-1) ?? '');
    assert.equal(sub, `spiffe://example.org/ns/${space.name}/sa/default`);
    assert.deepEqual([aud].flat(), ['api://AzureADTokenExchange']);
  });

  test('a socket by csi.spiffe.io', async () => {
    const pod = await svidPod();
    const csi = volumes(pod).find(({ name }) => name === 'vouchsafe-spiffe')?.csi;
    assert.deepEqual(csi, { driver: 'csi.spiffe.io', readOnly: true });
  });
});

test('a socket by host path', async () => {
  await install(...BY_HOST_PATH);
  try {
    const pod = await svidPod();
    const found = volumes(pod).find(({ name }) => name === 'vouchsafe-spiffe');
    assert.equal(found?.hostPath?.path, IDENTITY_DIRECTORY);
  } finally {
    await install();
  }
});

interface Volume {
  readonly name: string;
  readonly csi?: object;
  readonly hostPath?: { readonly path: string };
}

function volumes(pod: Pod): readonly Volume[] {
  return pod.spec['volumes'] as readonly Volume[]; // of the kinds that are looked for
}

/** A pod that wants nothing but its X.509-SVID, and gets it without any login. */
async function svidPod(): Promise<Pod> {
  await using space = await Space.create();
  await space.create(shellPod('app', { inject: 'true', 'x509-svid': 'true' }, FOREVER));
  const pod = await space.ready('app');
  const files = await space.exec('app', 'app', 'ls', '/vault/secrets');
  assert.deepEqual(files.trim().split('\n'), ['bundle.pem', 'svid.pem', 'svid_key.pem']);
  assert.equal(await space.logins(), 0);
  return pod;
}
