/** Who may have what: denials by policy with the rule's name, and pods that ask for what is another's. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { HOOK_COMMAND } from '../../src/admission/start-gate.ts';
import type { Pod } from './parts/objects.ts';
import {
  annotations,
  api,
  containerStatus,
  eventually,
  FOREVER,
  processesOf,
  shellContainer,
  shellPod,
  Space,
  type KubernetesEvent,
} from './parts/suite.ts';

const TEAM = '/api/v1/namespaces/team-a';
/** What the policy `team-a` allows. */
const ALLOWED = {
  inject: 'true',
  'auth-mount': 'jwt-team-a',
  role: 'a-reader',
  'secret-app': 'secret/team-a/app',
};

suite('policy', () => {
  before(() => api.create('/api/v1/namespaces', { metadata: { name: 'team-a' } }));

  after(() => api.remove(TEAM));

  async function create(settings: Readonly<Record<string, string>>): Promise<void> {
    await api.create(`${TEAM}/pods?dryRun=All`, {
      ...shellPod('app', settings, 'true'),
      metadata: { name: 'app', annotations: annotations(settings) },
    });
  }

  test('what it allows is admitted', async () => {
    await eventually('there is a service account', () =>
      api.get<object>(`${TEAM}/serviceaccounts/default`),
    );
    await create(ALLOWED);
  });

  const refusals = {
    'another connection': { vault: 'other' },
    'another role': { role: 'admin' },
    'another mount': { 'auth-mount': 'jwt' },
    'another path': { 'secret-app': 'secret/team-b/app' },
    'another path in a template': {
      'template-app': '{{#with (secret "secret/team-b/app")}}{{x}}{{/with}}',
    },
    'a path that climbs': { 'secret-app': 'secret/team-a/../team-b/app' },
  };
  for (const [what, settings] of Object.entries(refusals)) {
    test(`${what} is denied`, async () => {
      await assert.rejects(create({ ...ALLOWED, ...settings }), (error: Error) => {
        assert.match(error.message, /denied the request/);
        if (what !== 'a path that climbs') assert.match(error.message, /team-a/);
        return true;
      });
    });
  }

  test('the owner of a denied pod gets an Event that names the policy', async () => {
    const labels = { app: 'app' };
    await api.create(`/apis/apps/v1/namespaces/team-a/replicasets`, {
      metadata: { name: 'refused' },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels, annotations: annotations({ ...ALLOWED, role: 'admin' }) },
          spec: shellPod('refused', {}, 'true').spec,
        },
      },
    });
    const path = `${TEAM}/events?fieldSelector=involvedObject.name%3Drefused`;
    const event = await eventually('there is an Event', async () => {
      const { items } = await api.get<{ items: readonly KubernetesEvent[] }>(path);
      return items.find(({ reason }) => reason === 'PolicyRefused');
    });
    assert.equal(event.type, 'Warning');
    assert.match(event.message, /team-a/);
  });
});

suite('what is ours in a pod', { concurrency: true }, () => {
  const OWN_VOLUMES = [
    'vouchsafe-state',
    'vouchsafe-token',
    'vouchsafe-spiffe',
    'vouchsafe-secrets',
  ];

  function mounting(volume: string): object {
    const mount = { name: volume, mountPath: '/steal' };
    return { ...shellContainer('thief', 'true'), volumeMounts: [mount] };
  }

  for (const list of ['containers', 'initContainers'] as const) {
    test(`no other container of ${list} mounts it`, async () => {
      await using space = await Space.create();
      const pod = shellPod('app', { ...space.login, 'secret-app': space.secret }, 'true');
      const path = `/api/v1/namespaces/${space.name}/pods?dryRun=All`;
      await eventually('there is a service account', () =>
        api.get<object>(`/api/v1/namespaces/${space.name}/serviceaccounts/default`),
      );
      await api.create(path, pod);
      for (const volume of OWN_VOLUMES) {
        const spec = { ...pod.spec, [list]: [...(pod.spec[list] ?? []), mounting(volume)] };
        await assert.rejects(api.create(path, { ...pod, spec }), /"thief" mounts "vouchsafe-/);
      }
    });
  }

  test('a pod that only looks injected is denied by the policy of the API server', async () => {
    await using space = await Space.create();
    await eventually('there is a service account', () =>
      api.get<object>(`/api/v1/namespaces/${space.name}/serviceaccounts/default`),
    );
    const path = `/api/v1/namespaces/${space.name}/pods?dryRun=All`;
    // The webhook does not see it: the pod says that it wants none.
    const marks = { inject: 'false', status: 'injected', injected: '{}' };
    const pod = shellPod('app', marks, 'true');
    const env = [{ name: 'VOUCHSAFE_CONFIG', value: '{}' }];
    const forged = { ...shellContainer('vouchsafe-agent', 'true'), env };
    const forgedSpec = { ...pod.spec, containers: [...pod.spec.containers, forged] };
    await assert.rejects(
      api.create(path, { ...pod, spec: forgedSpec }),
      /differs from what the webhook writes/,
    );
    const agent = {
      name: 'vouchsafe-agent',
      image: forged.image,
      args: ['agent'],
      env,
      securityContext: {
        runAsNonRoot: true,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      },
    };
    const volumes = [{ name: 'vouchsafe-state', emptyDir: {} }];
    const containers = [...pod.spec.containers, agent];
    await api.create(path, { ...pod, spec: { ...pod.spec, containers } });
    await assert.rejects(
      api.create(path, {
        ...pod,
        spec: { ...pod.spec, volumes, containers: [...containers, mounting('vouchsafe-state')] },
      }),
      /uses a volume that is Vouchsafe's own/,
    );
    const inits = (lifecycle: object): object => ({
      ...pod,
      spec: { ...pod.spec, initContainers: [{ ...agent, restartPolicy: 'Always', lifecycle }] },
    });
    const postStart = { exec: { command: HOOK_COMMAND } };
    await api.create(path, inits({ postStart }));
    for (const hook of [
      { postStart: { exec: { command: [...HOOK_COMMAND, '--more'] } } },
      { postStart: { exec: { command: ['sh', '-c', 'true'] } } },
      { postStart: { httpGet: { path: '/', port: 80 } } },
      { postStart, preStop: { exec: { command: HOOK_COMMAND } } },
      { preStop: { sleep: { seconds: 1 } } },
    ])
      await assert.rejects(api.create(path, inits(hook)), /differs from what the webhook writes/);
    const twice = { ...agent, env: [...env, { name: 'VOUCHSAFE_CONFIG', value: '{"evil":1}' }] };
    await assert.rejects(
      api.create(path, {
        ...pod,
        spec: { ...pod.spec, containers: [pod.spec.containers[0], twice] },
      }),
      /differs from what the webhook writes/,
    );
  });

  test('a container for debugging cannot mount it, and may come without', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'planted' });
    const settings = { ...space.login, 'secret-password': `${space.secret}#password` };
    await space.create(shellPod('app', settings, FOREVER));
    const { spec } = await space.ready('app');
    const path = `/api/v1/namespaces/${space.name}/pods/app/ephemeralcontainers?dryRun=All`;
    const debug = (more: object): object => ({
      spec: { ephemeralContainers: [{ ...shellContainer('debug', 'true'), ...more }] },
    });
    // The API server itself rejects a volume that the pod does not have.
    const volumes = spec['volumes'] as readonly { readonly name: string }[]; // the API server's own
    const present = volumes.map(({ name }) => name).filter((name) => OWN_VOLUMES.includes(name));
    assert.ok(present.includes('vouchsafe-state') && present.includes('vouchsafe-secrets'));
    for (const volume of present) {
      const volumeMounts = [{ name: volume, mountPath: '/steal', readOnly: true }];
      await assert.rejects(
        api.patch(path, debug({ volumeMounts })),
        /an ephemeral container uses a volume that is Vouchsafe's own/,
      );
    }
    await api.patch(path, debug({}));
  });
});

