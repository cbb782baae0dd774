import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { NO_LOGGER, NO_METRICS, VouchsafeError } from '../../../src/core/index.ts';
import type { VolumeRecord } from '../../../src/csi/records.ts';
import { Volume } from '../../../src/csi/volume.ts';
import { createShared } from '../../../src/host/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const DOCUMENT = {
  ...{ apiVersion: 'vouchsafe.dev/v1', kind: 'AgentConfig' },
  vault: { address: 'http://127.0.0.1:1' },
  auth: { method: 'jwt', role: 'web', tokenFile: '/token' },
  files: [{ name: 'app', secret: 'kv/app' }],
};

/** A volume that a predecessor left, with a machine around it that fails as long as `failure` is set. */
function volumeOf(
  t: TestContext,
  document: object = DOCUMENT,
): { readonly volume: Volume; readonly around: { failure: Error | undefined } } {
  const around: { failure: Error | undefined } = { failure: undefined };
  const shared = createShared({ logger: NO_LOGGER });
  t.after(() => shared.close());
  const record: VolumeRecord = {
    spec: {
      ...{ volumeId: 'v', target: '/pods/u/mount', attributes: {}, group: null, selinux: null },
      pod: { namespace: 'shop', name: 'web', uid: 'u', serviceAccount: 'web' },
    },
    ...{ document, sizeBytes: 65_536, tokenAudience: null, isPublished: true, isEnding: true },
  };
  const volume = new Volume(
    { directory: tempDirectory(t), record },
    {
      ...{ clock: systemClock, random: systemRandom, logger: NO_LOGGER, metrics: NO_METRICS },
      svids: () => Promise.reject(new Error('nobody needs SVIDs to revoke')),
      isMounted: () => Promise.resolve(false),
      shared: {
        ...shared,
        connect: (config) =>
          around.failure === undefined ? shared.connect(config) : Promise.reject(around.failure),
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
  test(`what hinders a revocation and may pass is waited for: ${name}`, async (t) => {
    const { volume, around } = volumeOf(t);
    around.failure = failure;
    assert.equal(await volume.release(), false);
    around.failure = undefined;
    assert.equal(await volume.release(), true);
    volume.close();
  });
}

test('a volume whose settings cannot be used any more is given up', async (t) => {
  const { volume } = volumeOf(t, { kind: 'Wrong' });
  assert.equal(await volume.release(), true);
});
