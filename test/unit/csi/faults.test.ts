import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { suite, test } from 'node:test';
import { raceAbort } from '../../../src/async/index.ts';
import { CALLS } from '../../../src/csi/proto/csi.ts';
import { GRPC_STATUS } from '../../../src/csi/grpc-status.ts';
import { VouchsafeError, type Clock } from '../../../src/core/index.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { eventually } from '../../helpers/agent-process.ts';
import {
  ATTRIBUTES,
  CANNOT_MOUNT,
  CsiWorld,
  SHORT_CALLS,
  rejectionOf,
} from '../../helpers/csi-world.ts';
import type { RejectedCall } from '../../helpers/kubelet.ts';

const LATE = 4;
const REVOKED = { path: 'auth/token/revoke-self' };

/** With a {@link PassingClock}: volumes are soon found to be abandoned. */
const SWEEPING = { ...SHORT_CALLS, sweepMs: 50, abandonedMs: 600_000 };

/** A clock that a test can move on. */
class PassingClock implements Clock {
  passedMs = 0;

  now(): number {
    return systemClock.now();
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.passedMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}

/** A clock whose sleeps take as long as the test decides. */
class HeldClock implements Clock {
  readonly #released = Promise.withResolvers<undefined>();

  now(): number {
    return systemClock.now();
  }

  monotonicMs(): number {
    return systemClock.monotonicMs();
  }

  async sleep(_ms: number, signal: AbortSignal): Promise<void> {
    await raceAbort(this.#released.promise, signal);
  }

  /** Ends every sleep, also those to come. */
  release(): void {
    this.#released.resolve(undefined);
  }
}

suite('faults around the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test('Vault sealed at publish: the pod waits with the reason; the retry goes on, with one login', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({ waits: SHORT_CALLS });
    const pod = await world.pod();
    world.vault.seal();
    for (let count = 0; count < 2; count += 1) {
      const says = /ERR_CSI_PENDING.*ERR_VAULT_SEALED/;
      assert.equal((await world.rejectedWith(says, kubelet, pod)).code, LATE);
    }
    world.vault.unseal();
    await world.published(kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.deepEqual([world.vaultTokens, world.credentials], [1, 1]);
    assert.equal((await world.mounts()).length, 1);
  });

  test('Vault sealed later: the last good files stay, and the volume is reported as abnormal', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const { kubelet } = driver;
    const pod = await world.pod();
    await world.publish(kubelet, pod, { attributes: { ...ATTRIBUTES, refresh: '1s' } });
    world.vault.seal();
    const ask = { volumeId: pod.volumeId, volumePath: pod.target, stagingTargetPath: '' };
    const condition = await eventually(async () => {
      const { volumeCondition } = await kubelet.call(CALLS.nodeGetVolumeStats, ask);
      return volumeCondition?.abnormal === true ? volumeCondition : undefined;
    }, 'the volume is never abnormal');
    assert.match(condition.message, /last good files stay.*ERR_VAULT_SEALED/);
    assert.match(
      (await driver.get('/metrics')).body,
      /vouchsafe_csi_volumes\{state="degraded"\} 1/,
    );
    await world.publish(kubelet, pod, { attributes: { ...ATTRIBUTES, refresh: '1s' } });
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    world.vault.unseal();
    await world.change(2);
    await world.holds(pod, 'user', 'user-2:end');
    assert.equal(world.logins, 1);
  });

