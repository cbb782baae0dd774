/** A node that has no CSI driver for ten minutes, with pods that run, expire, end and start meanwhile. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  DRIVER,
  gone,
  isMounted,
  KUBELET_MS,
  logsIn,
  password,
  READ,
  revoked,
  sees,
  settings,
  waitsBecause,
  withSecret,
} from './parts/csi-pods.ts';
import { onEveryNode, onNoNode } from './parts/driver.ts';
import { api, eventually, FOREVER, isReady, shellPod, type Space } from './parts/suite.ts';

const ABSENCE_MS = 10 * 60_000;
/** The shortest life that the API server gives a token. */
const TOKEN_SECONDS = 600;

suite('the driver is away for ten minutes', () => {
  before(() => askForTokens(TOKEN_SECONDS));
  after(async () => {
    await askForTokens(undefined);
    await onEveryNode();
  });

  test('files stay, pods that end and start wait; everything is completed when the driver is back', async (t) => {
    await using space = await withSecret();
    await space.grantUsers({ default_ttl: '1h', max_ttl: '24h' });
    const asked = settings(space, { 'secret-login': `${space.users}#username` });
    await using expiring = await withSecret({}, { token_ttl: '2m', token_max_ttl: '2m' });
    await expiring.grantUsers({ default_ttl: '1m', max_ttl: '2m' });
    await expiring.create(shellPod('app', withUser(expiring), FOREVER));
    for (const name of ['stays', 'ends']) await space.create(shellPod(name, asked, FOREVER));
    for (const name of ['stays', 'ends']) await space.ready(name);
    await expiring.ready('app');
    assert.ok(await logsIn(await readLogin(expiring)));

    await onNoNode();
    const absent = performance.now();
    const login = await readLogin(expiring);
    const ending = await space.pod('ends');
    await api.remove(`${space.pods}/ends`);
    await space.create(shellPod('starts', asked, READ));
    await space.create(shellPod('passes', asked, READ));
    await waitsBecause(space, 'starts', new RegExp(`${DRIVER} not found`));
    await api.remove(`${space.pods}/passes`);
    await space.put({ password: 'second' });
    while (performance.now() - absent < ABSENCE_MS) {
      assert.equal(await password(space, 'stays'), 'first', 'the last good files stay');
      assert.ok(!isReady(await space.pod('starts')));
      await delay(5000);
    }
    assert.ok(isMounted(ending), 'nobody could take it away');
    assert.equal(await space.tokens(), 2, 'nobody could revoke it');
    assert.equal(await readLogin(expiring), login);
    assert.ok(!(await logsIn(login)), 'nobody could renew it');

    await onEveryNode();
    const back = performance.now();
    const seen = (what: string) => (): void =>
      t.diagnostic(`${what} after ${Math.round((performance.now() - back) / 1000)} s`);
    await Promise.all([
      sees(space, 'stays', 'second', KUBELET_MS).then(seen('fresh files')),
      space.ready('starts', KUBELET_MS).then(seen('a pod that waited is ready')),
      gone(space, 'ends').then(seen('a pod that ended is gone')),
      gone(space, 'passes').then(seen('a pod that came and went is gone')),
      worksAgain(expiring, login).then(seen('an expired login is replaced')),
    ]);
    assert.ok(!isMounted(ending));
    assert.equal(await space.printed('starts', 'app'), 'second\n');
    await eventually('the lease of the pod that ended is revoked', async () =>
      (await space.tokens()) === 2 && (await space.leases()) === 2 ? true : undefined,
    );
    assert.equal(await space.logins(), 3, 'one for each pod that had files');
    for (const name of ['stays', 'starts']) await space.remove(name);
    await revoked(space);
    await expiring.remove('app');
    await revoked(expiring);
  });
});

function withUser(space: Space): Record<string, string> {
  const login = `{{#with (secret "${space.users}")}}{{username}}:{{password}}{{/with}}`;
  return settings(space, { 'template-login': login });
}

function readLogin(space: Space): Promise<string> {
  return space.exec('app', 'app', 'cat', '/vault/secrets/login');
}

/** By then the kubelet's token has expired, too: it takes its next call. */
async function worksAgain(space: Space, before: string): Promise<void> {
  await eventually(
    'there is a login that works',
    async () => {
      const login = await readLogin(space);
      return login !== before && (await logsIn(login)) ? true : undefined;
    },
    KUBELET_MS,
  );
}

/** How long the tokens live that the kubelet gives the driver; an hour by default. */
async function askForTokens(expirationSeconds: number | undefined): Promise<void> {
  const tokenRequests = ['vault', 'other'].map((audience) => ({ audience, expirationSeconds }));
  await api.patch(`/apis/storage.k8s.io/v1/csidrivers/${DRIVER}`, { spec: { tokenRequests } });
}
