import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { NO_LOGGER, NO_METRICS, VouchsafeError } from '../../../src/core/index.ts';
import { MemoryBudget } from '../../../src/csi/memory-budget.ts';
import type { VolumeRecord } from '../../../src/csi/records.ts';
import { startResumed } from '../../../src/csi/resuming.ts';
import { Volume } from '../../../src/csi/volume.ts';
import { DEFAULT_WAITS } from '../../../src/csi/waits.ts';
import { createSharedConnections } from '../../../src/agent-runtime/index.ts';
import { FairShares } from '../../../src/async/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';
import { localRenderer } from '../../helpers/local-renderer.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';

const HEAD = { apiVersion: 'vouchsafe.dev/v1', kind: 'AgentConfig' };
const DOCUMENT = {
  ...HEAD,
  vault: { address: 'http://127.0.0.1:1' },
  auth: { method: 'jwt', role: 'web', tokenFile: '/token' },
  files: [{ name: 'app', secret: 'kv/app' }],
};

/** A machine: how it fails, and how much later it is than it was. */
interface Around {
  failure: Error | undefined;
  passedMs: number;
  /** Fails the sleeps in progress, and so the engine. */
  readonly breakSleeps: (error: Error) => void;
  readonly logger: RecordingLogger;
}

/** A volume that a predecessor left. */
function volumeOf(
  t: TestContext,
  document: object = DOCUMENT,
  isPublished = true,
): { readonly volume: Volume; readonly around: Around } {
  let broken = Promise.withResolvers<never>();
  const breakSleeps = (error: Error): void => {
    broken.reject(error);
    broken = Promise.withResolvers();
  };
  const around: Around = {
    failure: undefined,
    passedMs: 0,
    breakSleeps,
    logger: recordingLogger(),
  };
  const monotonicMs = (): number => systemClock.monotonicMs() + around.passedMs;
  const sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    try {
      await Promise.race([systemClock.sleep(ms, either), broken.promise]);
    } finally {
      ended.abort();
    }
  };
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  t.after(() => shared.close());
  const record: VolumeRecord = {
    spec: {
      volumeId: 'v',
      target: tempDirectory(t),
      attributes: {},
      group: null,
      selinux: null,
      pod: { namespace: 'shop', name: 'web', uid: 'u', serviceAccount: 'web' },
    },
    document,
    sizeBytes: 65_536,
    tokenAudience: null,
    isPublished,
    isEnding: isPublished,
  };
  const volume = new Volume(
    { directory: tempDirectory(t), record, strikes: 0 },
    {
      clock: { ...systemClock, monotonicMs, sleep },
      random: systemRandom,
      logger: around.logger,
      metrics: NO_METRICS,
      waits: DEFAULT_WAITS,
      grants: () => undefined,
      svids: () => Promise.reject(new Error('no SVIDs are needed to revoke')),
      renderer: localRenderer(),
      maxDependencies: 256,
      maxValueBytes: 16 * 2 ** 20,
      budget: new MemoryBudget(2 ** 29),
      logins: new FairShares(9),
      isMounted: () => Promise.resolve(true),
      shared: {
        ...shared,
        connect: (config, owner) =>
          around.failure === undefined
            ? shared.connect(config, owner)
            : Promise.reject(around.failure),
      },
    },
  );
  return { volume, around };
}

const PASSING: Readonly<Record<string, Error>> = {
  'a CA file that is not there': new VouchsafeError('ERR_CONFIG_UNREADABLE', 'no CA file'),
  'too many open files': Object.assign(new Error('EMFILE'), { code: 'EMFILE' }),
};
for (const [name, failure] of Object.entries(PASSING)) {
  test(`a revocation that fails for now is tried again: ${name}`, async (t) => {
    const { volume, around } = volumeOf(t);
    around.failure = failure;
    assert.equal(await volume.release(), false);
    around.failure = undefined;
    assert.equal(await volume.release(), true);
    volume.close();
  });
}

test('a volume whose settings are no longer valid is given up', async (t) => {
  const { volume } = volumeOf(t, { kind: 'Wrong' });
  assert.equal(await volume.release(), true);
});

test('the ages of files grow while there is no engine', async (t) => {
  const document = { ...HEAD, files: [{ name: 'app', template: 'text' }] };
  const { volume, around } = volumeOf(t, document);
  assert.equal(volume.fileAges.length, 0);
  volume.start();
  await volume.delivered(AbortSignal.timeout(10_000));
  await volume.stop();
  volume.close();
  assert.equal(volume.status, undefined);
  around.passedMs = 5000;
  const ages = volume.fileAges.map(([name, seconds]) => [name, Math.floor(seconds / 5)]);
  assert.deepEqual(ages, [['app', 1]]);
});

test('an engine that fails for good after its files were written leaves the volume as it is', async (t) => {
  const document = { ...HEAD, files: [{ name: 'app', template: 'text' }] };
  const { volume, around } = volumeOf(t, document, false);
  t.after(async () => {
    await volume.stop();
    volume.close();
  });
  volume.start();
  await volume.delivered(AbortSignal.timeout(10_000));
  around.breakSleeps(new TypeError('a defect'));
  await until(() => around.logger.text().includes('engine of a volume ended'));
  assert.equal(volume.state.kind, 'filled');
  await volume.delivered(AbortSignal.timeout(10_000));
});

test('a volume that a call is about to mount again is not started by the take-over as well', async (t) => {
  const { volume } = volumeOf(t);
  await volume.stop();
  const parts = { clock: systemClock, waits: { resumeMs: 1 }, mayStart: () => true };
  await startResumed([volume], parts, AbortSignal.timeout(10_000));
  assert.equal(volume.state.kind, 'remounting');
  assert.equal(volume.status, undefined);
});
