/** The CA of a connection in a file of the driver's own pod, as the kubelet projects a ClusterTrustBundle. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { planVolume } from '../../../src/admission/index.ts';
import type { DriverOptions } from '../../../src/csi/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { CANNOT_MOUNT, CsiWorld, SHORT_CALLS } from '../../helpers/csi-world.ts';

/** Plans as an installation with a bundle does; the driver sees the file elsewhere. */
function withBundle(world: CsiWorld, caFile: string): Partial<DriverOptions> {
  const main = { address: world.vault.address, clusterTrustBundle: { name: 'vault' } };
  const installation = world.installation({ vault: { connections: { main } } });
  return {
    waits: SHORT_CALLS,
    plan: (input, checkTemplate) => {
      const plan = planVolume({ ...input, installation, checkTemplate });
      if (plan.kind !== 'planned') return plan;
      const { caFile: place, ...vault } = plan.document['vault'] as Record<string, unknown>;
      assert.equal(place, '/run/vouchsafe/ca/main.crt');
      return { ...plan, document: { ...plan.document, vault: { ...vault, caFile } } };
    },
  };
}

/** A projected volume; the kubelet swaps all of its files at once. */
class ProjectedVolume {
  readonly directory = mkdtempSync(join(tmpdir(), 'vouchsafe-ca-'));
  readonly caFile = join(this.directory, 'main.crt');
  #versions = 0;

  constructor(t: TestContext) {
    t.after(() => rmSync(this.directory, { recursive: true }));
  }

  async set(pem: string): Promise<void> {
    const version = `..${(this.#versions += 1)}`;
    await mkdir(join(this.directory, version));
    await writeFile(join(this.directory, version, 'main.crt'), pem);
    await symlink(version, join(this.directory, '..data_tmp'));
    await rename(join(this.directory, '..data_tmp'), join(this.directory, '..data'));
    if (this.#versions === 1) await symlink('..data/main.crt', this.caFile);
  }
}

suite('the CA of a volume in a ClusterTrustBundle', { skip: CANNOT_MOUNT }, () => {
  test('a bundle that does not exist is an empty file: the event names it, and the files come once it has certificates', async (t) => {
    const [other, ca] = [createTestCa(), createTestCa()];
    await using world = await CsiWorld.start({ tls: ca.issue() });
    const volume = new ProjectedVolume(t);
    await volume.set('');
    const { kubelet } = await world.driver(withBundle(world, volume.caFile));
    const pod = await world.pod();
    const message = /ERR_CONFIG_UNREADABLE.*main\.crt contains no PEM certificate/;
    await world.rejectedWith(message, kubelet, pod);
    await volume.set(other.caPem);
    await world.rejectedWith(/ERR_VAULT_TLS/, kubelet, pod);
    await volume.set(other.caPem + ca.caPem);
    await world.published(kubelet, pod);
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.equal(world.logins, 1);
  });
});
