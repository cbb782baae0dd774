import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { suite, test } from 'node:test';
import { systemMounts } from '../../../src/platform/index.ts';
import { eventually } from '../../helpers/agent-process.ts';
import {
  ATTRIBUTES,
  CANNOT_MOUNT,
  CsiWorld,
  SHORT_CALLS,
  type RunningDriver,
} from '../../helpers/csi-world.ts';

const LOGIN = { path: 'auth/jwt/login' };
const REVOKE = { path: 'auth/token/revoke-self' };
const READ = { role: 'web', 'template-user': '{{secret "kv/app#user"}}' };

/** Short calls, and little time for revocations when the driver ends. */
const SHORT_END = { ...SHORT_CALLS, finishMs: 300 };

/** A role for pods of another namespace. */
async function trustOther(world: CsiWorld): Promise<void> {
  await world.vault.write('auth/jwt/role/other', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    bound_subject: 'system:serviceaccount:other:web',
    token_policies: ['web'],
    token_ttl: '1h',
  });
}

/** Waits until a metric has a value; undefined waits until it is gone. */
async function metric(driver: RunningDriver, name: string, value?: number): Promise<void> {
  let last = '';
  await eventually(
    async () => {
      last = (await driver.get('/metrics')).body;
      const line = last.split('\n').find((one) => one.startsWith(`${name} `));
      const found = line === undefined ? undefined : Number(line.split(' ').at(-1));
      return found === value ? true : undefined;
    },
    () => `${name} is never ${value}: ${last}`,
  );
}

