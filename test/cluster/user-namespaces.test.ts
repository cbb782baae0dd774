/**
 * Pods with a user namespace of their own (`hostUsers: false`): files have the owners and modes that they have
 * elsewhere, the agent signals the application, and a volume of the CSI driver can be read.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { before, suite, test } from 'node:test';
import {
  changes,
  password,
  revoked,
  sees,
  settings as csiSettings,
  withSecret,
} from './parts/csi-pods.ts';
import type { List, Pod } from './parts/objects.ts';
import {
  api,
  containerStatus,
  eventually,
  FOREVER,
  processesOf,
  shellPod,
  Space,
} from './parts/suite.ts';

const LOOK = 'ls -nL /vault/secrets/password; cat /vault/secrets/password; echo;';
const USER = 1000;
/** As many IDs as each pod has; the node's own users are below. */
const IDS = 65_536;

/** Counts in a file in memory how often it is notified. */
const COUNTING = [
  'n=0; echo 0 > /dev/shm/notified',
  `trap 'n=$((n+1)); echo $n > /dev/shm/notified' HUP`,
  FOREVER,
].join('; ');

interface Node {
  readonly status: {
    readonly runtimeHandlers?: readonly {
      readonly name: string;
      readonly features?: { readonly userNamespaces?: boolean };
    }[];
  };
}

/** Fails where the node cannot start such pods at all, with the reason. */
async function requireUserNamespaces(): Promise<void> {
  const { items } = await api.get<List<Node>>('/api/v1/nodes');
  const handlers = items.flatMap(({ status }) => status.runtimeHandlers ?? []);
  const isSupported = handlers.some(
    ({ name, features }) => name === '' && features?.userNamespaces === true,
  );
  const why = `the node's container runtime has no user namespaces on Linux ${release()}: they need idmapped mounts, of tmpfs since Linux 6.3`;
  assert.ok(isSupported, `${why}; it has ${JSON.stringify(handlers)}`);
}

async function withPods(): Promise<Space> {
  const space = await Space.create();
  await space.grantSecret({ password: 'first' });
  return space;
}

function settings(space: Space, mode: string, more: Record<string, string> = {}): object {
  return {
    ...space.login,
    mode,
    refresh: '2s',
    'secret-password': `${space.secret}#password`,
    ...more,
  };
}

/** A pod in a user namespace. */
function isolated(asked: object, line: string, securityContext: object = {}): Pod {
  return shellPod('app', asked as Record<string, string>, line, {
    hostUsers: false,
    securityContext,
  });
}

/** Every process of the container is a user that the node does not have. */
function assertIsolated(pod: Pod, container: string, user: number): void {
  const found = processesOf(pod, container);
  assert.ok(found.length > 0, `${container} runs`);
  for (const pid of found) {
    const [, uid = ''] = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    assert.ok(Number(uid) >= IDS, `${container} runs as ${uid} on the node`);
    assert.equal(Number(uid) % IDS, user, `user of ${container} in its namespace`);
  }
}

suite('pods with a user namespace', { concurrency: 4 }, () => {
  before(requireUserNamespaces);

  for (const mode of ['native', 'pair']) {
    test(`${mode}: with a common user the files are its own, and change`, async () => {
      await using space = await withPods();
      const asked = settings(space, mode, { 'x509-svid': 'true' });
      const line = `${LOOK} ls -nL /vault/secrets/svid_key.pem; ${FOREVER}`;
      await space.create(isolated(asked, line, { runAsUser: USER }));
      const pod = await space.ready('app');
      const [file = '', content, key = ''] = (await space.logs('app', 'app')).split('\n');
      assert.match(file, /^-r--r----- +1 1000 /);
      assert.equal(content, 'first');
      assert.match(key, /^-r-------- +1 1000 /);
      assertIsolated(pod, 'app', USER);
      assertIsolated(pod, 'vouchsafe-agent', USER);
      await changes(space, 'app', 'second');
      assert.equal(await space.logins(), 1);
      await space.remove('app');
      await revoked(space);
    });

    test(`${mode}: with an fsGroup the agent has a user of its own, and the group reads`, async () => {
      await using space = await withPods();
      const group = { fsGroup: 2345, runAsUser: USER };
      await space.create(isolated(settings(space, mode), `${LOOK} ${FOREVER}`, group));
      const pod = await space.ready('app');
      const [file = '', content] = (await space.logs('app', 'app')).split('\n');
      assert.match(file, /^-r--r----- +1 65528 +2345 /);
      assert.equal(content, 'first');
      assertIsolated(pod, 'vouchsafe-agent', 65_528);
      await changes(space, 'app', 'second');
    });

    test(`${mode}: without a user in the manifest everybody can read`, async () => {
      await using space = await withPods();
      await space.create(isolated(settings(space, mode), `${LOOK} ${FOREVER}`));
      await space.ready('app');
      const [file = '', content] = (await space.logs('app', 'app')).split('\n');
      assert.match(file, /^-r--r--r-- /);
      assert.equal(content, 'first');
    });

    test(`${mode}: a signal reaches the application`, async () => {
      await using space = await withPods();
      const asked = settings(space, mode, { 'on-change': 'signal:HUP@app' });
      await space.create(isolated(asked, COUNTING, { runAsUser: USER }));
      await space.ready('app');
      await space.put({ password: 'second' });
      await eventually('the application is notified', async () => {
        const count = await space.exec('app', 'app', 'cat', '/dev/shm/notified');
        return count.trim() === '1' ? true : undefined;
      });
      assert.equal(await password(space, 'app'), 'second');
      assert.equal(containerStatus(await space.pod('app'), 'app').restartCount, 0);
    });

    test(`${mode}: a restart ends the application, which starts with the new file`, async () => {
      await using space = await withPods();
      const asked = settings(space, mode, { 'on-change': 'restart@app' });
      await space.create(isolated(asked, `${LOOK} ${FOREVER}`, { runAsUser: USER }));
      await space.ready('app');
      await space.put({ password: 'second' });
      const pod = await space.until('app', (now) => {
        const { restartCount, ready } = containerStatus(now, 'app');
        return restartCount === 1 && ready;
      });
      assert.equal(containerStatus(pod, 'vouchsafe-agent').restartCount, 0);
      assert.equal((await space.logs('app', 'app')).split('\n')[1], 'second');
    });
  }

  test('csi: without an fsGroup everybody in the pod can read, and files change', async () => {
    await using space = await withSecret();
    await space.create(isolated(csiSettings(space), `${LOOK} ${FOREVER}`));
    const pod = await space.ready('app');
    const [file = '', content] = (await space.logs('app', 'app')).split('\n');
    assert.match(file, /^-r--r--r-- +1 0 +0 /, 'root of the pod, which is a user of it alone');
    assert.equal(content, 'first');
    assertIsolated(pod, 'app', USER);
    await changes(space, 'app', 'second');
    await space.remove('app');
    await revoked(space);
  });

  test('csi: with an fsGroup only that group can read, and files change', async () => {
    await using space = await withSecret();
    await space.create(isolated(csiSettings(space), `${LOOK} ${FOREVER}`, { fsGroup: 2345 }));
    await space.ready('app');
    const [file = '', content] = (await space.logs('app', 'app')).split('\n');
    assert.match(file, /^-r--r----- +1 0 +2345 /);
    assert.equal(content, 'first');
    await space.put({ password: 'second' });
    await sees(space, 'app', 'second', 60_000);
  });
});
