/** Many CSI volumes on one node at once: what each costs Vault, and that nothing is left of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { DRIVER, revoked, settings, withSecret } from './parts/csi-pods.ts';
import { driverMetrics, theDriver, volumeCount } from './parts/driver.ts';
import type { List, Pod } from './parts/objects.ts';
import {
  annotations,
  api,
  cgroupOf,
  eventually,
  FOREVER,
  isReady,
  shellContainer,
  vault,
  type Space,
} from './parts/suite.ts';

/** As the chart limits it by default; here it may have more, so that going beyond is seen. */
const LIMIT_BYTES = 512 * 2 ** 20;

suite('many CSI volumes at once', () => {
  for (const [count, patienceMs] of [
    [50, 240_000],
    [200, 540_000],
  ] as const) {
    test(`${count} pods: one login and one credential each, and nothing is left of them`, async (t) => {
      await using space = await withSecret();
      await space.grantUsers({ default_ttl: '1h', max_ttl: '24h' });
      const before = await volumeCount();
      const driver = await theDriver();
      const started = performance.now();
      await createPods(space, count);
      const pods = await allReady(space, count, patienceMs);
      t.diagnostic(`all ready after ${Math.round((performance.now() - started) / 1000)} s`);
      assert.ok(pods.every(({ status }) => status?.containerStatuses?.[0]?.restartCount === 0));
      assert.equal(await volumeCount(), before + count);
      assert.equal(mountsOf(pods).length, count);
      assert.equal(await space.logins(), count, 'one login each');
      const unanswered = lostAnswers(await driverMetrics());
      assert.equal(await vault.count(space.users), count, `one credential each; ${unanswered}`);
      assert.equal(await space.tokens(), count);
      assert.equal(await space.leases(), count);
      await api.remove(`${replicaSets(space)}/many`);
      await eventually('the pods are gone', () => isEmpty(space), patienceMs);
      await revoked(space);
      assert.deepEqual(mountsOf(pods), []);
      assert.equal(await volumeCount(), before);
      const peak = peakBytes(driver);
      t.diagnostic(`the driver had ${Math.round(peak / 2 ** 20)} MiB at most`);
      assert.ok(peak > 0 && peak < LIMIT_BYTES, `${peak} bytes`);
      assert.deepEqual(livesOf(await theDriver()), livesOf(driver), 'it is the same driver');
    });
  }
});

/** What else than answers the driver had of Vault: only then may there be a second credential. */
function lostAnswers(metrics: string): string {
  const lines = metrics.split('\n').filter((line) => /^vouchsafe_vault_requests_total/.test(line));
  const lost = lines.filter((line) => !line.includes('outcome="ok"'));
  return lost.length === 0 ? 'no answer of Vault was lost' : lost.join(', ');
}

function replicaSets(space: Space): string {
  return `/apis/apps/v1/namespaces/${space.name}/replicasets`;
}

/** Pods with a KV secret and a PostgreSQL user each. */
async function createPods(space: Space, count: number): Promise<void> {
  const labels = { app: 'many' };
  const asked = settings(space, { refresh: '1h', 'secret-login': `${space.users}#username` });
  const line = `test -s /vault/secrets/password && test -s /vault/secrets/login && ${FOREVER}`;
  await api.create(replicaSets(space), {
    metadata: { name: 'many' },
    spec: {
      replicas: count,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: annotations(asked) },
        spec: { containers: [shellContainer('app', line)], terminationGracePeriodSeconds: 1 },
      },
    },
  });
}

function allReady(space: Space, count: number, patienceMs: number): Promise<readonly Pod[]> {
  return eventually(
    'all are ready',
    async () => {
      const { items } = await api.get<List<Pod>>(space.pods);
      return items.length === count && items.every(isReady) ? items : undefined;
    },
    patienceMs,
  );
}

async function isEmpty(space: Space): Promise<true | undefined> {
  return (await api.get<List<Pod>>(space.pods)).items.length === 0 ? true : undefined;
}

/** Mounts of the driver for these pods. */
function mountsOf(pods: readonly Pod[]): readonly string[] {
  const uids = new Set(pods.map(({ metadata }) => metadata.uid));
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`${DRIVER} `))
    .filter((line) => uids.has(/\/pods\/([^/]+)\//.exec(line)?.[1]));
}

/** The most that it ever had, files of its volumes and pages of its program included. */
function peakBytes(driver: Pod): number {
  const path = join(cgroupOf(driver, 'driver', 'memory'), 'memory.max_usage_in_bytes');
  return Number(readFileSync(path, 'utf8'));
}

function livesOf({ metadata, status }: Pod): unknown {
  return [metadata.uid, status?.containerStatuses?.[0]?.restartCount];
}
