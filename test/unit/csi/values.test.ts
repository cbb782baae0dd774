import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { CALLS } from '../../../src/csi/proto/csi.ts';
import { eventually } from '../../helpers/agent-process.ts';
import {
  CANNOT_MOUNT,
  CsiWorld,
  SHORT_CALLS,
  type RunningDriver,
  type TestPod,
} from '../../helpers/csi-world.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Of it a third is for files and values, and a third of that for a namespace: 2.6 MiB. */
const SMALL_DRIVER = { waits: SHORT_CALLS, memoryLimitBytes: 24 * MIB };
const SHARE_BYTES = (8 * MIB) / 3;

/** A template for each secret that shows nothing of it. */
function asking(count: number): Readonly<Record<string, string>> {
  const templates = Array.from({ length: count }, (_, index) => [
    `template-f${index}`,
    `{{#if (secret "kv/big-${index}#x")}}there{{/if}}`,
  ]);
  return { role: 'web', ...(Object.fromEntries(templates) as Record<string, string>) };
}

/** A Vault with large secrets, and a role for a second namespace. */
async function worldOf(count: number): Promise<CsiWorld> {
  const world = await CsiWorld.start();
  for (let index = 0; index < count; index += 1) {
    await world.vault.write(`kv/big-${index}`, { x: 'x'.repeat(600 * KIB) });
  }
  await world.vault.write('auth/jwt/role/other', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    bound_subject: 'system:serviceaccount:other:web',
    token_policies: ['web'],
    token_ttl: '1h',
  });
  return world;
}

async function heldBy(driver: RunningDriver, namespace: string): Promise<number> {
  const { body } = await driver.get('/metrics');
  const line = new RegExp(`namespace_file_bytes\\{namespace="${namespace}"\\} (\\d+)`);
  return Number(line.exec(body)?.[1] ?? 0);
}

async function conditionOf({ kubelet }: RunningDriver, pod: TestPod): Promise<string> {
  const ask = { volumeId: pod.volumeId, volumePath: pod.target, stagingTargetPath: '' };
  return eventually(async () => {
    const { volumeCondition } = await kubelet.call(CALLS.nodeGetVolumeStats, ask);
    return volumeCondition?.abnormal === true ? volumeCondition.message : undefined;
  }, 'the volume is never abnormal');
}

suite('values in the memory of the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test("large secrets of one namespace are rejected beyond its share, another's small one is served, and memory is free when the volume is gone", async () => {
    await using world = await worldOf(6);
    const driver = await world.driver(SMALL_DRIVER);
    const greedy = await world.pod('greedy');
    const says = /ERR_OUTPUT_FULL.*kv\/big-\d.*does not fit.*csi\.resources/;
    await world.rejectedWith(says, driver.kubelet, greedy, { attributes: asking(6) });
    const held = await heldBy(driver, 'shop');
    assert.ok(held > 600 * KIB && held <= SHARE_BYTES, `${held} bytes`);
    const small = { role: 'other', 'template-user': '{{secret "kv/app#user"}}' };
    const victim = await world.pod('victim', { namespace: 'other' });
    await world.published(driver.kubelet, victim, { attributes: small });
    assert.equal(await world.file(victim, 'user'), 'user-1');
    await world.unpublish(driver.kubelet, greedy);
    await world.published(driver.kubelet, await world.pod('modest'), { attributes: asking(2) });
    assert.ok((await heldBy(driver, 'shop')) > 1200 * KIB, 'values count while they are held');
  });

  test('a secret that grows beyond the share: the last good files stay, and the error names the secret', async () => {
    await using world = await worldOf(1);
    const driver = await world.driver(SMALL_DRIVER);
    const pod = await world.pod();
    const attributes = {
      role: 'web',
      refresh: '1s',
      'template-user': '{{secret "kv/app#user"}}',
    };
    await world.published(driver.kubelet, pod, { attributes });
    await world.vault.write('kv/app', { user: 'x'.repeat(3 * MIB) });
    const says = /last good files stay.*ERR_OUTPUT_FULL.*kv\/app does not fit/;
    assert.match(await conditionOf(driver, pod), says);
    assert.equal(await world.file(pod, 'user'), 'user-1');
    await world.change(2);
    await world.holds(pod, 'user', 'user-2');
  });

  test('the values of one volume have a limit of their own', async () => {
    await using world = await worldOf(2);
    const driver = await world.driver({ waits: SHORT_CALLS, maxValueBytes: MIB });
    const says =
      /ERR_TEMPLATE_LIMIT.*values of one volume may take 1 MiB together, and.*kv\/big-\d/;
    const pod = await world.pod();
    await world.rejectedWith(says, driver.kubelet, pod, { attributes: asking(2) });
    await world.published(driver.kubelet, await world.pod('one'), { attributes: asking(1) });
  });

  test('a successor counts what its predecessor left in memory before its engines start', async () => {
    await using world = await worldOf(0);
    const first = await world.driver(SMALL_DRIVER);
    const pod = await world.pod();
    world.vault.faults.add({
      match: { path: 'database/creds/app' },
      times: 1,
      respond: {
        status: 200,
        body: {
          lease_id: 'database/creds/app/large',
          lease_duration: 3600,
          renewable: true,
          data: { username: 'u'.repeat(400 * KIB), password: 'none' },
        },
      },
    });
    const attributes = {
      role: 'web',
      'template-db': '{{#if (secret "database/creds/app#username")}}there{{/if}}',
    };
    await world.published(first.kubelet, pod, { attributes });
    const before = await heldBy(first, 'shop');
    assert.ok(before > 1200 * KIB, `the value, and its state twice: ${before} bytes`);
    await first.stop();
    world.vault.seal();
    const second = await world.driver(SMALL_DRIVER);
    const after = await heldBy(second, 'shop');
    assert.ok(after > 1200 * KIB && after < before + 64 * KIB, `${after} bytes, then ${before}`);
    world.vault.unseal();
    await world.unpublish(second.kubelet, pod);
    await eventually(
      async () => ((await heldBy(second, 'shop')) === 0 ? true : undefined),
      'the memory is not given back',
    );
  });
});