suite('one pod and the secrets of another', { concurrency: true }, () => {
  /** A pod of `thief` whose annotations ask for what is `owner`'s. */
  async function asks(
    settings: (owner: Space) => Readonly<Record<string, string>>,
    why: RegExp,
  ): Promise<void> {
    await using owner = await Space.create();
    await owner.grantSecret({ password: 'planted' });
    await using thief = await Space.create();
    await thief.grantSecret({ password: 'own' });
    const asked = {
      ...thief.login,
      'init-deadline': '4s',
      'secret-password': `${owner.secret}#password`,
      ...settings(owner),
    };
    await thief.create(shellPod('thief', asked, FOREVER, { restartPolicy: 'Never' }));
    const pod = await thief.until('thief', (one) => endOf(one) !== undefined);
    assert.match(endOf(pod) ?? '', why);
    assert.equal(await owner.tokens(), 0);
    assert.ok(!JSON.stringify(pod).includes('planted'));
  }

  const agent = 'vouchsafe-agent';
  const endOf = (pod: Pod): string | undefined => {
    const { state, lastState } = containerStatus(pod, agent);
    return (state?.terminated ?? lastState?.terminated)?.message;
  };

  test('a path of the other, with its own role: Vault rejects it', () =>
    asks(() => ({}), /permission denied|403/i));

  test('the mount and role of the other: Vault rejects the identity', () =>
    asks((owner) => ({ 'auth-mount': owner.mount }), /login/i));

  test('the SPIFFE ID of the other: the Workload API has no such SVID for it', () =>
    asks(
      (owner) => ({
        'auth-mount': owner.mount,
        'spiffe-id': `spiffe://example.org/ns/${owner.name}/sa/default`,
      }),
      /spiffe:\/\/example\.org\/ns\/|no identity|SVID/,
    ));

  test('the agent has no token for the API server', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'planted' });
    const settings = { ...space.login, 'secret-password': `${space.secret}#password` };
    await space.create(shellPod('app', settings, FOREVER));
    const pod = await space.ready('app');
    const [own] = processesOf(pod, agent);
    const seen = readdirSync(`/proc/${own ?? 0}/root/var/run/secrets/kubernetes.io/serviceaccount`);
    assert.deepEqual(seen, []);
  });

  test('an application that looks around finds no token, no SVID and no key of the agent', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'planted' });
    const settings = { ...space.login, 'secret-password': `${space.secret}#password` };
    await space.create(shellPod('app', settings, FOREVER));
    await space.ready('app');
    const shapes = 'hv[sbr]\\.[A-Za-z0-9_-]{8}|eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8}';
    const find = `grep -rlE "${shapes}" /run /vault /tmp /etc 2>/dev/null; true`;
    const found = await space.exec('app', 'app', 'sh', '-c', find);
    const own = found.split('\n').filter((path) => !path.includes('kubernetes.io/serviceaccount'));
    assert.deepEqual(own.filter(Boolean), []);
    assert.equal((await space.exec('app', 'app', 'ls', '/vault/secrets')).trim(), 'password');
  });
});
