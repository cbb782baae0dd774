/** Kinds of pods: Jobs and CronJobs end, native sidecars and init containers keep their order, restricted ones pass. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { tempDirectory } from '../helpers/temp-directory.ts';
import { SHELL_IMAGE } from './parts/images.ts';
import type { List, Pod } from './parts/objects.ts';
import {
  annotations,
  api,
  containerStatus,
  eventually,
  FOREVER,
  kubectl,
  shellContainer,
  shellPod,
  Space,
} from './parts/suite.ts';

const READ = 'cat /vault/secrets/password; echo';
const MODES = ['native', 'pair', 'init'];

interface Job {
  readonly status?: { readonly succeeded?: number };
}

function settings(space: Space, more: Record<string, string> = {}): Record<string, string> {
  return { ...space.login, 'secret-password': `${space.secret}#password`, ...more };
}

async function withSecret(metadata: object = {}): Promise<Space> {
  const space = await Space.create(metadata);
  await space.grantSecret({ password: 'planted' });
  return space;
}

suite('kinds of pods', { concurrency: true }, () => {
  test('a Job completes, and what its pod held in Vault is revoked', async () => {
    await using space = await withSecret();
    const jobs = `/apis/batch/v1/namespaces/${space.name}/jobs`;
    await api.create(jobs, { metadata: { name: 'once' }, spec: jobSpec(settings(space)) });
    await eventually('the Job succeeds', async () => {
      const job = await api.get<Job>(`${jobs}/once`);
      return job.status?.succeeded === 1 ? true : undefined;
    });
    const { items } = await api.get<List<Pod>>(space.pods);
    const [pod] = items;
    assert.ok(pod !== undefined && items.length === 1, 'at the first attempt');
    assert.equal(await space.printed(pod.metadata.name ?? '', 'app'), 'planted\n');
    assert.equal(containerStatus(pod, 'vouchsafe-agent').restartCount, 0);
    assert.equal(containerStatus(pod, 'vouchsafe-agent').state?.terminated?.exitCode, 0);
    assert.equal(await space.tokens(), 0);
  });

  test('a CronJob completes', async () => {
    await using space = await withSecret();
    const spec = {
      schedule: '* * * * *',
      successfulJobsHistoryLimit: 3,
      jobTemplate: { spec: jobSpec(settings(space)) },
    };
    const path = `/apis/batch/v1/namespaces/${space.name}`;
    await api.create(`${path}/cronjobs`, { metadata: { name: 'often' }, spec });
    await eventually(
      'a Job of it succeeds',
      async () => {
        const { items } = await api.get<List<Job>>(`${path}/jobs`);
        return items.some(({ status }) => status?.succeeded === 1) ? true : undefined;
      },
      120_000,
    );
  });

  test('a native sidecar of a mesh keeps its place before those that it serves', async () => {
    await using space = await withSecret();
    const proxy = {
      ...shellContainer('istio-proxy', FOREVER),
      restartPolicy: 'Always',
      startupProbe: { exec: { command: ['true'] }, periodSeconds: 1 },
    };
    const migrate = shellContainer('migrate', READ);
    await space.create(
      shellPod('meshed', settings(space, { 'init-containers': 'migrate' }), FOREVER, {
        initContainers: [proxy, migrate],
      }),
    );
    const pod = await space.ready('meshed');
    const names = (pod.spec.initContainers ?? []).map(({ name }) => name);
    assert.deepEqual(names, ['istio-proxy', 'vouchsafe-agent', 'migrate']);
    assert.equal(await space.printed('meshed', 'migrate'), 'planted\n');
    const mounts = JSON.stringify(pod.spec.initContainers?.[0]?.['volumeMounts']);
    assert.ok(!mounts.includes('vouchsafe'), 'the proxy sees no files');
  });

  for (const mode of MODES) {
    test(`${mode}: init containers see the files`, async () => {
      await using space = await withSecret();
      const asked = settings(space, { mode, 'init-containers': 'all' });
      const initContainers = [shellContainer('one', READ), shellContainer('two', READ)];
      await space.create(shellPod('app', asked, `${READ}; ${FOREVER}`, { initContainers }));
      await space.ready('app');
      for (const name of ['one', 'two', 'app']) {
        assert.equal(await space.printed('app', name), 'planted\n', name);
      }
    });

    test(`${mode}: with an fsGroup the agent has a user of its own; its files are read, its memory is not`, async () => {
      await using space = await withSecret();
      const look = `cat /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n' | grep -c ^VOUCHSAFE_CONFIG=`;
      await space.create(
        shellPod(
          'app',
          settings(space, { mode }),
          `${READ}; ls -nL /vault/secrets/password; ${look}; ${FOREVER}`,
          {
            securityContext: { fsGroup: 2345, runAsUser: 1000 },
            shareProcessNamespace: true,
          },
        ),
      );
      await space.ready('app');
      const [content, line = '', agents] = (await space.printed('app', 'app', 3)).split('\n');
      assert.equal(content, 'planted');
      assert.match(line, /^-r--r----- +1 65528 +2345 /);
      assert.equal(agents, '0');
    });

    test(`${mode}: a namespace that enforces the restricted standard takes the pod as it is`, async () => {
      await using space = await withSecret({
        labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      });
      await assert.rejects(
        space.create({
          ...shellPod('root', {}, FOREVER),
          spec: { containers: [{ name: 'app', image: SHELL_IMAGE }] },
        }),
        /violates PodSecurity "restricted/,
      );
      const { warnings } = await api.create<Pod>(
        space.pods,
        shellPod('app', settings(space, { mode }), `${READ}; ${FOREVER}`),
      );
      assert.deepEqual(warnings, []);
      await space.ready('app');
      assert.equal(await space.printed('app', 'app'), 'planted\n');
    });
  }
});

function jobSpec(asked: Record<string, string>): object {
  return {
    backoffLimit: 0,
    template: {
      metadata: { annotations: annotations(asked) },
      spec: { restartPolicy: 'Never', containers: [shellContainer('app', READ)] },
    },
  };
}

suite('settings that no pod gets', { concurrency: true }, () => {
  const SET = annotations({ inject: 'true', 'secret-app': 'kvv2/app' });
  const labels = { app: 'web' };
  const template = (metadata: object, restartPolicy = 'Always'): object => ({
    metadata: { labels, ...metadata },
    spec: { restartPolicy, containers: [shellContainer('app', 'true')] },
  });
  const deployment = (metadata: object, inner: object): object => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', ...metadata },
    spec: { selector: { matchLabels: labels }, template: template(inner) },
  });
  const cronJob = (ofCronJob: object, ofJob: object, ofPod: object): object => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'web', ...ofCronJob },
    spec: {
      schedule: '* * * * *',
      jobTemplate: { metadata: ofJob, spec: { template: template(ofPod, 'Never') } },
    },
  });
  const set = { annotations: SET };
  const warned: Readonly<Record<string, object>> = {
    'annotations of a Deployment': deployment(set, {}),
    'another value than that of the template': deployment(
      { annotations: annotations({ inject: 'false' }) },
      set,
    ),
    'labels of a Deployment': deployment({ labels: annotations({ inject: 'true' }) }, {}),
    'labels of a pod template': deployment(
      {},
      { labels: { ...labels, ...annotations({ inject: 'true' }) } },
    ),
    'annotations of a CronJob': cronJob(set, {}, {}),
    'annotations of the Job of a CronJob': cronJob({}, set, {}),
  };
  const silent: Readonly<Record<string, object>> = {
    'annotations of a pod template': deployment({}, set),
    'the same annotations on both, as kustomize sets them': deployment(set, set),
    'annotations of the pod template of a CronJob': cronJob({}, {}, set),
    'no annotations': deployment({}, {}),
  };

  /** Fails with the text of a warning of the API server. */
  async function create(t: TestContext, object: object): Promise<void> {
    await using space = await Space.create();
    const file = join(tempDirectory(t), 'object.json');
    writeFileSync(file, JSON.stringify(object));
    const flags = ['--namespace', space.name, '--dry-run=server', '--warnings-as-errors'];
    await kubectl('create', ...flags, '-f', file);
  }

  for (const [name, object] of Object.entries(warned)) {
    test(`a warning by the API server: ${name}`, async (t) => {
      await assert.rejects(create(t, object), /'vouchsafe-misplaced'.*have no effect/s);
    });
  }
  for (const [name, object] of Object.entries(silent)) {
    test(`no warning: ${name}`, (t) => create(t, object));
  }
});
