/** Who may have variables: references to files that are the agent's, references of the application's own, and old nodes. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { check } from './parts/checking.ts';
import { install } from './parts/installing.ts';
import type { Container, Pod } from './parts/objects.ts';
import { RELEASE } from './parts/release.ts';
import { annotations, api, eventually, shellContainer, shellPod, Space } from './parts/suite.ts';
import {
  hashOf,
  skipVariables,
  startedWith,
  variablesContainer,
  variablesPod,
} from './parts/variables.ts';

const skip = skipVariables;
const POLICY = `/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/${RELEASE}-injected`;
/** Volumes with files of the agent. */
const OWN_VOLUMES = ['vouchsafe-env', 'vouchsafe-state'];

async function withPassword(): Promise<Space> {
  const space = await Space.create();
  await space.grantSecret({ password: 'planted' });
  return space;
}

function settings(space: Space): Record<string, string> {
  return {
    ...space.login,
    'env-PASSWORD': `${space.secret}#password`,
    'env-on-change': 'none',
  };
}

/** A container with a variable from a file of a volume. */
function reading(volumeName: string, path = 'PASSWORD'): Container {
  const fileKeyRef = { volumeName, path, key: path };
  return { ...variablesContainer('reader'), env: [{ name: 'X', valueFrom: { fileKeyRef } }] };
}

suite('references to files', { skip, concurrency: true }, () => {
  test('the API server finds nothing to warn of in the policy', async () => {
    const { status } = await api.get<{ status?: { typeChecking?: object } }>(POLICY);
    assert.deepEqual(status?.typeChecking ?? {}, {});
  });

  for (const volume of OWN_VOLUMES) {
    test(`${volume}: a pod with a reference of its own is denied by the webhook`, async () => {
      await using space = await withPassword();
      const pod = variablesPod('app', settings(space), { containers: [reading(volume)] });
      await assert.rejects(
        api.create(`${space.pods}?dryRun=All`, pod),
        new RegExp(`"reader" has a variable from a file of "${volume}"`),
      );
    });
  }

  test('a copy of an injected pod, with one more reference, is denied by the policy', async () => {
    await using space = await withPassword();
    const path = `${space.pods}?dryRun=All`;
    const { object } = await api.create<Pod>(path, variablesPod('app', settings(space)));
    const copy = (more: readonly Container[]): object => ({
      // The webhook does not see it: the pod says that it wants none.
      metadata: {
        name: 'copy',
        annotations: { ...object.metadata.annotations, ...annotations({ inject: 'false' }) },
      },
      spec: { ...object.spec, containers: [...object.spec.containers, ...more] },
    });
    await api.create(path, copy([]));
    await assert.rejects(
      api.create(path, copy([reading('vouchsafe-state')])),
      /uses a volume that is Vouchsafe's own/,
    );
  });

  test('a container for debugging has none to files of the agent, but to those of the pod', async () => {
    await using space = await withPassword();
    const volumes = [{ name: 'mine', emptyDir: {} }];
    await space.create(variablesPod('app', settings(space), { volumes }));
    await space.ready('app');
    const path = `${space.pods}/app/ephemeralcontainers?dryRun=All`;
    const debug = (volume: string): object => {
      return { spec: { ephemeralContainers: [reading(volume)] } };
    };
    for (const volume of OWN_VOLUMES) {
      await assert.rejects(
        api.patch(path, debug(volume)),
        /an ephemeral container uses a volume that is Vouchsafe's own/,
      );
    }
    await api.patch(path, debug('mine'));
  });

  test('a reference to a volume of the pod itself stays beside the variables', async () => {
    await using space = await withPassword();
    const writer = {
      ...shellContainer('writer', `echo "OWN='written by the pod'" > /mine/OWN`),
      volumeMounts: [{ name: 'mine', mountPath: '/mine' }],
    };
    const fileKeyRef = { volumeName: 'mine', path: 'OWN', key: 'OWN' };
    const app = { ...variablesContainer('app'), env: [{ name: 'OWN', valueFrom: { fileKeyRef } }] };
    const volumes = [{ name: 'mine', emptyDir: {} }];
    const more = { containers: [app], initContainers: [writer], volumes };
    await space.create(variablesPod('app', settings(space), more));
    await space.ready('app');
    const found = await startedWith(space, 'app');
    assert.deepEqual(
      [found.get('OWN'), found.get('PASSWORD')],
      [hashOf('written by the pod'), hashOf('planted')],
    );
  });
});

suite('a cluster with an old node', { skip }, () => {
  const NODES = '/api/v1/nodes';
  const OLD = 'old-node';
  const DENIED = /may be scheduled to old-node \(v1\.34\.2\), whose kubelet is older than 1\.35/;

  before(async () => {
    // Without a label for its system no DaemonSet of the chart wants to be there.
    await api.create(NODES, {
      metadata: { name: OLD },
      spec: { unschedulable: true },
      status: { nodeInfo: { kubeletVersion: 'v1.34.2' } },
    });
    // New replicas of the webhook list the nodes at once.
    await install('--set-string=podAnnotations.nodes=listed');
  });

  after(async () => {
    await api.remove(`${NODES}/${OLD}`);
    await install();
  });

  test('a pod that may be scheduled to it is denied', async () => {
    await using space = await withPassword();
    const path = `${space.pods}?dryRun=All`;
    await eventually('the nodes are listed', async () => {
      await assert.rejects(api.create(path, variablesPod('app', settings(space))), DENIED);
      return true;
    });
    const files = { ...space.login, 'secret-password': `${space.secret}#password` };
    await api.create(path, shellPod('files', files, 'true'));
  });

  test('a pod that excludes it runs with its variables', async () => {
    await using space = await withPassword();
    const nodeSelector = { 'kubernetes.io/os': 'linux' };
    await space.create(variablesPod('app', settings(space), { nodeSelector }));
    await space.ready('app');
    assert.equal((await startedWith(space, 'app')).get('PASSWORD'), hashOf('planted'));
  });

  test('vouchsafe check warns of it', async () => {
    const { the } = await check([]);
    assert.equal(the('env')?.status, 'warning');
    assert.match(the('env')?.message ?? '', /^1 of 2 nodes are older .*: old-node \(v1\.34\.2\)$/);
  });
});
