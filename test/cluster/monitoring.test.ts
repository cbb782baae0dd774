/**
 * Metrics under a real Prometheus: what the chart registers leads to every process, promtool accepts what they expose,
 * and alerts and dashboard find what they are about.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { withSecret } from './parts/csi-pods.ts';
import { onEveryNode, onNoNode, theDriver } from './parts/driver.ts';
import { install, webhookPods } from './parts/installing.ts';
import { defineKinds, monitoredJobs, removeKinds, ruleGroups } from './parts/monitors.ts';
import {
  promtool,
  startPrometheus,
  writeRules,
  type Alert,
  type Prometheus,
} from './parts/prometheus.ts';
import { CHART, RELEASE } from './parts/release.ts';
import { eventually, FOREVER, kubectl, shellPod, Space, vault } from './parts/suite.ts';

/** Everything of the chart that a monitoring system reads. */
const MONITORED = [
  ...['serviceMonitor', 'podMonitor', 'rules', 'dashboard'].map(
    (name) => `--set=metrics.${name}.enabled=true`,
  ),
  '--set=csi.metrics.perPod=true',
];

/** Series that this cluster cannot have: of kube-state-metrics, and of faults that nobody causes here. */
const WITHOUT_SERIES = new Set([
  'kube_daemonset_status_desired_number_scheduled',
  'kube_daemonset_status_number_ready',
  'vouchsafe_delivery_failures_total',
  'vouchsafe_token_renewals_total',
  'vouchsafe_x509_svid_failures_total',
]);

/** Short: a renewal is due, and fails, within seconds. */
const USER_LIFE = { default_ttl: '30s', max_ttl: '24h' };

/** What is scraped; made in this order, and gone in the other. */
interface Monitored {
  readonly pods: Space;
  readonly volumes: Space;
  readonly prometheus: Prometheus;
  readonly rules: string;
}

async function startPods(space: Space): Promise<void> {
  await space.grant(`
    path "secret/data/${space.name}/*" { capabilities = ["read"] }
    path "${space.users}" { capabilities = ["read"] }
  `);
  await space.put({ password: 'first' });
  await space.grantUsers(USER_LIFE);
  const settings = {
    ...space.login,
    refresh: '2s',
    'secret-password': `${space.secret}#password`,
    'secret-login': `${space.users}#username`,
    'on-change-password': 'signal:HUP@app',
    'x509-svid': 'true',
  };
  const more = { securityContext: { runAsUser: 1000 } };
  const line = `trap : HUP; ${FOREVER}`;
  for (const mode of ['native', 'pair']) {
    await space.create(shellPod(mode, { ...settings, mode }, line, more));
  }
  for (const mode of ['native', 'pair']) await space.ready(mode);
  await space.put({ password: 'second' });
}

async function startVolume(space: Space): Promise<void> {
  const settings = {
    ...space.login,
    mode: 'csi',
    refresh: '2s',
    'secret-password': `${space.secret}#password`,
  };
  // What has never happened has no series; that a volume is unpublished is one of these things.
  for (const name of ['short', 'volume']) {
    await space.create(shellPod(name, settings, FOREVER));
    await space.ready(name);
  }
  await space.remove('short');
}

async function start(stack: AsyncDisposableStack): Promise<Monitored> {
  await defineKinds();
  stack.defer(removeKinds);
  stack.defer(() => install());
  await install(...MONITORED);
  const pods = stack.use(await Space.create());
  const volumes = stack.use(await withSecret());
  await Promise.all([startPods(pods), startVolume(volumes)]);
  const rules = writeRules(await ruleGroups());
  const prometheus = stack.use(await startPrometheus(rules, await monitoredJobs()));
  return { pods, volumes, prometheus, rules };
}

/** Takes the rights of the namespace's pods away, those of each token that exists included. */
async function deny(space: Space): Promise<void> {
  const paths = ['secret/*', 'database/*', 'sys/leases/renew'];
  const policy = paths.map((path) => `path "${path}" { capabilities = ["deny"] }`).join('\n');
  await vault.write(`sys/policies/acl/${space.name}`, { policy });
}

