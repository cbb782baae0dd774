import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { eventually } from '../../helpers/agent-process.ts';
import { CANNOT_MOUNT, CsiWorld, type TestPod } from '../../helpers/csi-world.ts';

const TEAMS =
  '{{#each (secrets "kv/teams")}}{{#with (optionalSecret (concat "kv/teams/" this))}}{{../this}}={{pw}};{{/with}}{{/each}}';

const ATTRIBUTES = {
  role: 'web',
  refresh: '1s',
  'secret-opt': 'kv/opt#pw',
  'optional-opt': 'true',
  'secret-app': 'kv/app',
  'template-teams': TEAMS,
};

async function names({ target }: TestPod): Promise<readonly string[]> {
  return (await readdir(target)).filter((name) => !name.startsWith('..')).sort();
}

test(
  'a volume is ready without an optional secret; its file comes and goes with it',
  { skip: CANNOT_MOUNT },
  async () => {
    await using world = await CsiWorld.start();
    await world.vault.write('kv/teams/a', { pw: '1' });
    await world.vault.write('kv/teams/b/c', { pw: '2' });
    const driver = await world.driver();
    const { kubelet } = driver;
    const pod = await world.pod();
    await world.publish(kubelet, pod, { attributes: ATTRIBUTES });
    assert.deepEqual(await names(pod), ['app', 'teams']);
    assert.equal(await world.file(pod, 'teams'), 'a=1;');
    for (const pw of ['one', 'two']) {
      await world.vault.write('kv/opt', { pw });
      await eventually(async () => (await names(pod)).includes('opt') || undefined, 'no file');
      assert.equal(await world.file(pod, 'opt'), pw);
      await world.vault.delete('kv/opt');
      await eventually(
        async () => !(await names(pod)).includes('opt') || undefined,
        'the file stays',
      );
    }
    assert.deepEqual(await names(pod), ['app', 'teams']);
    const { body } = await driver.get('/metrics');
    assert.doesNotMatch(body, /vouchsafe_csi_volumes\{state="degraded"\} [1-9]/);
  },
);

test(
  'a volume whose only secret is absent is empty, and published',
  { skip: CANNOT_MOUNT },
  async () => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    const attributes = { role: 'web', 'secret-opt': 'kv/opt', 'optional-opt': 'true' };
    await world.publish(kubelet, pod, { attributes });
    assert.deepEqual(await names(pod), []);
    await world.publish(kubelet, pod, { attributes });
    await world.unpublish(kubelet, pod);
    assert.deepEqual(await world.mounts(), []);
  },
);

test('a denied secret is not an absent one', { skip: CANNOT_MOUNT }, async () => {
  await using world = await CsiWorld.start();
  const { kubelet } = await world.driver();
  const pod = await world.pod();
  const attributes = { role: 'web', 'secret-opt': 'other/opt', 'optional-opt': 'true' };
  await world.rejectedWith(/ERR_VAULT_(DENIED|NOT_FOUND)/, kubelet, pod, { attributes });
});
