/**
 * The CSI driver seen by csi-sanity, which holds drivers to the specification. What an ephemeral driver of a node does
 * not have is skipped by name.
 *
 * @see https://github.com/kubernetes-csi/csi-test
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import { CANNOT_MOUNT, CsiWorld } from '../helpers/csi-world.ts';

/** Each by a part of its full name: the reason. */
const NOT_HERE: Readonly<Record<string, string>> = {
  '[Controller Server]': 'a driver of ephemeral volumes has no controller',
  '[GroupController Server]': 'no controller',
  '[Snapshot Metadata Server]': 'no snapshots',
  'NodeUnpublishVolume should remove target path': 'its volume is made by a controller',
  'NodeGetVolumeStats should fail when volume does not exist on the specified path':
    'its volume is made by a controller',
};

/** What csi-sanity must have looked at, at the least. */
const LOOKED_AT = [
  'Identity Service GetPluginInfo should return appropriate information',
  'Identity Service GetPluginCapabilities should return appropriate capabilities',
  'Identity Service Probe should return appropriate information',
  'Node Service NodeGetCapabilities should return appropriate capabilities',
  'Node Service NodeGetInfo should return appropriate values',
  'Node Service NodePublishVolume should fail when no volume id is provided',
  'Node Service NodePublishVolume should fail when no target path is provided',
  'Node Service NodePublishVolume should fail when no volume capability is provided',
  'Node Service NodeUnpublishVolume should fail when no volume id is provided',
  'Node Service NodeUnpublishVolume should fail when no target path is provided',
  'Node Service NodeGetVolumeStats should fail when no volume id is provided',
  'Node Service NodeGetVolumeStats should fail when no volume path is provided',
  'Node Service NodeGetVolumeStats should fail when volume is not found',
];

/** The part of ginkgo's report that is looked at. */
interface Report {
  readonly SpecReports: readonly {
    readonly ContainerHierarchyTexts: readonly string[] | null;
    readonly LeafNodeText: string;
    readonly State: string;
  }[];
}

suite('csi-sanity', { skip: CANNOT_MOUNT }, () => {
  test('the driver passes, with what it does not have skipped by name', async () => {
    const binary = process.env['VOUCHSAFE_TEST_CSI_SANITY'];
    if (binary === undefined) throw new Error('run this suite with: npm run test:real');
    await using world = await CsiWorld.start();
    await world.driver();
    const report = join(world.root, 'report.json');
    const child = spawn(
      binary,
      [
        ...['-csi.endpoint', `unix://${world.csiSocket}`],
        ...[
          '-csi.mountdir',
          join(world.root, 'mount'),
          '-csi.stagingdir',
          join(world.root, 'stage'),
        ],
        ...[
          '-ginkgo.skip',
          Object.keys(NOT_HERE)
            .map((name) => RegExp.escape(name))
            .join('|'),
        ],
        ...['-ginkgo.json-report', report, '-ginkgo.no-color'],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
    assert.equal(child.exitCode, 0, output);
    const [{ SpecReports } = { SpecReports: [] }] = JSON.parse(
      await readFile(report, 'utf8'),
    ) as readonly Report[]; // the format of ginkgo
    const passed = SpecReports.filter(({ State }) => State === 'passed').map((one) =>
      [...(one.ContainerHierarchyTexts ?? []), one.LeafNodeText].join(' '),
    );
    assert.deepEqual(
      LOOKED_AT.filter((name) => !passed.includes(name)),
      [],
    );
    assert.deepEqual(await world.mounts(), []);
  });
});
