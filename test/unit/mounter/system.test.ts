/** The mounter with the kernel's mounts, and as the process that a node runs. */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MounterClient, targetOf, type MountSpec } from '../../../src/mounter/index.ts';
import { systemClock, systemMounts } from '../../../src/platform/index.ts';
import { RunningAgent } from '../../helpers/agent-process.ts';
import { ATTRIBUTES, CANNOT_MOUNT, CsiWorld } from '../../helpers/csi-world.ts';
import {
  directoryWithMounts,
  mounterOf,
  mountForeign,
  mountsBelow,
  unmount,
} from '../../helpers/mounting.ts';

const skip = CANNOT_MOUNT;
const MAIN = fileURLToPath(new URL('../../../cmd/mounter/main.ts', import.meta.url));
const never = new AbortController().signal;
const PLACE = { pod: '6a2f7c0e-0f8e-4b39-9a44-6f2f4c1b1d11', volume: 'secrets' };
const SPEC: MountSpec = { ...PLACE, sizeBytes: 65_536, group: 7, selinux: null };

/** A kubelet's directory with a volume; what is mounted below it at the end is unmounted. */
function node(t: TestContext): { readonly root: string; readonly target: string } {
  const root = directoryWithMounts(t);
  const target = targetOf(join(root, 'pods'), PLACE);
  mkdirSync(dirname(target), { recursive: true });
  return { root, target };
}

test(
  'a tmpfs of the requested size, without programs and devices, and removed with its content',
  { skip },
  async (t) => {
    const { root, target } = node(t);
    const mounter = mounterOf(root);
    await mounter.mount(SPEC, never);
    try {
      const [line] = readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((one) => one.includes(target));
      assert.match(line ?? '', /nosuid,nodev,noexec.* - tmpfs csi\.vouchsafe\.test .*size=64k/);
      const { mode, gid } = statSync(target);
      assert.deepEqual([mode & 0o7777, gid], [0o2755, 7]);
      assert.throws(() => writeFileSync(join(target, 'big'), Buffer.alloc(65_537)), {
        code: 'ENOSPC',
      });
      rmSync(join(target, 'big'));
      writeFileSync(join(target, 'file'), 'text');
    } finally {
      await mounter.unmount(PLACE);
    }
    assert.deepEqual(mountsBelow(root), []);
    assert.deepEqual(readdirSync(dirname(target)), []);
  },
);

test(
  'a volume in use is unmounted all the same: the pod’s end does not wait',
  { skip },
  async (t) => {
    const { root, target } = node(t);
    const mounter = mounterOf(root);
    await mounter.mount(SPEC, never);
    writeFileSync(join(target, 'file'), 'text');
    const reader = openSync(join(target, 'file'), 'r');
    try {
      await mounter.unmount(PLACE);
      assert.deepEqual(mountsBelow(root), []);
      assert.equal(readFileSync(reader, 'utf8'), 'text');
    } finally {
      closeSync(reader);
    }
  },
);

test('a foreign mount stays', { skip }, async (t) => {
  const { root, target } = node(t);
  mkdirSync(target);
  mountForeign(target);
  try {
    const mounter = mounterOf(root);
    const refusal = { code: 'ERR_CSI_MOUNT', message: /not by this driver/ };
    await assert.rejects(mounter.mount(SPEC, never), refusal);
    await assert.rejects(mounter.unmount(PLACE), refusal);
    assert.deepEqual(mountsBelow(root), [target]);
  } finally {
    unmount(target);
  }
});

for (const swapped of ['pod', 'volume', 'target'] as const) {
  test(
    `a name that becomes a link while it is looked at leads nowhere else: ${swapped}`,
    { skip },
    async (t) => {
      const { root, target } = node(t);
      const victim = join(root, 'victim');
      const names = {
        pod: join(root, 'pods', PLACE.pod),
        volume: dirname(target),
        target,
      };
      const name = names[swapped];
      const below = target.slice(name.length);
      mkdirSync(join(victim, below), { recursive: true });
      const mounter = mounterOf(root, {
        mounts: {
          ...systemMounts,
          async mountTmpfs(mount) {
            renameSync(name, `${name}-away`);
            symlinkSync(victim, name);
            await systemMounts.mountTmpfs(mount);
          },
        },
      });
      await mounter.mount(SPEC, never);
      const mounted = mountsBelow(root);
      for (const one of mounted) unmount(one);
      assert.deepEqual(mounted, [`${name}-away${below}`]);
    },
  );
}

