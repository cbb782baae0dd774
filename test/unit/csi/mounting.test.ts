import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { VolumeMounts, type MountsPort } from '../../../src/csi/mounting.ts';
import { readPublishRequest } from '../../../src/csi/publish-request.ts';
import { NO_LOGGER } from '../../../src/core/index.ts';
import { systemMounts } from '../../../src/platform/index.ts';
import { CANNOT_MOUNT } from '../../helpers/csi-world.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const SOURCE = 'csi.vouchsafe.test';
const never = new AbortController().signal;
const SPEC = { sizeBytes: 65_536, group: null, selinux: null };

/** Mounts in memory. */
class MemoryMounts implements MountsPort {
  readonly all: { target: string; type: string; source: string }[] = [];
  readonly options: (readonly string[])[] = [];
  /** What `mount` says where it refuses. */
  refuses: (options: readonly string[]) => string | undefined = () => undefined;
  busy = false;

  list(): ReturnType<MountsPort['list']> {
    return Promise.resolve([...this.all]);
  }

  mountTmpfs({ target, source, options }: Parameters<MountsPort['mountTmpfs']>[0]): Promise<void> {
    const words = this.refuses(options);
    if (words !== undefined) return Promise.reject(new Error(words));
    this.options.push(options);
    this.all.push({ target, source, type: 'tmpfs' });
    return Promise.resolve();
  }

  unmount(target: string, { lazy }: { readonly lazy: boolean }): Promise<void> {
    if (this.busy && !lazy) return Promise.reject(new Error('target is busy'));
    this.all.splice(
      this.all.findLastIndex((one) => one.target === target),
      1,
    );
    return Promise.resolve();
  }

  isInMemory(): Promise<boolean> {
    return Promise.resolve(true);
  }
}

function volumeMounts(mounts: MountsPort): VolumeMounts {
  return new VolumeMounts({ mounts, source: SOURCE, logger: NO_LOGGER });
}

/** The kernel's mounts, with the reads of its table counted; what is mounted at the end is unmounted. */
function realMounts(t: TestContext): AsyncDisposable & {
  readonly mounts: VolumeMounts;
  readonly target: string;
  readonly reads: { count: number };
} {
  const target = join(tempDirectory(t), 'mount');
  const reads = { count: 0 };
  const list: MountsPort['list'] = () => {
    reads.count += 1;
    return systemMounts.list();
  };
  return {
    ...{ mounts: volumeMounts({ ...systemMounts, list }), target, reads },
    [Symbol.asyncDispose]: () =>
      systemMounts.unmount(target, { lazy: true }).catch(() => undefined),
  };
}

test('SELinux’s context is passed through as the kubelet says it', async (t) => {
  const mounts = new MemoryMounts();
  const target = join(tempDirectory(t), 'mount');
  const selinux = 'context="system_u:object_r:container_file_t:s0:c1,c2"';
  await volumeMounts(mounts).mount({ ...SPEC, target, selinux }, never);
  assert.equal(mounts.options[0]?.filter((one) => one === selinux).length, 1);
});

test('the context of a request is read, with and without quotes', () => {
  for (const flag of ['context="u:r:t:s0:c1,c2"', 'context=u:r:t:s0:c1,c2']) {
    const { selinux } = readPublishRequest({
      ...{ volumeId: 'v', publishContext: new Map(), stagingTargetPath: '', readonly: true },
      targetPath: '/pods/u/mount',
      volumeCapability: {
        block: undefined,
        mount: { fsType: '', mountFlags: [flag], volumeMountGroup: '' },
        accessMode: undefined,
      },
      secrets: new Map(),
      volumeContext: new Map(
        Object.entries({
          'csi.storage.k8s.io/ephemeral': 'true',
          'csi.storage.k8s.io/pod.name': 'p',
          'csi.storage.k8s.io/pod.namespace': 'n',
          'csi.storage.k8s.io/pod.uid': 'u',
          'csi.storage.k8s.io/serviceAccount.name': 's',
        }),
      ),
    });
    assert.equal(selinux, 'context="u:r:t:s0:c1,c2"');
  }
});