  test('republish while a refresh is in flight: answered at once, nothing is requested twice', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const { kubelet } = driver;
    const pod = await world.pod();
    const attributes = {
      role: 'web',
      'template-user': '{{secret "kv/app#user"}}:end',
      refresh: '1s',
    };
    await world.publish(kubelet, pod, { attributes });
    const reads = world.vault.count({ path: 'kv/app' });
    world.vault.faults.add({ match: { path: 'kv/app' }, times: 1, respond: 'hang' });
    await world.vault.waitFor({ path: 'kv/app' }, reads + 1, AbortSignal.timeout(10_000));
    await world.publish(kubelet, pod, { attributes });
    const { body } = await driver.get('/metrics');
    assert.match(body, /csi_namespace_vault_requests\{namespace="shop"\} 1\n/, 'still in flight');
    assert.equal(world.vault.count({ path: 'kv/app' }), reads + 1);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
  });

  test('Vault gone when the pod ends: the pod ends at once, and the token is revoked when Vault is back', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const { kubelet } = driver;
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    world.vault.seal();
    await world.unpublish(kubelet, pod);
    assert.deepEqual(await world.mounts(), []);
    assert.match((await driver.get('/metrics')).body, /vouchsafe_csi_revocations_pending 1/);
    world.vault.unseal();
    await world.revoked();
    await world.forgotten();
    assert.match((await driver.get('/metrics')).body, /vouchsafe_csi_revocations_pending 0/);
  });

  test('a pod is deleted while it waits: unpublish does not wait, and the waiting call ends', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    world.vault.seal();
    const waiting = world.rejected(kubelet, pod);
    await eventually(
      async () => ((await world.mounts()).length === 1 ? true : undefined),
      'the start does not begin',
    );
    await world.unpublish(kubelet, pod);
    const { code, details } = await waiting;
    assert.equal(code, 10, details);
    assert.match(details, /ERR_CSI_ENDED/);
    assert.deepEqual(await world.mounts(), []);
    await world.forgotten();
    world.vault.unseal();
    await world.publish(kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
  });

  test('the kubelet goes away during a call: its next call goes on with the same start', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({ waits: SHORT_CALLS });
    const pod = await world.pod();
    world.vault.seal();
    const gone = new AbortController();
    const first = rejectionOf(world.publish(kubelet, pod, { signal: gone.signal }));
    await eventually(
      async () => ((await world.mounts()).length === 1 ? true : undefined),
      'the start does not begin',
    );
    gone.abort();
    assert.equal((await first).code, 1);
    world.vault.unseal();
    await world.published(kubelet, pod);
    assert.equal(world.vaultTokens, 1);
    assert.equal((await world.mounts()).length, 1);
  });

  test('volume full: the pod waits with the reason, and no file is incomplete', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({ waits: SHORT_CALLS });
    const pod = await world.pod();
    await world.vault.write('kv/app', { user: 'u'.repeat(100_000) });
    const attributes = {
      role: 'web',
      'volume-size': '64Ki',
      'template-user': '{{secret "kv/app#user"}}',
    };
    const says = /ERR_CSI_PENDING.*ERR_OUTPUT_FULL/;
    const { code } = await world.rejectedWith(says, kubelet, pod, { attributes });
    assert.equal(code, LATE);
    await assert.rejects(world.file(pod, 'user'), { code: 'ENOENT' });
    await world.vault.write('kv/app', { user: 'small' });
    await world.unpublish(kubelet, pod);
    await world.published(kubelet, pod, { attributes });
    assert.equal(await world.file(pod, 'user'), 'small');
  });

  test('no room in the memory of the driver: the pod waits with the reason, files of others stay; room that is free again is used', async () => {
    await using world = await CsiWorld.start();
    // For a namespace that is room for three files of 200 KiB, each twice, and two values.
    const { kubelet } = await world.driver({ waits: SHORT_CALLS, memoryLimitBytes: 16 * 2 ** 20 });
    const user = 'u'.repeat(200 * 1024);
    await world.vault.write('kv/app', { user });
    const [first, second] = [await world.pod('first'), await world.pod('second')];
    const attributes = { role: 'web', 'template-user': '{{secret "kv/app#user"}}' };
    const two = { ...attributes, 'template-again': '{{secret "kv/app#user"}}' };
    await world.published(kubelet, first, { attributes: two });
    const says = /ERR_CSI_PENDING.*ERR_OUTPUT_FULL.*csi\.resources/;
    await world.rejectedWith(says, kubelet, second, { attributes: two });
    await assert.rejects(world.file(second, 'user'), { code: 'ENOENT' });
    assert.equal(await world.file(first, 'user'), user);
    await world.unpublish(kubelet, first);
    await world.published(kubelet, second, { attributes: two });
    const third = await world.pod('third');
    await world.published(kubelet, third, { attributes });
  });

  test('one namespace fills its share of the memory: another that needs 22 bytes is served', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver({ waits: SHORT_CALLS, memoryLimitBytes: 12 * 2 ** 20 });
    const { kubelet } = driver;
    await world.vault.write('kv/app', { user: 'u'.repeat(250 * 1024) });
    const attributes = { role: 'web', 'template-user': '{{secret "kv/app#user"}}' };
    let last = '';
    for (let count = 0; count < 6 && last === ''; count += 1) {
      const pod = await world.pod(`greedy-${count}`);
      // Before the outcome is known a call only reports that it waits: later the files come, or they are rejected.
      last = await eventually(
        () =>
          world.publish(kubelet, pod, { attributes }).then(
            () => '',
            (error: unknown) => {
              const { details } = error as RejectedCall;
              return /ERR_CSI_PENDING.*ERR_OUTPUT_FULL/.test(details) ? details : undefined;
            },
          ),
        'the files neither come nor are rejected',
      );
    }
    assert.match(last, /ERR_OUTPUT_FULL.*of one namespace 1 MiB/);
    const victim = await world.pod('victim', { namespace: 'other' });
    await world.publish(kubelet, victim, {
      attributes: { 'template-user': 'only twenty-two bytes!' },
    });
    assert.equal(await world.file(victim, 'user'), 'only twenty-two bytes!');
    const { body } = await driver.get('/metrics');
    const held = Number(/namespace_file_bytes\{namespace="shop"\} (\d+)/.exec(body)?.[1]);
    assert.ok(held > 900 * 1024 && held <= (4 * 2 ** 20) / 3, `${held} bytes`);
    assert.match(body, /namespace_file_bytes\{namespace="other"\} 16384\n/);
    assert.match(body, /namespace_volumes\{namespace="other"\} 1\n/);
    await world.unpublish(kubelet, victim);
    await eventually(async () => {
      const { body: after } = await driver.get('/metrics');
      return /namespace_file_bytes\{namespace="other"\}/.test(after) ? undefined : true;
    }, 'the memory is not given back');
  });

  test('large settings count as memory of their namespace: no more than its share is stored, and a rejected volume leaves nothing', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({ waits: SHORT_CALLS, memoryLimitBytes: 12 * 2 ** 20 });
    const attributes = { 'template-user': 'x'.repeat(60 * 1024) };
    let last = '';
    let mounted = 0;
    while (!last.startsWith('ERR_OUTPUT_FULL') && mounted < 20) {
      mounted = (await world.mounts()).length;
      const pod = await world.pod(`greedy-${mounted}`);
      last = await world.publish(kubelet, pod, { attributes }).then(
        () => '',
        (error: unknown) => (error as RejectedCall).details,
      );
    }
    assert.match(last, /^ERR_OUTPUT_FULL/);
    assert.ok(mounted > 0 && mounted < 6, `${mounted} volumes`);
    assert.equal((await world.mounts()).length, mounted);
    const victim = await world.pod('victim', { namespace: 'other' });
    await world.publish(kubelet, victim, { attributes });
  });

  test('one namespace has all the volumes that it may have: another still gets its own; a slot is free when token and leases are revoked', async () => {
    await using world = await CsiWorld.start();
    // Places for 18 volumes, six for a namespace.
    const { kubelet } = await world.driver({ waits: SHORT_CALLS, memoryLimitBytes: 9 * 2 ** 20 });
    const attributes = { 'template-user': 'text' };
    const pods = await Promise.all(
      Array.from({ length: 6 }, (_, index) => world.pod(`p-${index}`)),
    );
    for (const pod of pods.slice(1)) await world.publish(kubelet, pod, { attributes });
    const [first, late, other] = [
      pods[0],
      await world.pod('late'),
      await world.pod('other', { namespace: 'other' }),
    ];
    assert.ok(first !== undefined);
    const small = { role: 'web', 'template-user': '{{secret "kv/app#user"}}' };
    await world.publish(kubelet, first, { attributes: small });
    const { code, details } = await world.rejected(kubelet, late, { attributes });
    assert.equal(code, GRPC_STATUS.RESOURCE_EXHAUSTED, details);
    assert.match(details, /ERR_CSI_BUSY.*18 volumes and namespace shop 6.*\(0\).*csi\.resources/);
    await world.publish(kubelet, other, { attributes });
    world.vault.seal();
    await world.unpublish(kubelet, first);
    assert.match((await world.rejected(kubelet, late, { attributes })).details, /\(1\)/);
    world.vault.unseal();
    await world.published(kubelet, late, { attributes });
    await world.revoked();
  });

  test('a start that can never succeed: a final error, nothing is left, the next try starts again', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    world.vault.faults.add({
      match: { path: 'auth/jwt/login' },
      times: 1,
      respond: { status: 200, body: { wrap_info: { token: 'wrapped' } } },
    });
    const { code, details } = await world.rejected(kubelet, pod);
    assert.equal(code, 9, details);
    assert.match(details, /ERR_VAULT_LOGIN_WRAPPED/);
    assert.deepEqual(await world.mounts(), []);
    await world.forgotten();
    await world.publish(kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
  });

  test('role unknown: the pod waits, and its events say what to change', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({ waits: SHORT_CALLS });
    const pod = await world.pod();
    const attributes = { ...ATTRIBUTES, role: 'nobody' };
    await world.rejectedWith(/ERR_VAULT_LOGIN_REFUSED/, kubelet, pod, { attributes });
  });

  test('mounting fails: a clear error, nothing is left', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    await world.forgetPod(pod);
    const { code, details } = await world.rejected(kubelet, pod);
    assert.equal(code, GRPC_STATUS.UNAVAILABLE, details);
    assert.match(details, /ERR_CSI_MOUNT.*ENOENT/);
    await world.forgotten();
    assert.equal(world.logins, 0);
  });

  for (const isRestarted of [false, true]) {
    const when = isRestarted ? 'while the driver is away' : 'while the driver runs';
    test(`a setting that is corrected ${when} takes effect for a pod that waits`, async () => {
      await using world = await CsiWorld.start();
      let role = 'nobody';
      const namespaces = (): Promise<Readonly<Record<string, string>>> =>
        Promise.resolve({ 'vouchsafe.dev/role': role });
      let driver = await world.driver({ waits: SHORT_CALLS, namespaces });
      const pod = await world.pod();
      const attributes = { 'secret-app': 'kv/app' };
      await world.rejectedWith(/ERR_VAULT_LOGIN_REFUSED/, driver.kubelet, pod, { attributes });
      if (isRestarted) await driver.stop();
      role = 'web';
      if (isRestarted) driver = await world.driver({ namespaces });
      await world.published(driver.kubelet, pod, { attributes });
      assert.match(await world.file(pod, 'app'), /planted/);
      assert.equal((await world.mounts()).length, 1);
    });
  }

  test('namespace defaults take effect, and an API server that fails is reported', async () => {
    await using world = await CsiWorld.start();
    let isUp = false;
    const namespaces = (): Promise<Readonly<Record<string, string>>> =>
      isUp
        ? Promise.resolve({ 'vouchsafe.dev/role': 'web', 'vouchsafe.dev/file-mode': '0400' })
        : Promise.reject(new VouchsafeError('ERR_KUBERNETES_API', 'GET /api: HTTP 500'));
    const { kubelet } = await world.driver({ namespaces });
    const pod = await world.pod();
    const attributes = { 'secret-app': 'kv/app' };
    const { code, details } = await world.rejected(kubelet, pod, { attributes });
    assert.equal(code, 14, details);
    isUp = true;
    await world.publish(kubelet, pod, { attributes });
    assert.equal(world.readAs(pod, 'app', { uid: 65_534, gid: 65_534 }), undefined);
  });

  test('an API server that hangs is not waited for', async () => {
    await using world = await CsiWorld.start();
    const namespaces = (_: string, signal: AbortSignal): Promise<never> =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    const { kubelet } = await world.driver({ waits: { lookupMs: 100 }, namespaces });
    const pod = await world.pod();
    const { code, details } = await world.rejected(kubelet, pod);
    assert.equal(code, 14, details);
    assert.match(details, /ERR_KUBERNETES_API.*annotations of namespace shop/);
    await world.unpublish(kubelet, pod);
  });

  test('an abandoned start is removed', async () => {
    await using world = await CsiWorld.start();
    const clock = new PassingClock();
    const { kubelet } = await world.driver({ clock, waits: SWEEPING });
    const [waits, runs] = [await world.pod('waits'), await world.pod('runs')];
    await world.published(kubelet, runs);
    world.vault.seal();
    await world.rejected(kubelet, waits);
    assert.equal((await world.mounts()).length, 2);
    clock.passedMs = SWEEPING.abandonedMs;
    await eventually(
      async () => ((await world.mounts()).length === 1 ? true : undefined),
      'the start stays',
    );
    assert.equal(await world.file(runs, 'user'), 'user-1:end');
    world.vault.unseal();
    await world.published(kubelet, waits);
  });

  test('an abandoned volume whose mount is gone is removed, and its token is revoked', async () => {
    await using world = await CsiWorld.start();
    const clock = new PassingClock();
    const driver = await world.driver({ clock, waits: SWEEPING });
    const [gone, stays] = [await world.pod('gone'), await world.pod('stays')];
    await world.published(driver.kubelet, gone);
    await world.published(driver.kubelet, stays);
    world.unmount(gone);
    clock.passedMs = SWEEPING.abandonedMs;
    await eventually(
      () => Promise.resolve(world.vaultTokens === 1 ? true : undefined),
      'its token stays',
    );
    await assert.rejects(stat(gone.target), { code: 'ENOENT' });
    assert.match((await driver.get('/metrics')).body, /csi_volumes\{state="ready"\} 1/);
    assert.equal(await world.file(stays, 'user'), 'user-1:end');
  });

  test('a pod is deleted during the login: the token that comes too late is revoked', async () => {
    const clock = new HeldClock();
    await using world = await CsiWorld.start({ clock });
    // An engine that waited for the login would hold up the pod until the kubelet gives up.
    const { kubelet } = await world.driver({ waits: { stopMs: 600_000 } });
    const pod = await world.pod();
    const login = { path: 'auth/jwt/login' };
    world.vault.faults.add({ match: login, times: 1, respond: { delayMs: 1 } });
    const waiting = world.rejected(kubelet, pod);
    await world.vault.waitFor(login, 1, AbortSignal.timeout(10_000));
    await world.unpublish(kubelet, pod);
    assert.equal(world.vaultTokens, 0, 'the login is not answered yet');
    await waiting;
    clock.release();
    await world.vault.waitFor(REVOKED, 1, AbortSignal.timeout(10_000));
    await world.revoked();
    await world.forgotten();
  });
});
