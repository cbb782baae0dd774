/** `vouchsafe check` on the real API server: the proof by a dry run, the probe, pods without the agent, no rights. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { parse } from 'yaml';
import { tempDirectory } from '../helpers/temp-directory.ts';
import { check, type Checked } from './parts/checking.ts';
import type { List, Pod } from './parts/objects.ts';
import { api, FOREVER, kubectl, shellPod, Space, world } from './parts/suite.ts';

function probe(space: Space, settings: Readonly<Record<string, string>>): Promise<Checked> {
  const { inject: _, ...login } = space.login;
  const all = Object.entries({ ...login, ...settings });
  const words = all.flatMap(([name, value]) => ['--setting', `${name}=${value}`]);
  return check(['-n', space.name, '--probe', `${space.name}/default`, ...words]);
}

async function pods(space: Space): Promise<readonly Pod[]> {
  const { items } = await api.get<List<Pod>>(space.pods);
  return items.filter(({ metadata }) => !('deletionTimestamp' in metadata));
}

suite('vouchsafe check', () => {
  test('an installation that is well, and a probe that logs in once and is gone', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'planted' });
    const { code, findings, the } = await probe(space, {});
    assert.deepEqual(
      findings.filter(({ status }) => status === 'failure'),
      [],
    );
    assert.equal(code, 0);
    assert.match(the('admits')?.message ?? '', /the webhook is reachable and trusted$/);
    assert.equal(the('probe')?.status, 'ok');
    assert.equal(await space.logins(), 1);
    assert.deepEqual(await pods(space), []);
  });

  test("a role that does not exist: the probe reports the agent's reason", async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'planted' });
    const { code, the } = await probe(space, { role: 'nobody', 'init-deadline': '3s' });
    assert.equal(code, 22);
    assert.match(the('probe')?.message ?? '', /failed: ERR_(VAULT_LOGIN_REFUSED|AGENT_DEADLINE)/);
    assert.deepEqual(await pods(space), []);
  });

  test('a pod that was annotated when it ran already', async () => {
    await using space = await Space.create();
    await space.create(shellPod('late', {}, FOREVER));
    await space.ready('late');
    const asks = ['vouchsafe.dev/inject=true', 'vouchsafe.dev/x509-svid=true'];
    await kubectl('annotate', 'pod', 'late', '--namespace', space.name, ...asks);
    const { code, the } = await check(['-n', space.name]);
    assert.equal(code, 22);
    assert.match(
      the('injected')?.message ?? '',
      new RegExp(
        `^${space.name}: Pod/late: requests the agent but runs without it: .*annotated later`,
      ),
    );
  });

  test('a person without permissions sees what is missing, and no failure', async (t) => {
    await using space = await Space.create();
    const token = await kubectl('create', 'token', 'default', '--namespace', space.name);
    const { clusters } = parse(readFileSync(world.kubeconfig, 'utf8')) as {
      clusters: readonly [{ name: string }];
    }; // as the cluster writes it
    const file = join(tempDirectory(t), 'kubeconfig');
    const document = {
      clusters,
      users: [{ name: 'nobody', user: { token: token.trim() } }],
      contexts: [{ name: 'here', context: { cluster: clusters[0].name, user: 'nobody' } }],
      'current-context': 'here',
    };
    writeFileSync(file, JSON.stringify(document), { mode: 0o600 });
    const { code, findings } = await check(['-n', space.name], file);
    const [version, ...rest] = findings;
    assert.equal(version?.status, 'ok');
    for (const { status, message } of rest) {
      assert.equal(status, 'unknown');
      assert.match(message, /^could not be checked: requires the right to (get|list|create) /);
    }
    assert.equal(code, 0);
  });
});
