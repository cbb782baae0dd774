import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inject, readPod } from '../../../src/admission/index.ts';
import { runChecks } from '../../../src/check/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { fieldsOf } from '../../../src/core/index.ts';
import type { KubernetesApi } from '../../../src/kubernetes/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import type { Reply, ScriptedRequest } from '../../helpers/scripted-http.ts';
import type { Fields } from '../cli/harness.ts';
import {
  AT,
  check,
  create,
  createdPod,
  refusal,
  registration,
  type Checked,
  type Objects,
} from './harness.ts';

const POD = '/api/v1/namespaces/shop/pods/vouchsafe-check-1';
const EVENTS = '/api/v1/namespaces/shop/events';

function probe(
  t: Parameters<typeof check>[0],
  objects: Objects,
  write: (request: ScriptedRequest) => Reply = create,
  words: readonly string[] = [],
): Promise<Checked> {
  return check(t, { objects, write }, ['--probe', 'shop/web', ...words]);
}

/** The pod, as the kubelet reports its agent. */
function reported(state: Fields, status: Fields = {}): Objects {
  return {
    [POD]: { status: { initContainerStatuses: [{ name: 'vouchsafe-init', state }], ...status } },
  };
}

const DONE = reported({ terminated: { exitCode: 0 } });

/** What was sent for good. */
function writes({ requests }: Checked): readonly ScriptedRequest[] {
  return requests.filter(({ method, path }) => method !== 'GET' && !path.includes('dryRun'));
}