suite('shares of namespaces in the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test('a mass start of one namespace at a login that hangs does not delay another namespace', async () => {
    await using world = await CsiWorld.start();
    await trustOther(world);
    const driver = await world.driver({ waits: SHORT_END });
    const { kubelet } = driver;
    world.vault.faults.add({ match: LOGIN, times: 16, respond: 'hang' });
    const stop = new AbortController();
    const { signal } = stop;
    const crowd = await Promise.all(
      Array.from({ length: 20 }, (_, index) => world.pod(`web-${index}`)),
    );
    const starts = crowd.map((pod) =>
      world.publish(kubelet, pod, { attributes: READ, signal }).catch(() => undefined),
    );
    await metric(driver, 'vouchsafe_csi_namespace_volumes{namespace="shop"}', 20);
    await world.vault.waitFor(LOGIN, 16, AbortSignal.timeout(20_000));
    const victim = await world.pod('victim', { namespace: 'other' });
    await world.published(kubelet, victim, { attributes: { ...READ, role: 'other' } });
    assert.equal(await world.file(victim, 'user'), 'user-1');
    assert.equal(world.logins, 17, 'of the crowd no more than its share');
    await metric(driver, 'vouchsafe_csi_namespace_logins{namespace="shop"}', 16);
    stop.abort();
    await Promise.all(starts);
  });

  test('revocations of one namespace that hang do not delay those of another', async () => {
    await using world = await CsiWorld.start();
    await trustOther(world);
    const driver = await world.driver({ waits: { ...SHORT_END, revokeMs: 600_000 } });
    const { kubelet } = driver;
    const crowd = await Promise.all(
      Array.from({ length: 10 }, (_, index) => world.pod(`web-${index}`)),
    );
    await Promise.all(crowd.map((pod) => world.published(kubelet, pod, { attributes: READ })));
    const victim = await world.pod('victim', { namespace: 'other' });
    await world.published(kubelet, victim, { attributes: { ...READ, role: 'other' } });
    world.vault.faults.add({ match: REVOKE, times: 3, respond: 'hang' });
    for (const pod of crowd) await world.unpublish(kubelet, pod);
    await world.vault.waitFor(REVOKE, 3, AbortSignal.timeout(20_000));
    await world.unpublish(kubelet, victim);
    await metric(driver, 'vouchsafe_csi_namespace_volumes{namespace="other"}');
    await metric(driver, 'vouchsafe_csi_namespace_revocations_pending{namespace="shop"}', 10);
    assert.equal(world.vault.count(REVOKE), 4);
    assert.equal(world.vaultTokens, 10);
  });

  test('revocations that are pending when the driver ends get the time that is left', async () => {
    await using world = await CsiWorld.start();
    // A wait between two tries is cut short, however long it is.
    const revokeRetry = { minMs: 600_000, maxMs: 600_000 };
    const driver = await world.driver({ waits: { ...SHORT_CALLS, revokeRetry } });
    const pods = [await world.pod('one'), await world.pod('two')];
    for (const pod of pods) await world.published(driver.kubelet, pod, { attributes: READ });
    world.vault.seal();
    for (const pod of pods) await world.unpublish(driver.kubelet, pod);
    await metric(driver, 'vouchsafe_csi_revocations_pending', 2);
    const stopped = driver.stop();
    world.vault.unseal();
    await stopped;
    assert.equal(world.vaultTokens, 0);
    assert.deepEqual(await readdir(world.state), []);
    assert.doesNotMatch(driver.logger.text(), /left to the next driver/);
  });

  test('revocations that fail before the driver ends are logged, and the next driver completes them', async () => {
    await using world = await CsiWorld.start();
    const first = await world.driver({ waits: SHORT_END });
    const pod = await world.pod();
    await world.published(first.kubelet, pod, { attributes: READ });
    world.vault.seal();
    await world.unpublish(first.kubelet, pod);
    await first.stop();
    assert.match(first.logger.text(), /revocations are left to the next driver/);
    assert.equal((await readdir(world.state)).length, 1);
    world.vault.unseal();
    await world.driver();
    await world.revoked();
    await world.forgotten();
  });

  for (const then of ['published again', 'unpublished, and published again']) {
    test(`an engine that does not end has no second one beside it: ${then}`, async () => {
      await using world = await CsiWorld.start();
      const hang = Promise.withResolvers<undefined>();
      let state: 'before' | 'armed' | 'hanging' = 'before';
      const mounts: typeof systemMounts = {
        ...systemMounts,
        async list() {
          if (state === 'armed') {
            state = 'hanging';
            await hang.promise;
          }
          return systemMounts.list();
        },
      };
      const { kubelet } = await world.driver({ waits: { ...SHORT_END, stopMs: 200 }, mounts });
      const pod = await world.pod();
      const attributes = { ...ATTRIBUTES, refresh: '1s' };
      await world.published(kubelet, pod, { attributes });
      world.unmount(pod);
      state = 'armed'; // the engine's next write looks whether the volume is mounted
      await world.change(2);
      await eventually(
        () => Promise.resolve(state === 'hanging' ? true : undefined),
        'the engine does not write',
      );
      const isUnpublished = then.startsWith('unpublished');
      if (isUnpublished) await world.unpublish(kubelet, pod);
      for (let count = 0; count < 2; count += 1) {
        const { details } = await world.rejected(kubelet, pod, { attributes });
        assert.match(details, /ERR_CSI_BUSY.*has not ended yet/);
      }
      assert.deepEqual(await world.mounts(), []);
      assert.equal(world.vault.count(REVOKE), 0);
      hang.resolve(undefined);
      await world.published(kubelet, pod, { attributes });
      assert.equal(await world.file(pod, 'user'), 'user-2:end');
      assert.equal(world.logins, isUnpublished ? 2 : 1);
      await eventually(
        () => Promise.resolve(world.vaultTokens === 1 ? true : undefined),
        'the token of before stays',
      );
    });
  }

  test('files of a predecessor count before their engine has written anything', async () => {
    await using world = await CsiWorld.start();
    await world.vault.write('kv/app', { user: 'u'.repeat(200 * 1024) });
    const first = await world.driver();
    const pod = await world.pod();
    await world.published(first.kubelet, pod, { attributes: READ });
    await first.stop();
    world.vault.seal();
    const second = await world.driver({ waits: SHORT_END });
    const { body } = await second.get('/metrics');
    const held = /namespace_file_bytes\{namespace="shop"\} (\d+)/.exec(body)?.[1];
    assert.ok(Number(held) >= 400 * 1024, `${held} bytes`);
    await metric(second, 'vouchsafe_csi_namespace_volumes{namespace="shop"}', 1);
  });

  test('the memory limit of the driver is in its log; an unknown one is assumed', async () => {
    await using world = await CsiWorld.start();
    const known = await world.driver();
    assert.match(known.logger.text(), /limit_bytes: 536870912,\s+files_bytes: 178956970,/);
    await known.stop();
    const unknown = await world.driver({ memoryLimitBytes: undefined });
    assert.match(unknown.logger.text(), /memory limit is not known[^}]*limit_bytes: 268435456/);
  });

  test('the driver takes its memory limit from its flag', async () => {
    await using world = await CsiWorld.start();
    const { agent } = await world.process({ words: ['--memory-limit=104857600'] });
    assert.match(agent.output, /"limit_bytes":104857600/);
  });
});
