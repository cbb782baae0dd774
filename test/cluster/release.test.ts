/** The release by real Helm: its own test, an upgrade and a removal, with pods that start and run meanwhile. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import type { Pod } from './parts/objects.ts';
import { RELEASE } from './parts/release.ts';
import { admits, admitsDuring } from './parts/asking.ts';
import { install } from './parts/installing.ts';
import { api, eventually, FOREVER, helm, shellPod, Space } from './parts/suite.ts';

const FLAGS = [`--namespace=${RELEASE}`, '--wait', '--timeout=2m'];

suite('the release', () => {
  after(() => install());

  test('helm test passes', async () => {
    const { status } = await api.get<{ status: { readyReplicas: number } }>(
      `/apis/apps/v1/namespaces/${RELEASE}/deployments/${RELEASE}-webhook`,
    );
    assert.equal(status.readyReplicas, 2);
    const printed = await helm('test', RELEASE, `--namespace=${RELEASE}`, '--timeout=1m');
    assert.match(printed, /Phase: +Succeeded/);
  });

  test('an upgrade replaces every replica, and no admission fails', async (t) => {
    await using space = await Space.create();
    const count = await admitsDuring(space, () => install('--set=logLevel=debug'));
    t.diagnostic(`${count} admissions meanwhile`);
    assert.ok(count > 0);
  });

  test('after a removal running pods go on, and new ones start', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'first' });
    const settings = {
      ...space.login,
      refresh: '2s',
      'secret-password': `${space.secret}#password`,
    };
    await space.create(shellPod('running', settings, FOREVER));
    await space.ready('running');
    await helm('uninstall', RELEASE, ...FLAGS);
    await space.put({ password: 'second' });
    await eventually('the file is still refreshed', async () => {
      const text = await space.exec('running', 'app', 'cat', '/vault/secrets/password');
      return text === 'second' ? true : undefined;
    });
    await space.create(shellPod('plain', {}, FOREVER));
    await eventually('the API server knows that the policy is gone', () =>
      space.create(shellPod('asks', settings, FOREVER)),
    );
    await space.ready('plain');
    const pod: Pod = await space.ready('asks');
    assert.equal(pod.spec.initContainers, undefined, 'it starts as it is');
    await install();
    await admits(space);
  });
});
