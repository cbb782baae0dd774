/**
 * What a Deployment with unmodified images gets, in either mode: files before its first line, changes in time, a
 * PostgreSQL user that always works, and nothing left in Vault when it is gone.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { QUERIES_IMAGE } from './parts/images.ts';
import type { List, Pod } from './parts/objects.ts';
import {
  annotations,
  api,
  eventually,
  FOREVER,
  isReady,
  shellContainer,
  Space,
  vault,
  world,
} from './parts/suite.ts';

/** A user lives as long; it must have been replaced by then. */
const USER_LIFE = { default_ttl: '15s', max_ttl: '40s' };
/** Long enough for two replacements. */
const WATCH_MS = 75_000;
const REFRESH_SECONDS = 2;

interface Seen {
  readonly asked: number;
  readonly failed: number;
  readonly reloads: number;
  readonly users: number;
  readonly last: string;
}

suite('a Deployment of unmodified images', { concurrency: true }, () => {
  for (const mode of ['native', 'pair']) {
    test(`${mode}: files before the first line, in time, and one login for a pod`, async (t) => {
      await using space = await Space.create();
      await grant(space);
      await createDeployment(space, mode);
      const pod = await onlyPod(space);
      const name = pod.metadata.name ?? '';
      assert.equal(
        await space.printed(name, 'reader'),
        'first\n',
        'it was there at the first line',
      );
      assert.equal(await space.logins(), 1, 'one login');
      assert.equal(await vault.count(space.users), 1, 'one PostgreSQL user');

      const put = performance.now();
      await space.put({ password: 'second' });
      await eventually('the file changes', async () => {
        const text = await space.exec(name, 'reader', 'cat', '/vault/secrets/password');
        return text === 'second' ? true : undefined;
      });
      const lagMs = performance.now() - put;
      t.diagnostic(`a changed secret is in the file after ${(lagMs / 1000).toFixed(1)} s`);
      assert.ok(lagMs < REFRESH_SECONDS * 1000 + 3000, `${lagMs} ms`); // a spread, and exec's time

      await delay(WATCH_MS);
      const seen = await queriesSeen(space, name);
      t.diagnostic(`${seen.asked} queries, ${seen.failed} failed, ${seen.users} users`);
      assert.equal(seen.failed, 0, seen.last);
      assert.ok(seen.asked > WATCH_MS / 200, `${seen.asked} queries`);
      assert.ok(seen.users >= 2 && seen.users <= 5, `renewed, then replaced: ${seen.users} users`);
      assert.equal(await space.logins(), 1, 'still one login');
      assert.ok((await space.tokens()) === 1 && (await space.leases()) >= 1);

      await api.remove(`/apis/apps/v1/namespaces/${space.name}/deployments/app`);
      await eventually('lease and token are revoked', async () =>
        (await space.leases()) === 0 && (await space.tokens()) === 0 ? true : undefined,
      );
    });
  }
});

async function grant(space: Space): Promise<void> {
  await space.grant(`
    path "secret/data/${space.name}/*" { capabilities = ["read"] }
    path "${space.users}" { capabilities = ["read"] }
  `);
  await space.put({ password: 'first' });
  await space.grantUsers(USER_LIFE);
}

async function createDeployment(space: Space, mode: string): Promise<void> {
  const labels = { app: 'app' };
  const { users, secret } = space;
  const settings = {
    ...space.login,
    mode,
    refresh: `${REFRESH_SECONDS}s`,
    'revoke-grace': '3s',
    'secret-password': `${secret}#password`,
    'template-login': `{{#with (secret "${users}")}}{{username}}:{{password}}@${world.database}{{/with}}`,
    'on-change-login': 'signal:HUP@queries',
  };
  const read = `cat /vault/secrets/password; echo; ${FOREVER}`;
  await api.create(`/apis/apps/v1/namespaces/${space.name}/deployments`, {
    metadata: { name: 'app' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: annotations(settings) },
        spec: {
          terminationGracePeriodSeconds: 10,
          securityContext: { runAsUser: 1000 },
          containers: [
            shellContainer('reader', read),
            {
              name: 'queries',
              image: QUERIES_IMAGE,
              imagePullPolicy: 'Never',
              args: ['/vault/secrets/login'],
            },
          ],
        },
      },
    },
  });
}

async function onlyPod(space: Space): Promise<Pod> {
  return eventually('a pod of the Deployment is ready', async () => {
    const { items } = await api.get<List<Pod>>(space.pods);
    return items.find(isReady);
  });
}

async function queriesSeen(space: Space, name: string): Promise<Seen> {
  const text = await space.exec(name, 'reader', 'wget', '-qO-', 'http://127.0.0.1:8000/');
  return JSON.parse(text) as Seen; // by cmd/queries
}
