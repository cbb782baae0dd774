import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { eventually } from '../../helpers/agent-process.ts';
import {
  CANNOT_MOUNT,
  CsiWorld,
  type RunningDriver,
  type TestPod,
} from '../../helpers/csi-world.ts';
import type { Installation } from '../../../src/config/installation/index.ts';

const PERMISSION_DENIED = 7;

const OWN = { name: 'shop', namespaces: ['shop'], paths: ['kv/app'] };

function withPolicies(world: CsiWorld, ...policies: readonly object[]): Installation {
  const connections = { default: { address: world.vault.address } };
  return world.installation({ vault: { connections, policies } });
}

/** Templates that compute their paths; each requests one that the policy does not allow. */
const COMPUTED: Readonly<Record<string, string>> = {
  'a path of two parts': '{{json (secret (concat "database/creds/" "app"))}}',
  'a path from a block': '{{#with "database/creds/app"}}{{json (secret this)}}{{/with}}',
  'a path from a secret': '{{json (secret (concat "database/creds/" (secret "kv/app#user")))}}',
  'the token itself': '{{secret (concat "auth/token/lookup-self" "#id")}}',
  'the token itself, from a block':
    '{{#with "auth/token/lookup-self"}}{{json (secret this)}}{{/with}}',
  'a list': '{{#with "kv/"}}{{json (secrets this)}}{{/with}}',
  'a write': '{{#with "auth/token/create"}}{{json (secret this ttl="1h")}}{{/with}}',
};

async function logged({ logger }: RunningDriver, text: RegExp): Promise<void> {
  const isThere = (): true | undefined => (text.test(logger.text()) ? true : undefined);
  await eventually(() => Promise.resolve(isThere()), `the log has no ${String(text)}`);
}

/** A pod whose volume one driver has filled, which then ended. */
async function filledBefore(world: CsiWorld): Promise<TestPod> {
  const first = await world.driver();
  const pod = await world.pod();
  const attributes = { role: 'web', refresh: '1s', 'secret-x': 'kv/app#user' };
  await world.publish(first.kubelet, pod, { attributes });
  await first.stop();
  return pod;
}

suite('policies in the CSI driver', { skip: CANNOT_MOUNT }, () => {
  for (const [name, template] of Object.entries(COMPUTED)) {
    test(`not allowed at run time: ${name}`, async () => {
      await using world = await CsiWorld.start();
      const { kubelet } = await world.driver({}, withPolicies(world, OWN));
      const attributes = { role: 'web', 'template-x': template };
      const { code, details } = await world.rejected(kubelet, await world.pod(), { attributes });
      assert.equal(code, PERMISSION_DENIED, details);
      assert.match(details, /policy "shop" does not allow/);
      assert.equal(world.credentials, 0);
      await world.revoked();
    });
  }

  test('what the policy allows is delivered, however its path is computed', async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver({}, withPolicies(world, OWN));
    const pod = await world.pod();
    const template = '{{secret (concat "kv" "/app#user")}}';
    await world.publish(kubelet, pod, { attributes: { role: 'web', 'template-x': template } });
    assert.equal(await world.file(pod, 'x'), 'user-1');
  });

  test('present policies bind an older volume: its files stay, nothing more is read for it', async () => {
    await using world = await CsiWorld.start();
    const pod = await filledBefore(world);
    await world.change(2);
    const other = { ...OWN, paths: ['kv/other'] };
    const second = await world.driver({}, withPolicies(world, other));
    await logged(second, /policy "shop" does not allow this path/);
    assert.equal(await world.file(pod, 'x'), 'user-1');
  });

  test('a login that the policies no longer allow is not repeated', async () => {
    await using world = await CsiWorld.start();
    const pod = await filledBefore(world);
    const second = await world.driver({}, withPolicies(world, { ...OWN, roles: ['other'] }));
    await logged(second, /no policy allows the login/);
    assert.equal(await world.file(pod, 'x'), 'user-1');
    assert.equal(world.logins, 1);
  });
});
