/** Two hundred pods at once: admission stays quick, and Vault sees logins that are spread out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { List, Pod } from './parts/objects.ts';
import {
  annotations,
  api,
  eventually,
  FOREVER,
  isReady,
  shellContainer,
  Space,
  vault,
  world,
} from './parts/suite.ts';
import { requestTimes } from './parts/audit.ts';

/** The node takes as many besides its own. */
const PODS = 200;
/** As the API server counts. */
const SLOWEST_MS = 1000;

test('two hundred pods created at once', { timeout: 600_000 }, async (t) => {
  await using space = await Space.create();
  await space.grantSecret({ password: 'planted' });
  const before = await admissionSeconds();
  const started = performance.now();
  const took = await Promise.all(
    Array.from({ length: PODS }, async (_, index) => {
      const asked = {
        ...space.login,
        'secret-password': `${space.secret}#password`,
        memory: '24Mi/128Mi',
        cpu: '1m',
      };
      const sent = performance.now();
      await space.create({
        ...{ apiVersion: 'v1', kind: 'Pod' },
        metadata: {
          name: `pod-${index}`,
          annotations: annotations({ ...asked, 'init-deadline': '9m' }),
        },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: [shellContainer('app', FOREVER)],
        },
      });
      return performance.now() - sent;
    }),
  );
  const after = await admissionSeconds();
  const slow = after.slow - before.slow;
  t.diagnostic(
    `slowest request ${Math.round(Math.max(...took))} ms with all its queues; mean admission ` +
      `${Math.round(((after.sum - before.sum) / (after.count - before.count)) * 1000)} ms`,
  );
  assert.ok(after.count - before.count >= PODS, `${after.count - before.count} admissions`);
  assert.equal(slow, 0, `admissions over ${SLOWEST_MS} ms as the API server counts them`);
  const pods = await eventually(
    'all are ready',
    async () => {
      const { items } = await api.get<List<Pod>>(space.pods);
      return items.length === PODS && items.every(isReady) ? items : undefined;
    },
    480_000,
  );
  t.diagnostic(`all ready after ${Math.round((performance.now() - started) / 1000)} s`);
  assert.ok(pods.every(({ spec }) => spec.initContainers?.[0]?.name === 'vouchsafe-agent'));
  const times = await requestTimes(world.vault.auditLog, `auth/${space.mount}/login`);
  assert.equal(times.length, PODS, 'one login for each pod');
  const most = mostWithin(times, 1000);
  t.diagnostic(`at most ${most} logins within a second`);
  assert.ok(most <= PODS / 4, `${most} logins within a second`);
  assert.equal(await vault.count(`secret/data/${space.name}/app`, 'read'), PODS);
});

interface Admissions {
  readonly count: number;
  readonly sum: number;
  /** Those over {@link SLOWEST_MS}. */
  readonly slow: number;
}

/** What the API server measured of the webhook so far. */
async function admissionSeconds(): Promise<Admissions> {
  const lines = (await api.text('/metrics'))
    .split('\n')
    .filter((line) => line.startsWith('apiserver_admission_webhook_admission_duration_seconds'))
    .filter((line) => line.includes('name="pods.vouchsafe.dev"'));
  const total = (kind: RegExp): number =>
    lines
      .filter((line) => kind.test(line))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  const count = total(/_count\{/);
  return { count, sum: total(/_sum\{/), slow: count - total(/_bucket\{.*le="1"/) };
}

function mostWithin(times: readonly number[], windowMs: number): number {
  const sorted = times.toSorted((one, other) => one - other);
  return Math.max(
    ...sorted.map((start) => sorted.filter((at) => at >= start && at < start + windowMs).length),
  );
}
