/** Secrets in environment variables, as the kubelet reads them: in images without a shell, and in no object of the API. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { suite, test } from 'node:test';
import { envFile, MAX_VALUE_BYTES } from '../../src/agent/env-file.ts';
import { sampled } from '../helpers/arbitraries.ts';
import { anyValue, GOOD_VALUES } from '../helpers/variable-values.ts';
import type { Pod } from './parts/objects.ts';
import { annotations, api, containerStatus, eventually, kubectl, Space } from './parts/suite.ts';
import {
  hashOf,
  skipVariables,
  startedWith,
  variablesContainer,
  variablesPod,
} from './parts/variables.ts';

const skip = skipVariables;
const AGENT = 'vouchsafe-agent';

/** What the pods of the first suite ask for; they keep it. */
function settings(space: Space, more: Record<string, string> = {}): Record<string, string> {
  return {
    ...space.login,
    'env-PASSWORD': `${space.secret}#password`,
    'env-template-URL': `{{#with (secret "${space.secret}")}}app://{{password}}@$(HOME){{/with}}`,
    'env-ABSENT': `${space.secret}-absent#password`,
    'env-optional-ABSENT': 'true',
    'env-on-change': 'none',
    ...more,
  };
}

async function withPassword(): Promise<readonly [Space, string]> {
  const space = await Space.create();
  const password = `planted-${randomUUID()}`;
  await space.grantSecret({ password });
  return [space, password];
}

function assertVariables(found: ReadonlyMap<string, string>, password: string): void {
  assert.equal(found.get('PASSWORD'), hashOf(password));
  assert.equal(found.get('URL'), hashOf(`app://${password}@$(HOME)`), 'nothing is expanded in it');
  assert.ok(!found.has('ABSENT'));
}

suite('variables of an application without a shell', { skip, concurrency: true }, () => {
  for (const mode of ['native', 'pair', 'init']) {
    test(`${mode}: they are there at its first start, and in its init containers`, async () => {
      const [created, password] = await withPassword();
      await using space = created;
      const app = {
        ...variablesContainer('app'),
        args: ['stay'],
        env: [{ name: 'COPY', value: 'of $(PASSWORD)' }],
      };
      const asked = settings(space, { mode, 'init-containers': 'early' });
      const more = { containers: [app], initContainers: [variablesContainer('early', false)] };
      await space.create(variablesPod('app', asked, more));
      const pod = await space.ready('app');
      assert.equal(containerStatus(pod, 'app').restartCount, 0);
      for (const container of ['early', 'app']) {
        assertVariables(await startedWith(space, 'app', container), password);
      }
      const { get } = await startedWith(space, 'app').then((map) => ({ get: map.get.bind(map) }));
      assert.equal(get('COPY'), hashOf(`of ${password}`));
      const failed = (await space.events('app')).filter(({ reason }) => reason === 'Failed');
      assert.deepEqual(failed, []);
    });
  }

  for (const mode of ['native', 'init']) {
    test(`${mode}: a Job has them, and completes`, async () => {
      const [created, password] = await withPassword();
      await using space = created;
      const jobs = `/apis/batch/v1/namespaces/${space.name}/jobs`;
      const { spec } = variablesPod('app', {});
      const template = {
        metadata: { annotations: annotations(settings(space, { mode })) },
        spec: { ...spec, restartPolicy: 'Never', containers: [variablesContainer('app', false)] },
      };
      await api.create(jobs, { metadata: { name: 'once' }, spec: { backoffLimit: 0, template } });
      await eventually('the Job succeeds', async () => {
        const { status } = await api.get<{ status: { succeeded?: number } }>(`${jobs}/once`);
        return status.succeeded === 1 ? true : undefined;
      });
      const [pod] = (await api.get<{ items: readonly Pod[] }>(space.pods)).items;
      assertVariables(await startedWith(space, pod?.metadata.name ?? ''), password);
    });
  }

  test('no object of the API and no log has a value', async () => {
    const [created, password] = await withPassword();
    await using space = created;
    await space.create(variablesPod('app', settings(space)));
    await space.ready('app');
    assertVariables(await startedWith(space, 'app'), password);
    const kinds = (await kubectl('api-resources', '--verbs=list', '--output=name')).trimEnd();
    const objects = await kubectl(
      ...['get', kinds.split('\n').join(), '--all-namespaces', '--output=json'],
    );
    assert.ok(objects.includes(space.name) && objects.includes('fileKeyRef'));
    const logs = await Promise.all([AGENT, 'app'].map((name) => space.logs('app', name)));
    for (const text of [objects, ...logs]) {
      assert.ok(!text.includes(password));
      assert.ok(!text.includes(Buffer.from(password).toString('base64')));
    }
  });
});

