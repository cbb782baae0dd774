/** The mounter with mounts in memory: what it requests, what it rejects. Real mounts are in system.test.ts. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { recordingLogger } from '../../helpers/recorder.ts';
import type { SystemMounts } from '../../../src/contracts/index.ts';
import type { MountSpec } from '../../../src/mounter/index.ts';
import { mounterOf } from '../../helpers/mounting.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const SOURCE = 'csi.vouchsafe.test';
const never = new AbortController().signal;
const PLACE = { pod: '6a2f7c0e-0f8e-4b39-9a44-6f2f4c1b1d11', volume: 'secrets' };
const SPEC: MountSpec = { ...PLACE, sizeBytes: 65_536, group: null, selinux: null };

/** Mounts in memory, the topmost of a place last. */
class MemoryMounts implements SystemMounts {
  readonly all: { id: number; target: string; type: string; source: string }[] = [];
  readonly options: (readonly string[])[] = [];
  /** Message of `mount` when it fails. */
  refuses: (options: readonly string[]) => string | undefined = () => undefined;
  /** What a mount waits for. */
  gate: Promise<unknown> = Promise.resolve();
  #lastId = 100;

  mountOf(descriptor: number): ReturnType<SystemMounts['mountOf']> {
    const path = pathOf(descriptor);
    const below = { id: 1, type: 'ext4', source: '/dev/vda' };
    return Promise.resolve(this.all.findLast(({ target }) => target === path) ?? below);
  }

  async mountTmpfs(mount: Parameters<SystemMounts['mountTmpfs']>[0]): Promise<void> {
    await this.gate;
    const words = this.refuses(mount.options);
    if (words !== undefined) throw Object.assign(new Error(words), { name: 'MountError' });
    this.options.push(mount.options);
    this.add(pathOf(mount.descriptor), mount.source);
  }

  unmount(descriptor: number): Promise<void> {
    const path = pathOf(descriptor);
    this.all.splice(
      this.all.findLastIndex(({ target }) => target === path),
      1,
    );
    return Promise.resolve();
  }