suite('the probe', () => {
  test('is not started unless requested', async (t) => {
    const checked = await check(t);
    assert.deepEqual(writes(checked), []);
    assert.ok(checked.findings.every((one) => one.check !== 'probe'));
  });

  test('logs in and is deleted', async (t) => {
    const words = ['--setting', 'role=web', '--setting', 'audience=a=b'];
    const checked = await probe(t, DONE, create, words);
    assert.equal(checked.the('probe').status, 'ok');
    const [made, ...rest] = writes(checked);
    assert.deepEqual(
      rest.map(({ method, path }) => `${method} ${path}`),
      [`DELETE ${POD}?gracePeriodSeconds=0`],
    );
    const { metadata, spec } = readPod(made?.json);
    assert.equal(metadata.annotations?.['vouchsafe.dev/role'], 'web');
    assert.equal(metadata.annotations['vouchsafe.dev/audience'], 'a=b');
    assert.equal(metadata.annotations['vouchsafe.dev/mode'], 'init');
    assert.equal(spec['serviceAccountName'], 'web');
    assert.equal(spec['activeDeadlineSeconds'], 120, 'ends even if nobody deletes it');
    assert.deepEqual(fieldsOf(spec.containers[0])['command'], ['/vouchsafe/node', '--version']);
  });

  test('in mode csi has a volume, and its own container ends', async (t) => {
    const installation = parseInstallation({ csi: { enabled: true } });
    const made = (request: ScriptedRequest): Reply => {
      if (request.method === 'DELETE') return create(request);
      const input = { namespace: 'shop', installation, checkTemplate };
      const { pod } = inject({ ...input, pod: readPod(request.json) });
      return {
        status: 201,
        body: { ...pod, metadata: { ...pod.metadata, name: 'vouchsafe-check-1' } },
      };
    };
    const values = { data: { 'values.yaml': '{ csi: { enabled: true } }' } };
    const ended = { name: 'check', state: { terminated: { exitCode: 0 } } };
    const objects = {
      [AT.values]: values,
      [POD]: { status: { phase: 'Succeeded', containerStatuses: [ended] } },
    };
    const checked = await probe(t, objects, made, ['--setting', 'mode=csi']);
    assert.equal(checked.the('probe').status, 'ok');
    const { spec } = readPod(writes(checked)[0]?.json);
    assert.equal(spec.initContainers, undefined);
    const waits = { reason: 'ContainerCreating' };
    const waiting = { name: 'check', state: { waiting: waits } };
    const message = 'MountVolume.SetUp failed: ERR_VAULT_LOGIN_REFUSED';
    const stuck = await probe(
      t,
      {
        ...objects,
        [POD]: { status: { phase: 'Pending', containerStatuses: [waiting] } },
        [EVENTS]: { items: [{ metadata: {}, message }] },
      },
      made,
      ['--setting', 'mode=csi'],
    );
    assert.equal(stuck.the('probe').message, `the pod did not end within 120 s: ${message}`);
  });

  test('fails with the message of the agent', async (t) => {
    const message = 'ERR_VAULT_LOGIN_REFUSED: role web: unknown role';
    const checked = await probe(t, reported({ terminated: { exitCode: 13, message } }));
    assert.equal(checked.code, 22);
    assert.equal(checked.the('probe').message, `the agent in the pod failed: ${message}`);
    assert.equal(writes(checked).length, 2, 'deleted');
  });

  test('that never starts reports the warning of the kubelet, and is deleted', async (t) => {
    const waiting = { reason: 'PodInitializing', message: 'wait' };
    const message = 'MountVolume.SetUp failed: driver csi.spiffe.io not found';
    const events = { [EVENTS]: { items: [{ message: 'older' }, { message }] } };
    const result = await probe(t, { ...reported({ waiting }), ...events });
    assert.equal(result.the('probe').message, `the pod did not end within 120 s: ${message}`);
    assert.equal(writes(result).length, 2, 'deleted');
    const silent = await probe(t, { ...reported({ waiting }), [EVENTS]: 403 });
    assert.match(silent.the('probe').message, /in 120 s: PodInitializing wait$/);
  });

  const ends: readonly (readonly [string, Objects, RegExp])[] = [
    ['was ended by the cluster', reported({}, { phase: 'Failed', reason: 'Evicted' }), /Evicted/],
    ['was deleted by somebody', { [POD]: 404 }, /was deleted before/],
    ['may not be looked at', { [POD]: 403 }, /requires the right to get pods in namespace shop/],
    ['was lost out of sight', { [POD]: 500 }, /HTTP 500/],
  ];
  for (const [name, objects, message] of ends) {
    test(`that ${name}`, async (t) => {
      const checked = await probe(t, objects);
      assert.match(checked.the('probe').message, message);
      assert.equal(writes(checked).length, 2, 'deleted');
    });
  }

  const refused: readonly (readonly [string, Reply, string, RegExp])[] = [
    [
      'for lack of a right',
      refusal(403, 'cannot create resource "pods"'),
      'unknown',
      /requires the right to create/,
    ],
    ['by the webhook', refusal(403, 'policy team-a allows roles a'), 'failure', /team-a allows/],
    ['for lack of its account', refusal(403, 'serviceaccount "web" not found'), 'failure', /"web"/],
    ['without words', { status: 500 }, 'failure', /HTTP 500/],
  ];
  for (const [name, reply, status, message] of refused) {
    test(`rejected ${name}: ${status}`, async (t) => {
      const checked = await probe(t, DONE, (request) =>
        request.path.includes('dryRun') ? create(request) : reply,
      );
      assert.equal(checked.the('probe').status, status);
      assert.match(checked.the('probe').message, message);
      assert.equal(writes(checked).length, 1, 'there is nothing to delete');
    });
  }

  test('that was not injected is deleted at once', async (t) => {
    const plain: Reply = { status: 201, body: { metadata: { name: 'vouchsafe-check-1' } } };
    const checked = await probe(t, DONE, (request) =>
      request.method === 'POST' && !request.path.includes('dryRun') ? plain : create(request),
    );
    assert.match(checked.the('probe').message, /was not injected/);
    assert.equal(writes(checked).at(-1)?.method, 'DELETE');
  });

  test('that cannot be deleted is named', async (t) => {
    const checked = await probe(t, DONE, (request) =>
      request.method === 'DELETE' ? refusal(403, 'no') : create(request),
    );
    assert.equal(checked.the('probe').status, 'warning');
    assert.match(checked.the('probe').remedy ?? '', /delete pod vouchsafe-check-1$/);
  });

  test('that is interrupted is deleted, too', async () => {
    const stop = new AbortController();
    const sent: string[] = [];
    const send: KubernetesApi['send'] = ({ method, path, body }, signal) => {
      sent.push(`${method} ${path}`);
      if (sent.at(-1) === `GET ${POD}`) stop.abort();
      if (signal.aborted) return Promise.reject(stop.signal.reason as Error); // an AbortError
      const items = path === AT.webhooks ? [registration()] : [];
      return Promise.resolve(method === 'POST' ? createdPod(body) : { metadata: {}, items });
    };
    const options = {
      api: { send, watch: () => assert.fail('nothing is watched') },
      clock: new FakeClock(),
      checkTemplate,
      probe: { namespace: 'shop', serviceAccount: undefined, settings: {} },
    };
    const all = async (): Promise<void> => {
      for await (const { group } of runChecks(options, stop.signal)) assert.notEqual(group, 'pods');
    };
    await assert.rejects(all(), { name: 'AbortError' });
    assert.equal(sent.at(-1), `DELETE ${POD}`);
  });
});