suite('values of variables', { skip, concurrency: 3 }, () => {
  const PER_POD = 60;

  /** Starts a pod with these values in variables, and compares what it has. */
  async function arrive(values: readonly string[]): Promise<void> {
    await using space = await Space.create();
    const named = values.map((value, at) => [`V${at}`, value] as const);
    await space.grantSecret(Object.fromEntries(named));
    const asked = named.map(([name]) => [`env-${name}`, `${space.secret}#${name}`] as const);
    const all = { ...space.login, 'env-on-change': 'none', ...Object.fromEntries(asked) };
    await space.create(variablesPod('app', all));
    await space.ready('app');
    const found = await startedWith(space, 'app');
    const different = named.filter(([name, value]) => found.get(name) !== hashOf(value));
    assert.deepEqual(different, []);
  }

  test('values that are known to be unusual arrive as they are', () => arrive(GOOD_VALUES));

  test('as much as fits arrives', () =>
    arrive(Array.from({ length: 31 }, (_, at) => `${at}${'x'.repeat(MAX_VALUE_BYTES - 2)}`)));

  const generated = [...new Set(sampled(anyValue, 600))].filter(isAccepted).slice(0, 4 * PER_POD);
  for (let first = 0; first < generated.length; first += PER_POD) {
    test(`generated values arrive as they are, from ${first}`, () =>
      arrive(generated.slice(first, first + PER_POD)));
  }

  /** Whether the agent writes the value. */
  function isAccepted(value: string): boolean {
    try {
      return envFile('V', value).byteLength > 0;
    } catch {
      return false;
    }
  }

  const rejected: Readonly<Record<string, readonly [value: string, why: RegExp]>> = {
    'a single quote': [`planted' value`, /single quote/],
    'nothing in it': ['', /is empty/],
    'a line ending of Windows': ['planted\r\nvalue', /carriage return/],
    'a NUL character': ['planted\0value', /NUL/],
    'too many bytes': ['planted'.repeat(5000), /has 35000 bytes; the maximum is 32768/],
  };
  for (const mode of ['native', 'pair']) {
    for (const [what, [value, why]] of Object.entries(rejected)) {
      test(`${mode}: ${what} stops the agent, which names the variable, and no application starts`, async () => {
        await using space = await Space.create();
        await space.grantSecret({ bad: value, good: 'fine' });
        const asked = {
          ...space.login,
          mode,
          'env-GOOD': `${space.secret}#good`,
          'env-BAD': `${space.secret}#bad`,
          'env-on-change': 'none',
        };
        await space.create(variablesPod('app', asked, { restartPolicy: 'Never' }));
        const pod = await space.until('app', (one) => reasonOf(one) !== undefined);
        const reason = reasonOf(pod) ?? '';
        assert.match(reason, /ERR_ENV_VALUE.*the variable BAD /s);
        assert.match(reason, why);
        const { state, restartCount } = containerStatus(pod, 'app');
        assert.ok(state?.waiting !== undefined && restartCount === 0, 'it never started');
        const seen = JSON.stringify([pod, await space.events('app')]);
        assert.ok(!seen.includes('planted') && !seen.includes('parse env file'));
      });
    }
  }

  /** Why the agent has ended. */
  function reasonOf(pod: Pod): string | undefined {
    const agents = (pod.status?.initContainerStatuses ?? []).filter(({ name }) =>
      ['vouchsafe-agent', 'vouchsafe-init'].includes(name),
    );
    const ends = agents.map(({ state, lastState }) => state?.terminated ?? lastState?.terminated);
    return ends.find((end) => end?.message !== undefined && end.message !== '')?.message;
  }
});