for (const words of [
  'wrong fs type, bad option, bad superblock on csi.vouchsafe.test, missing codepage or helper program, or other error.',
  "fsconfig() failed: tmpfs: Unknown parameter 'noswap'.",
]) {
  test(`a kernel that does not know noswap mounts without, and is not asked again: ${words}`, async (t) => {
    const mounts = new MemoryMounts();
    let refused = 0;
    mounts.refuses = (options) => {
      if (!options.includes('noswap')) return undefined;
      refused += 1;
      return words;
    };
    const volumes = volumeMounts(mounts);
    const directory = tempDirectory(t);
    for (const name of ['a', 'b']) {
      await volumes.mount({ ...SPEC, target: join(directory, name) }, never);
    }
    assert.equal(mounts.all.length, 2);
    assert.ok(mounts.options.every((options) => !options.includes('noswap')));
    assert.equal(refused, 1);
  });
}

test('a mount that failed for another reason lets no volume into swap', async (t) => {
  const mounts = new MemoryMounts();
  const target = join(tempDirectory(t), 'mount');
  const volumes = volumeMounts(mounts);
  let tries = 0;
  mounts.refuses = () => (tries++ === 0 ? 'mount: ended by SIGKILL' : undefined);
  await assert.rejects(volumes.mount({ ...SPEC, target }, never), { code: 'ERR_CSI_MOUNT' });
  await volumes.mount({ ...SPEC, target }, never);
  assert.ok(mounts.options[0]?.includes('noswap'));
});

test('an option that is wrong without noswap, too, does not switch it off', async (t) => {
  const mounts = new MemoryMounts();
  const volumes = volumeMounts(mounts);
  const directory = tempDirectory(t);
  mounts.refuses = (options) => (options.includes('context=""') ? 'bad option' : undefined);
  const [wrong, right] = [join(directory, 'a'), join(directory, 'b')];
  const refused = volumes.mount({ ...SPEC, target: wrong, selinux: 'context=""' }, never);
  await assert.rejects(refused, { code: 'ERR_CSI_MOUNT' });
  await volumes.mount({ ...SPEC, target: right }, never);
  assert.ok(mounts.options[0]?.includes('noswap'));
});

test('a volume in use is unmounted all the same: the pod’s end does not wait', async (t) => {
  const mounts = new MemoryMounts();
  const volumes = volumeMounts(mounts);
  const target = join(tempDirectory(t), 'mount');
  await volumes.mount({ ...SPEC, target }, never);
  mounts.busy = true;
  await volumes.unmount(target);
  assert.deepEqual(mounts.all, []);
});

test('mounted twice by a driver that was killed in between: both go', async (t) => {
  const mounts = new MemoryMounts();
  const target = join(tempDirectory(t), 'mount');
  await mkdir(target);
  mounts.all.push(...[1, 2].map(() => ({ target, type: 'tmpfs', source: SOURCE })));
  await volumeMounts(mounts).unmount(target);
  assert.deepEqual(mounts.all, []);
});

test(
  'the kernel’s table is read once for a mount that stays',
  { skip: CANNOT_MOUNT },
  async (t) => {
    await using real = realMounts(t);
    const { mounts, target, reads } = real;
    await mounts.mount({ ...SPEC, target }, never);
    assert.equal(reads.count, 0, 'nothing is mounted at a directory that was not there');
    assert.ok(await mounts.isMounted(target));
    for (let turn = 0; turn < 3; turn += 1) assert.ok(await mounts.isMounted(target));
    assert.equal(reads.count, 1);
  },
);

test('a mount that was seen is missed when it is gone', { skip: CANNOT_MOUNT }, async (t) => {
  await using real = realMounts(t);
  const { mounts, target } = real;
  await mounts.mount({ ...SPEC, target }, never);
  assert.ok(await mounts.isMounted(target));
  await systemMounts.unmount(target, { lazy: true });
  assert.equal(await mounts.isMounted(target), false);
});

test(
  'somebody else’s mount is not taken for the one that was there before',
  { skip: CANNOT_MOUNT },
  async (t) => {
    await using real = realMounts(t);
    const { mounts, target } = real;
    await mounts.mount({ ...SPEC, target }, never);
    assert.ok(await mounts.isMounted(target));
    await systemMounts.unmount(target, { lazy: true });
    await systemMounts.mountTmpfs({ target, source: 'somebody', options: ['rw'] });
    assert.equal(await mounts.isMounted(target), false);
  },
);

test('a target that is no empty directory is refused, and stays as it is', async (t) => {
  const target = join(tempDirectory(t), 'mount');
  await mkdir(join(target, 'somebody'), { recursive: true });
  const mounts = new MemoryMounts();
  await assert.rejects(volumeMounts(mounts).mount({ ...SPEC, target }, never), {
    code: 'ERR_CSI_MOUNT',
    message: /is no empty directory/,
  });
  assert.deepEqual([mounts.all, await readdir(target)], [[], ['somebody']]);
});
