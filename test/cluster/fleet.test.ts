/** Two hundred pods at once: admission stays quick, and Vault sees logins that are spread out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { List, Pod } from './parts/objects.ts';
import {
  annotations,
  api,
  eventually,
  shellContainer,
  Space,
  vault,
  world,
} from './parts/suite.ts';
import { requestTimes } from './parts/audit.ts';

/** The node takes as many besides its own. */
const PODS = 200;
/** What an agent asks for, so that a node with two processors runs about twenty of them at a time. */
const AT_A_TIME = '80m';
/** As the API server counts. */
const SLOWEST_MS = 1000;

test('two hundred pods created at once', { timeout: 600_000 }, async (t) => {
  await using space = await Space.create();
  await space.grantSecret({ password: 'planted' });
  const before = await admissionSeconds();
  const started = performance.now();
  const asked = {
    ...space.login,
    'secret-password': `${space.secret}#password`,
    'init-deadline': '9m',
    cpu: AT_A_TIME,
  };
  const jobs = `/apis/batch/v1/namespaces/${space.name}/jobs`;
  await api.create(jobs, {
    metadata: { name: 'all' },
    spec: {
      parallelism: PODS,
      completions: PODS,
      backoffLimit: 0,
      template: {
        metadata: { annotations: annotations(asked) },
        spec: { restartPolicy: 'Never', containers: [shellContainer('app', 'true')] },
      },
    },
  });
  await eventually(
    'all are done',
    async () => {
      const { status } = await api.get<Job>(`${jobs}/all`);
      return status?.succeeded === PODS ? true : undefined;
    },
    480_000,
  );
  t.diagnostic(`all done after ${Math.round((performance.now() - started) / 1000)} s`);
  const pods = (await api.get<List<Pod>>(space.pods)).items;
  const after = await admissionSeconds();
  const count = after.count - before.count;
  const meanMs = Math.round(((after.sum - before.sum) / count) * 1000);
  const slow = after.slow - before.slow;
  t.diagnostic(`${count} admissions, ${meanMs} ms on average, ${slow} over ${SLOWEST_MS} ms`);
  assert.equal(count, PODS, 'one review for each pod');
  assert.equal(slow, 0, 'slow admissions');
  assert.ok(pods.every(({ spec }) => spec.initContainers?.[0]?.name === 'vouchsafe-agent'));
  const times = await requestTimes(world.vault.auditLog, `auth/${space.mount}/login`);
  assert.equal(times.length, PODS, 'one login for each pod');
  const most = mostWithin(times, 1000);
  t.diagnostic(`at most ${most} logins within a second`);
  assert.ok(most <= PODS / 4, `${most} logins within a second`);
  const reads = await vault.count(`secret/data/${space.name}/app`, 'read');
  // The first refresh comes at a random part of its time, of some within the seconds that they live.
  assert.ok(reads >= PODS && reads <= PODS * 1.1, `${reads} reads`);
});

interface Job {
  readonly status?: { readonly succeeded?: number; readonly failed?: number };
}

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
