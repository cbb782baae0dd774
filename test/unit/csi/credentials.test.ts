/** What makes Vault issue a second credential for a volume, and what does not. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { planVolume } from '../../../src/admission/index.ts';
import type { DriverOptions } from '../../../src/csi/index.ts';
import { eventually } from '../../helpers/agent-process.ts';
import { CANNOT_MOUNT, CsiWorld, SHORT_CALLS } from '../../helpers/csi-world.ts';
import { startFaultProxy } from '../../helpers/fault-proxy.ts';

const CREDENTIAL = { path: 'database/creds/app' };

/** Plans as an installation at an address would, with a timeout of a second. */
function impatient(world: CsiWorld, address = world.vault.address): Pick<DriverOptions, 'plan'> {
  const installation = world.installation({ vault: { connections: { default: { address } } } });
  return {
    plan: (input, checkTemplate) => {
      const plan = planVolume({ ...input, installation, checkTemplate });
      if (plan.kind !== 'planned') return plan;
      const vault = { ...(plan.document['vault'] as object), timeout: '1s' };
      return { ...plan, document: { ...plan.document, vault } };
    },
  };
}

suite('credentials of a CSI volume', { skip: CANNOT_MOUNT }, () => {
  test('Vault takes longer than its timeout to create a credential: the driver waits, and it is the only one', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver(impatient(world));
    const pod = await world.pod();
    world.vault.faults.add({ match: CREDENTIAL, respond: { delayMs: 1500 } });
    await world.publish(kubelet, pod);
    assert.deepEqual([world.logins, world.credentials, world.vault.leaseIds.length], [1, 1, 1]);
  });

  test('the kubelet calls again while Vault creates a credential: it is the only one', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({ ...impatient(world), waits: SHORT_CALLS });
    const pod = await world.pod();
    world.vault.faults.add({ match: CREDENTIAL, respond: { delayMs: 1500 } });
    assert.match((await world.rejected(kubelet, pod)).details, /ERR_CSI_PENDING/);
    await world.published(kubelet, pod);
    assert.deepEqual([world.logins, world.credentials, world.vault.leaseIds.length], [1, 1, 1]);
  });

  test('the response with a credential is lost: the next one belongs to the same token, and both end with the pod', async () => {
    await using world = await CsiWorld.start();
    await using proxy = await startFaultProxy(Number(new URL(world.vault.address).port));
    const driver = await world.driver(impatient(world, `http://${proxy.address}`));
    const { kubelet } = driver;
    const pod = await world.pod();
    world.vault.faults.add({ match: CREDENTIAL, times: 1, respond: { delayMs: 300 } });
    const published = world.published(kubelet, pod);
    await world.vault.waitFor(CREDENTIAL, 1, AbortSignal.timeout(20_000));
    await proxy.fault({ kind: 'cut' });
    await eventually(
      () => Promise.resolve(/ERR_VAULT_MALFORMED/.test(driver.logger.text()) || undefined),
      'no answer is lost',
    );
    await proxy.fault(undefined);
    await published;
    assert.deepEqual([world.logins, world.credentials, world.vault.leaseIds.length], [1, 2, 2]);
    assert.equal(world.vaultTokens, 1);
    await world.unpublish(kubelet, pod);
    await world.revoked();
  });

  test("the driver is killed while Vault creates a credential: its successor's belongs to the same token, which ends with the pod", async () => {
    await using world = await CsiWorld.start();
    const first = await world.process();
    const pod = await world.pod();
    world.vault.faults.add({ match: CREDENTIAL, times: 1, respond: { delayMs: 1000 } });
    const lost = world.publish(first.kubelet, pod).catch(() => undefined);
    await world.vault.waitFor(CREDENTIAL, 1, AbortSignal.timeout(20_000));
    await first.agent.kill('SIGKILL');
    await lost;
    const { kubelet } = await world.process();
    await world.published(kubelet, pod);
    assert.deepEqual([world.logins, world.credentials, world.vaultTokens], [1, 2, 1]);
    await world.unpublish(kubelet, pod);
    await world.revoked();
  });
});