/** The process of a node, with a client. */
async function start(t: TestContext, root: string) {
  const socket = join(root, 'mounter.sock');
  const process_ = new RunningAgent(
    [
      ...['--socket', socket, '--pods-directory', join(root, 'pods')],
      ...['--driver-name', 'csi.vouchsafe.test', '--log-level', 'debug'],
    ],
    '',
    { command: [process.execPath, MAIN], env: { PLANTED: 'in the environment' } },
  );
  const client = new MounterClient({ socket, clock: systemClock });
  t.after(async () => {
    client.close();
    await process_.kill('SIGKILL');
    for (const target of mountsBelow(root)) unmount(target);
  });
  await process_.logged(/"listening"/);
  return { client, process: process_, socket };
}

test(
  'the process has the privilege to mount, and no other: no network, no environment, nothing to gain',
  { skip },
  async (t) => {
    const { root, target } = node(t);
    const { client, process: mounter } = await start(t, root);
    await client.mount(SPEC, never);
    assert.deepEqual(mountsBelow(root), [target]);
    const of = (name: string): string => readFileSync(`/proc/${mounter.pid}/${name}`, 'utf8');
    const status = Object.fromEntries(
      of('status')
        .split('\n')
        .map((line) => line.split(/:\s+/, 2)),
    ) as Readonly<Record<string, string>>; // each line of it has a name
    // CAP_SYS_ADMIN is the 21st.
    const mounts = (1n << 21n).toString(16).padStart(16, '0');
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) assert.equal(status[set], mounts, set);
    for (const set of ['CapInh', 'CapAmb']) assert.equal(status[set], '0'.repeat(16), set);
    assert.equal(status['NoNewPrivs'], '1');
    assert.doesNotMatch(of('environ'), /PLANTED/);
    const interfaces = of('net/dev').split('\n').slice(2);
    assert.deepEqual(
      interfaces.map((line) => line.split(':')[0]?.trim()).filter((name) => name !== ''),
      ['lo'],
    );
    await client.unmount(PLACE);
    assert.deepEqual(mountsBelow(root), []);
  },
);

test(
  'the process rejects more than a volume may have, and ends when its engine has',
  { skip },
  async (t) => {
    const { root, target } = node(t);
    const { client, process: mounter, socket } = await start(t, root);
    await assert.rejects(client.mount({ ...SPEC, sizeBytes: 2 ** 23 + 1 }, never), {
      code: 'ERR_CSI_MOUNT',
      message: /1 to 8388608 bytes \(csi\.maxVolumeSize\)/,
    });
    await client.mount(SPEC, never);
    const ended = mounter.kill('SIGTERM');
    // The engine ends as well, and may have to unmount until then.
    await client.unmount(PLACE);
    client.close();
    await ended;
    assert.deepEqual(
      [await mounter.exit(), existsSync(socket), existsSync(target)],
      [0, false, false],
    );
  },
);

for (const [what, words, says] of [
  ['a size that is none', ['--max-volume-size', 'much'], /ERR_USAGE: --max-volume-size is not/],
  ['an unknown flag', ['--mount-everything'], /ERR_USAGE/],
  ['a socket that cannot be', ['--socket', '/proc/none/mounter.sock'], /ERR_SERVER_LISTEN/],
] as const) {
  test(`it does not start with ${what}`, { skip }, async () => {
    const mounter = new RunningAgent(words, '', { command: [process.execPath, MAIN] });
    assert.notEqual(await mounter.exit(), 0);
    assert.match(mounter.output, says);
  });
}

test('an engine without any capability delivers, refreshes and removes', { skip }, async (t) => {
  await using world = await CsiWorld.start();
  const { socket } = await start(t, world.root);
  const { agent, kubelet } = await world.process({ mounterSocket: socket, isUnprivileged: true });
  const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
  assert.match(status, /^CapEff:\s+0{16}$/m);
  const pod = await world.pod();
  const attributes = { ...ATTRIBUTES, refresh: '1s' };
  await world.published(kubelet, pod, { attributes, group: '7' });
  await world.holds(pod, 'user', 'user-1:end');
  assert.equal(world.readAs(pod, 'user', { uid: 1000, gid: 7 }), 'user-1:end');
  assert.equal(world.readAs(pod, 'user', { uid: 1000, gid: 8 }), undefined);
  await world.change(2);
  await world.holds(pod, 'user', 'user-2:end');
  await world.unpublish(kubelet, pod);
  assert.deepEqual(await world.mounts(), []);
  await world.revoked();
});
