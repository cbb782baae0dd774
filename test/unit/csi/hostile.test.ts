import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  ATTRIBUTES,
  CANNOT_MOUNT,
  CsiWorld,
  DRIVER,
  type DriverProcess,
} from '../../helpers/csi-world.ts';
import type { TestPod } from '../../helpers/csi-world.ts';
import { until } from '../../helpers/until.ts';

/** A text that grows fourfold, again and again. */
function grown(times: number, inner: string): string {
  const open = '{{#with (concat this this this this)}}'.repeat(times);
  return `${open}${inner}${'{{/with}}'.repeat(times)}`;
}

/** 1.4 kB: a needle of 256 KiB is looked for in 16 MiB, for which V8 takes hours. */
const LONG_SEARCH = `{{#with "a"}}${grown(9, `{{#with (concat "ab" this) as |pat|}}{{#with "a"}}${grown(12, '{{#if (contains this pat)}}x{{/if}}')}{{/with}}{{/with}}`)}{{/with}}`;

/** 800 bytes: sixteen million items. */
const MANY_ITEMS = `{{#with "a"}}${grown(12, '{{#each (split this "a")}}{{/each}}')}{{/with}}`;

/** What stands in the way of each: nothing within the process may, so that the pool itself is seen at work. */
const ATTACKS = {
  'a search that never ends: it is reported, and the others notice nothing': LONG_SEARCH,
  'items beyond all memory: it is reported, and the others notice nothing': MANY_ITEMS,
};

async function attack(
  world: CsiWorld,
  { kubelet }: DriverProcess,
  template: string,
): Promise<{ readonly pod: TestPod; readonly refused: Promise<unknown> }> {
  const pod = await world.pod('attacker', { namespace: 'evil', serviceAccount: 'nobody' });
  const attributes = { role: 'nobody', 'template-x': template };
  const refused = world.rejectedWith(/ERR_TEMPLATE_LIMIT/, kubelet, pod, { attributes });
  return { pod, refused };
}

describe('a hostile pod beside others of its node', { skip: CANNOT_MOUNT }, () => {
  for (const [name, template] of Object.entries(ATTACKS)) {
    test(name, async () => {
      assert.ok(template.length < 1500, 'it is small');
      await using world = await CsiWorld.start();
      const driver = await world.process();
      const first = await world.pod('first');
      await world.published(driver.kubelet, first);
      const attacks = await Promise.all([1, 2].map(() => attack(world, driver, template)));
      // Turns are had by others while the hostile one has its own.
      let others = 0;
      const rejections = Promise.all(attacks.map(({ refused }) => refused));
      while (others < 3) {
        const pod = await world.pod(`other-${others}`);
        await world.published(driver.kubelet, pod);
        assert.match(await world.file(pod, 'user'), /:end$/);
        await world.unpublish(driver.kubelet, pod);
        others += 1;
      }
      await rejections;
      await world.unpublish(driver.kubelet, first);
      for (const { pod } of attacks) await world.unpublish(driver.kubelet, pod);
      assert.ok(isAlive(String(driver.agent.pid)), 'the driver lives');
    });
  }

  test("a job that outlasts csi.rendering.timeout is killed, and the pod's events name that value", async () => {
    await using world = await CsiWorld.start();
    const values = { csi: { enabled: true, driverName: DRIVER, rendering: { timeout: '100ms' } } };
    const driver = await world.process({ values });
    const list = `{{#with (split "${'a,'.repeat(100)}" ",") as |all|}}`;
    const loops = '{{#each all}}'.repeat(3) + '{{/each}}'.repeat(3);
    const pod = await world.pod('attacker', { namespace: 'evil' });
    const attributes = { role: 'web', 'template-x': `${list}${loops}{{/with}}` };
    const says = /ERR_TEMPLATE_LIMIT.*csi\.rendering\.timeout/;
    await world.rejectedWith(says, driver.kubelet, pod, { attributes });
    const other = await world.pod();
    await world.published(driver.kubelet, other);
  });

  test('a response of Vault that takes all memory to read fails only its volume', async () => {
    await using world = await CsiWorld.start();
    const { vault } = world;
    // 3 MiB of nothing but objects; each takes some 56 bytes, and its place in the list.
    await vault.write('kv/wide', { list: Array.from({ length: 1_000_000 }, () => ({})) });
    await vault.write('kv/large', { text: 'x'.repeat(300_000), list: [1, 'two', { three: 3 }] });
    const rendering = { memory: '32Mi', timeout: '30s' };
    const csi = { enabled: true, driverName: DRIVER, rendering };
    const driver = await world.process({ values: { csi } });
    const pod = await world.pod('wide');
    const attributes = { role: 'web', 'secret-wide': 'kv/wide' };
    const [refusal] = await Promise.all([
      world.rejectedWith(/ERR_TEMPLATE_LIMIT.*(csi\.rendering\.memory)/, driver.kubelet, pod, {
        attributes,
      }),
      (async () => {
        const large = await world.pod('large');
        await world.published(driver.kubelet, large, {
          attributes: {
            role: 'web',
            'template-x': '{{secret "kv/large#text"}}{{length (secret "kv/large#list")}}',
          },
        });
        assert.equal(await world.file(large, 'x'), `${'x'.repeat(300_000)}3`);
      })(),
    ]);
    assert.match(
      refusal.details,
      /reading the response of Vault for kv\/wide needed more than 32 MiB/,
    );
    const other = await world.pod('other');
    await world.published(driver.kubelet, other, { attributes: ATTRIBUTES });
    assert.ok(isAlive(String(driver.agent.pid)), 'the driver lives');
  });

  test('render processes end with a driver that is killed, busy or not', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.process();
    const { refused } = await attack(world, driver, LONG_SEARCH);
    refused.catch(() => undefined);
    await until(() => readdirSync(world.state).some((one) => isRendering(world, one)));
    const renderers = renderersOf(driver.agent.pid);
    assert.ok(renderers.length >= 2);
    await driver.agent.kill('SIGKILL');
    await until(() => !renderers.some(isAlive));
  });

  test('a driver that is killed while it renders leaves a note: the next one starts that volume last, and its pod may end', async () => {
    await using world = await CsiWorld.start();
    const rendering = { timeout: '10m' };
    const csi = { enabled: true, driverName: DRIVER, minRefresh: '1s', rendering };
    const first = await world.process({ values: { csi } });
    const [other, pod] = [await world.pod('other'), await world.pod('struck')];
    await world.published(first.kubelet, other);
    const attributes = { ...ATTRIBUTES, refresh: '1s' };
    await world.published(first.kubelet, pod, { attributes });
    holdRenderers(first);
    await world.change(2);
    await until(() => notesIn(world).some(({ strikes }) => strikes === '1'));
    await first.agent.kill('SIGKILL');
    assert.deepEqual(notesIn(world), [{ volumeId: pod.volumeId, strikes: '1' }]);
    const second = await world.process({ values: { csi } });
    await second.agent.logged(/1 times in a row while it rendered this volume/);
    await world.holds(other, 'user', 'user-2:end');
    holdRenderers(second);
    await until(() => notesIn(world).some(({ strikes }) => strikes === '2'));
    assert.equal(await world.file(pod, 'user'), 'user-1:end', 'the other one was first');
    await second.agent.kill('SIGKILL');
    const third = await world.process({ values: { csi } });
    await third.agent.logged(/2 times in a row while it rendered this volume/);
    await world.unpublish(third.kubelet, pod);
    await world.unpublish(third.kubelet, other);
    await world.revoked();
    await world.forgotten();
  });

  test('a volume that was rendered when the driver died starts after the others, and can be unpublished meanwhile', async () => {
    await using world = await CsiWorld.start();
    const first = await world.process();
    const [struck, other] = [await world.pod('struck'), await world.pod('other')];
    await world.published(first.kubelet, struck);
    await world.published(first.kubelet, other);
    await first.agent.kill('SIGKILL');
    for (const name of readdirSync(world.state)) {
      const path = join(world.state, name);
      const isStruck = readFileSync(join(path, 'volume.json'), 'utf8').includes(struck.volumeId);
      if (isStruck) writeFileSync(join(path, 'rendering'), '3');
    }
    await world.change(2);
    const second = await world.process();
    await world.holds(other, 'user', 'user-2:end');
    assert.equal(await world.file(struck, 'user'), 'user-1:end', 'it waits for 20 s');
    await second.agent.logged(/3 times in a row while it rendered this volume/);
    await world.unpublish(second.kubelet, struck);
    await world.unpublish(second.kubelet, other);
    await world.revoked();
    await world.forgotten();
  });
});

/** What a driver notes of volumes that are being rendered. */
function notesIn({ state }: CsiWorld): readonly { volumeId: string; strikes: string }[] {
  return readdirSync(state).flatMap((name) => {
    const note = join(state, name, 'rendering');
    if (!existsSync(note)) return [];
    const { spec } = JSON.parse(readFileSync(join(state, name, 'volume.json'), 'utf8')) as {
      spec: { volumeId: string };
    }; // as the driver writes it
    return [{ volumeId: spec.volumeId, strikes: readFileSync(note, 'utf8') }];
  });
}

const held = new Set<string>();

/** What they work on from now on takes for ever; a driver that is killed takes them along, once they have locked themselves up. */
function holdRenderers({ agent }: DriverProcess): void {
  for (const pid of renderersOf(agent.pid)) {
    process.kill(Number(pid), 'SIGSTOP');
    held.add(pid);
  }
}

after(() => {
  for (const pid of held)
    if (/^State:\tT/m.test(statusOf(pid))) process.kill(Number(pid), 'SIGKILL');
});

function isRendering(world: CsiWorld, directory: string): boolean {
  return existsSync(join(world.state, directory, 'rendering'));
}

/** Processes that render for a driver. */
function renderersOf(driver: number): readonly string[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return all.filter((pid) => new RegExp(`^PPid:\t${driver}$`, 'm').test(statusOf(pid)));
}

function isAlive(pid: string): boolean {
  return /^State:\t[^ZX]/m.test(statusOf(pid));
}

/** What the kernel reports of a process; empty if it has ended. */
function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