  add(target: string, source: string): void {
    this.all.push({ id: (this.#lastId += 1), target, type: 'tmpfs', source });
  }
}

function pathOf(descriptor: number): string {
  return readlinkSync(`/proc/self/fd/${descriptor}`);
}

/** A kubelet's directory in which a volume may be mounted. */
function node(t: TestContext) {
  const root = tempDirectory(t);
  const volume = (place = PLACE): string =>
    join(root, 'pods', place.pod, 'volumes/kubernetes.io~csi', place.volume);
  mkdirSync(volume(), { recursive: true });
  const mounts = new MemoryMounts();
  const logger = recordingLogger();
  const mounter = mounterOf(root, { mounts, logger });
  return { root, volume, mounts, mounter, logger, target: join(volume(), 'mount') };
}

test('the options are fixed: neither programs nor devices, of the requested size, out of swap', async (t) => {
  const { mounter, mounts, target } = node(t);
  await mounter.mount({ ...SPEC, group: 7 }, never);
  assert.deepEqual(mounts.options, [
    [
      ...['rw', 'nosuid', 'nodev', 'noexec', 'size=65536', 'nr_inodes=4096'],
      ...['mode=2755', 'gid=7', 'noswap'],
    ],
  ]);
  assert.deepEqual(
    mounts.all.map((one) => [one.target, one.source]),
    [[target, SOURCE]],
  );
});

test('the SELinux context is passed through as the kubelet sends it', async (t) => {
  const { mounter, mounts } = node(t);
  const selinux = 'context="system_u:object_r:container_file_t:s0:c1,c2"';
  await mounter.mount({ ...SPEC, selinux }, never);
  assert.equal(mounts.options[0]?.filter((one) => one === selinux).length, 1);
});

const NAMES = [
  ...['', '.', '..', '../..', 'a/b', '/etc', 'a\0b', 'a\nb', 'a b', '.hidden', '-', 'a-', 'é'],
  'a'.repeat(300),
];

for (const name of NAMES) {
  test(`not the name of a directory of the kubelet: ${JSON.stringify(name.slice(0, 20))}`, async (t) => {
    const { mounter, mounts, root } = node(t);
    for (const place of [
      { ...PLACE, pod: name },
      { ...PLACE, volume: name },
    ]) {
      const refusal = { code: 'ERR_CSI_MOUNT', message: /not a volume of a pod/ };
      await assert.rejects(mounter.mount({ ...SPEC, ...place }, never), refusal);
      await assert.rejects(mounter.unmount(place), refusal);
    }
    assert.deepEqual([mounts.all, readdirSync(root)], [[], ['pods']]);
  });
}

const INVALID: Readonly<Record<string, Partial<MountSpec>>> = {
  'no size': { sizeBytes: 0 },
  'a negative size': { sizeBytes: -1 },
  'half a byte': { sizeBytes: 4096.5 },
  'no number': { sizeBytes: Number.NaN },
  'all memory': { sizeBytes: Number.POSITIVE_INFINITY },
  'more than a volume may have': { sizeBytes: 64 * 2 ** 20 + 1 },
  'a negative group': { group: -1 },
  'half a group': { group: 0.5 },
  'the group that stands for none': { group: 2 ** 32 - 1 },
  'a second option in the context': { selinux: 'context="a",suid' },
  'another option': { selinux: 'suid' },
  'another kind of context': { selinux: 'rootcontext="a"' },
  'an empty context': { selinux: 'context=""' },
  'a line feed in the context': { selinux: 'context="a\nb"' },
  'a long context': { selinux: `context="${'a'.repeat(600)}"` },
};

for (const [what, invalid] of Object.entries(INVALID)) {
  test(`rejected before anything is changed: ${what}`, async (t) => {
    const { mounter, mounts, volume } = node(t);
    await assert.rejects(mounter.mount({ ...SPEC, ...invalid }, never), { code: 'ERR_CSI_MOUNT' });
    assert.deepEqual([mounts.options, readdirSync(volume())], [[], []]);
  });
}

const LINKS = ['', 'volumes', 'volumes/kubernetes.io~csi', 'volumes/kubernetes.io~csi/linked'];

for (const [depth, below] of [...LINKS, 'volumes/kubernetes.io~csi/linked/mount'].entries()) {
  test(`a symbolic link is not followed: pods/linked/${below}`, async (t) => {
    const { root, mounts, mounter } = node(t);
    const victim = join(root, 'victim');
    // Whatever would be missing behind the link is there.
    const rest = ['volumes', 'kubernetes.io~csi', 'linked', 'mount'].slice(depth);
    mkdirSync(join(victim, ...rest), { recursive: true });
    const link = join(root, 'pods', 'linked', below);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(victim, link);
    const place = { pod: 'linked', volume: 'linked' };
    const refusal = { code: 'ERR_CSI_MOUNT', message: /a part of the path is not a directory/ };
    await assert.rejects(mounter.mount({ ...SPEC, ...place }, never), refusal);
    await assert.rejects(mounter.unmount(place), refusal);
    assert.deepEqual(mounts.all, []);
    assert.ok(readdirSync(join(victim, ...rest)).length === 0, 'nothing came or went there');
  });
}

test('a link to nowhere at the target is neither followed nor removed', async (t) => {
  const { target, volume, mounter } = node(t);
  symlinkSync(join(volume(), 'nowhere'), target);
  await assert.rejects(mounter.mount(SPEC, never), { code: 'ERR_CSI_MOUNT' });
  await assert.rejects(mounter.unmount(PLACE), { code: 'ERR_CSI_MOUNT' });
  assert.deepEqual(readdirSync(volume()), ['mount']);
});

test('a missing directory of the volume is not created: a mount fails, there is nothing to unmount', async (t) => {
  const { root, mounter } = node(t);
  const place = { pod: 'another', volume: 'secrets' };
  await assert.rejects(mounter.mount({ ...SPEC, ...place }, never), {
    code: 'ERR_CSI_MOUNT',
    message: /ENOENT/,
  });
  await mounter.unmount(place);
  assert.deepEqual(readdirSync(join(root, 'pods')), [PLACE.pod]);
});

for (const kind of ['a directory with something in it', 'a file']) {
  test(`what is at the target stays: ${kind}`, async (t) => {
    const { mounter, mounts, target, volume } = node(t);
    if (kind === 'a file') writeFileSync(target, 'somebody’s');
    else mkdirSync(join(target, 'somebody'), { recursive: true });
    await assert.rejects(mounter.mount(SPEC, never), { code: 'ERR_CSI_MOUNT' });
    await assert.rejects(mounter.unmount(PLACE), { code: 'ERR_CSI_MOUNT' });
    assert.deepEqual([mounts.all, readdirSync(volume())], [[], ['mount']]);
  });
}

test('two requests: one mount, and nothing left after two unmounts', async (t) => {
  const { mounter, mounts, volume } = node(t);
  await mounter.mount(SPEC, never);
  await mounter.mount(SPEC, never);
  assert.equal(mounts.all.length, 1);
  await mounter.unmount(PLACE);
  await mounter.unmount(PLACE);
  assert.deepEqual([mounts.all, readdirSync(volume())], [[], []]);
});

test('mounted twice by a process that was killed in between: both go', async (t) => {
  const { mounter, mounts, target } = node(t);
  mkdirSync(target);
  for (const _ of [1, 2]) mounts.add(target, SOURCE);
  await mounter.unmount(PLACE);
  assert.deepEqual(mounts.all, []);
});

test('a foreign mount stays, even below one of the driver', async (t) => {
  const { mounter, mounts, target } = node(t);
  mkdirSync(target);
  mounts.add(target, 'somebody');
  const refusal = { code: 'ERR_CSI_MOUNT', message: /mounted, but not by this driver/ };
  await assert.rejects(mounter.mount(SPEC, never), refusal);
  await assert.rejects(mounter.unmount(PLACE), refusal);
  mounts.add(target, SOURCE);
  await assert.rejects(mounter.unmount(PLACE), refusal);
  assert.deepEqual(
    mounts.all.map(({ source }) => source),
    ['somebody'],
  );
});

test('two requests for one target at once: one is rejected, and others go on', async (t) => {
  const { mounter, mounts, volume } = node(t);
  const gate = Promise.withResolvers<undefined>();
  mounts.gate = gate.promise;
  const first = mounter.mount(SPEC, never);
  const second = { ...SPEC, volume: 'others' };
  mkdirSync(volume(second));
  const other = mounter.mount(second, never);
  const refusal = { code: 'ERR_CSI_MOUNT', message: /another request for it is in flight/ };
  await assert.rejects(mounter.mount(SPEC, never), refusal);
  await assert.rejects(mounter.unmount(PLACE), refusal);
  gate.resolve(undefined);
  await Promise.all([first, other]);
  await mounter.unmount(PLACE);
  assert.equal(mounts.all.length, 1);
});

test('a mount that fails leaves no target, and reports the message of mount(8)', async (t) => {
  const { mounter, mounts, volume } = node(t);
  mounts.refuses = () => 'mount: cannot allocate memory';
  await assert.rejects(mounter.mount(SPEC, never), {
    code: 'ERR_CSI_MOUNT',
    message: /^cannot mount .*mount: cannot allocate memory$/,
  });
  assert.deepEqual(readdirSync(volume()), []);
});

for (const words of [
  'wrong fs type, bad option, bad superblock on csi.vouchsafe.test, missing codepage or helper program, or other error.',
  "fsconfig() failed: tmpfs: Unknown parameter 'noswap'.",
]) {
  test(`a kernel without noswap mounts without it, and noswap is not tried again: ${words}`, async (t) => {
    const { mounter, mounts, volume, logger } = node(t);
    let refused = 0;
    mounts.refuses = (options) => {
      if (!options.includes('noswap')) return undefined;
      refused += 1;
      return words;
    };
    for (const name of ['a', 'b']) {
      const spec = { ...SPEC, volume: name };
      mkdirSync(volume(spec));
      await mounter.mount(spec, never);
    }
    assert.equal(mounts.all.length, 2);
    assert.ok(mounts.options.every((options) => !options.includes('noswap')));
    assert.equal(refused, 1);
    assert.match(logger.text(), /out of swap/);
  });
}

test('a mount that fails for another reason is not repeated without noswap', async (t) => {
  const { mounter, mounts } = node(t);
  let tries = 0;
  mounts.refuses = () => (tries++ === 0 ? 'mount: ended by SIGKILL' : undefined);
  await assert.rejects(mounter.mount(SPEC, never), { code: 'ERR_CSI_MOUNT' });
  await mounter.mount(SPEC, never);
  assert.ok(mounts.options[0]?.includes('noswap'));
});

test('an option that is invalid even without noswap does not disable noswap', async (t) => {
  const { mounter, mounts } = node(t);
  mounts.refuses = (options) =>
    options.some((one) => one.startsWith('context=')) ? 'bad option' : undefined;
  const refused = mounter.mount({ ...SPEC, selinux: 'context="unknown"' }, never);
  await assert.rejects(refused, { code: 'ERR_CSI_MOUNT' });
  await mounter.mount(SPEC, never);
  assert.ok(mounts.options[0]?.includes('noswap'));
});