/** Expressions of the dashboard, for all namespaces. */
function dashboardQueries(): readonly string[] {
  const text = readFileSync(join(CHART, 'files', 'dashboard.json'), 'utf8');
  const { panels } = JSON.parse(text) as {
    panels: readonly { targets?: readonly { expr: string }[] }[];
  }; // our own file
  return panels
    .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    .map((expr) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$namespace', '.*'));
}

/** Names of metrics in expressions, of histograms those of their parts. */
function metricsIn(expressions: readonly string[]): ReadonlySet<string> {
  return new Set(expressions.flatMap((text) => text.match(/\b(?:vouchsafe|kube)_\w+/g) ?? []));
}

suite('metrics', () => {
  const stack = new AsyncDisposableStack();
  let monitored: Monitored;
  before(async () => {
    monitored = await start(stack);
  });
  after(() => stack.disposeAsync());

  const alerts = (): Promise<readonly Alert[]> => monitored.prometheus.alerts();

  /** Waits until an alert has a reason, in a series with these labels; not until it has lasted long enough. */
  async function raised(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    await eventually(`${name} is raised`, async () => {
      const alert = (await alerts()).find((one) => one.name === name);
      const isFound = alert?.alerts.some(({ labels: has }) =>
        Object.entries(labels).every(([key, value]) => has[key] === value),
      );
      return isFound === true ? true : undefined;
    });
  }

  test('the monitors lead to every process, each of which is scraped', async () => {
    const webhooks = (await webhookPods()).items.map(({ metadata }) => metadata.name);
    const driver = await theDriver();
    const expected = [
      [`${RELEASE}/${RELEASE}-agents`, monitored.pods.name, 'native'],
      [`${RELEASE}/${RELEASE}-agents`, monitored.pods.name, 'pair'],
      [`${RELEASE}/${RELEASE}-csi`, RELEASE, driver.metadata.name],
      ...webhooks.map((name) => [`${RELEASE}-webhook`, RELEASE, name]),
    ].map((labels) => labels.join(' '));
    await eventually('all targets are up', async () => {
      const found = await monitored.prometheus.targets();
      assert.deepEqual(found.map((one) => one.lastError).filter(Boolean), []);
      return found.length > 0 && found.every(({ health }) => health === 'up') ? true : undefined;
    });
    const found = (await monitored.prometheus.targets()).map(({ labels }) =>
      [labels['job'], labels['namespace'], labels['pod']].join(' '),
    );
    assert.deepEqual(found.sort(), expected.sort());
  });

  test('promtool finds nothing to say about what each process exposes', async () => {
    for (const { scrapeUrl, labels } of await monitored.prometheus.targets()) {
      const response = await fetch(scrapeUrl);
      const printed = await promtool(['check', 'metrics'], await response.text());
      assert.equal(printed, '', `${labels['job'] ?? ''} ${labels['pod'] ?? ''}`);
    }
  });

  test('promtool accepts the rules', async () => {
    assert.match(await promtool(['check', 'rules', monitored.rules]), /SUCCESS: \d+ rules found/);
  });

  test('every alert is evaluated without an error, and none has a reason', async () => {
    await eventually('all are evaluated', async () => {
      const all = await alerts();
      assert.ok(all.length > 10, `${all.length} alerts`);
      const others = all.filter(({ health, state }) => health !== 'ok' || state !== 'inactive');
      assert.deepEqual(others, []);
      return true;
    });
  });

  test('every query of the dashboard is evaluated without an error', async () => {
    const queries = dashboardQueries();
    assert.ok(queries.length > 20, `${queries.length} queries`);
    for (const query of queries) await monitored.prometheus.query(query);
  });

  test('a denied pod: the alert names the namespace of the pod, not that of the webhook', async () => {
    // The first one of its kind has no value before it, of which there would be a rate.
    const denied = shellPod('denied', { inject: 'true', mode: 'nowhere' }, 'true');
    await assert.rejects(monitored.pods.create(denied), /mode: must be one of/);
    await eventually('it is counted', async () => {
      const expression = `vouchsafe_admission_total{outcome="denied",namespace="${monitored.pods.name}"}`;
      return (await monitored.prometheus.query(expression)).length > 0 ? true : undefined;
    });
    for (let count = 0; count < 20; count += 1) {
      await assert.rejects(monitored.pods.create(denied), /mode: must be one of/);
    }
    await raised('VouchsafePodsDenied', { namespace: monitored.pods.name });
  });

  test('reads and renewals that Vault denies: the alerts name pod and secret, and volumes are counted', async () => {
    await Promise.all([deny(monitored.pods), deny(monitored.volumes)]);
    const pod = { namespace: monitored.pods.name, pod: 'native' };
    await raised('VouchsafeSecretFailing', { ...pod, secret: '1' });
    await raised('VouchsafeSecretFailing', { ...pod, pod: 'pair', secret: '1' });
    await raised('VouchsafeFilesNotCurrent', pod);
    await raised('VouchsafeSecretExpires', pod);
    await raised('VouchsafeCsiVolumesDegraded', {});
  });

  test('every metric of alerts and dashboard has series', async () => {
    const queries = (await alerts()).map(({ query }) => query);
    const names = metricsIn([...queries, ...dashboardQueries()]);
    const counts = await Promise.all(
      [...names].map(
        async (name) => [name, (await monitored.prometheus.query(name)).length] as const,
      ),
    );
    const missing = counts.filter(([, count]) => count === 0).map(([name]) => name);
    assert.deepEqual(
      missing.filter((name) => !WITHOUT_SERIES.has(name)),
      [],
    );
  });

  test('the age of the files of a volume is that of its pod, not of the driver', async () => {
    const { volumes, prometheus } = monitored;
    const [found] = await prometheus.query('vouchsafe_csi_file_age_seconds{file="password"}');
    assert.equal(found?.metric['namespace'], volumes.name);
    assert.equal(found.metric['pod'], 'volume');
  });

  test('webhook and driver are gone: the alerts on their absence have a reason', async () => {
    await monitored.volumes.remove('volume');
    const scale = (replicas: number): Promise<string> =>
      kubectl(
        ...['scale', `deployment/${RELEASE}-webhook`, `--namespace=${RELEASE}`],
        `--replicas=${replicas}`,
      );
    try {
      await Promise.all([scale(0), onNoNode()]);
      await eventually('there is no webhook', async () =>
        (await webhookPods()).items.length === 0 ? true : undefined,
      );
      monitored.prometheus.follow(await monitoredJobs());
      await raised('VouchsafeWebhookAbsent', {});
      await raised('VouchsafeCsiDriverAbsent', {});
    } finally {
      await Promise.all([scale(2), onEveryNode()]);
    }
  });
});
