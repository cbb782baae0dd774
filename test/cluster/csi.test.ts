/** The CSI driver under a real kubelet: what pods get, what is reported to them, and what no fault may cost. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  changes,
  handWritten,
  logsIn,
  READ,
  revoked,
  settings,
  waitsBecause,
  withSecret,
} from './parts/csi-pods.ts';
import { theDriver } from './parts/driver.ts';
import type { List, Pod } from './parts/objects.ts';
import {
  annotations,
  api,
  eventually,
  FOREVER,
  processesOf,
  shellContainer,
  shellPod,
} from './parts/suite.ts';

suite('pods with a CSI volume', { concurrency: true }, () => {
  test('mode csi: files before the first line, no container, one login; nothing is left', async () => {
    await using space = await withSecret();
    await space.create(shellPod('app', settings(space), READ));
    const pod = await space.ready('app');
    assert.equal(await space.printed('app', 'app'), 'first\n', 'it was there at the first line');
    assert.equal(pod.spec.initContainers, undefined);
    assert.equal(pod.spec.containers.length, 1);
    await changes(space, 'app', 'second');
    assert.equal(await space.logins(), 1);
    await space.remove('app');
    await revoked(space);
  });

  test('a volume in a hand-written pod', async () => {
    await using space = await withSecret();
    const { inject: _, mode: __, ...attributes } = settings(space);
    await space.create(handWritten('app', attributes, READ));
    await space.ready('app');
    assert.equal(await space.printed('app', 'app'), 'first\n');
  });

  test('a PostgreSQL user is renewed, then replaced: it works all the time', async (t) => {
    await using space = await withSecret();
    await space.grantUsers({ default_ttl: '10s', max_ttl: '25s' });
    const asked = settings(space, {
      'template-login': `{{#with (secret "${space.users}")}}{{username}}:{{password}}{{/with}}`,
      'revoke-grace': '3s',
    });
    await space.create(shellPod('app', asked, FOREVER));
    await space.ready('app');
    const seen = new Set<string>();
    const end = performance.now() + 45_000;
    while (performance.now() < end) {
      const login = await space.exec('app', 'app', 'cat', '/vault/secrets/login');
      seen.add(login);
      assert.ok(await logsIn(login), `${login.split(':')[0] ?? ''} does not log in`);
      await delay(500);
    }
    t.diagnostic(`${seen.size} users`);
    assert.ok(seen.size >= 2 && seen.size <= 4, `${seen.size} users`);
    assert.equal(await space.logins(), 1, 'still one login');
    await space.remove('app');
    await revoked(space);
  });

  test('a namespace that enforces the restricted standard takes the pod as it is', async () => {
    await using space = await withSecret({
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    });
    const { warnings } = await api.create<Pod>(space.pods, shellPod('app', settings(space), READ));
    assert.deepEqual(warnings, []);
    await space.ready('app');
  });

  test('a Job completes, init containers see the files', async () => {
    await using space = await withSecret();
    const jobs = `/apis/batch/v1/namespaces/${space.name}/jobs`;
    const read = 'cat /vault/secrets/password; echo';
    await api.create(jobs, {
      metadata: { name: 'once' },
      spec: {
        backoffLimit: 0,
        template: {
          metadata: { annotations: annotations(settings(space, { 'init-containers': 'all' })) },
          spec: {
            restartPolicy: 'Never',
            initContainers: [shellContainer('before', read)],
            containers: [shellContainer('app', read)],
          },
        },
      },
    });
    await eventually('the Job succeeds', async () => {
      const { status } = await api.get<{ status?: { succeeded?: number } }>(`${jobs}/once`);
      return status?.succeeded === 1 ? true : undefined;
    });
    const { items } = await api.get<List<Pod>>(space.pods);
    const name = items[0]?.metadata.name ?? '';
    assert.equal(await space.printed(name, 'before'), 'first\n');
    assert.equal(await space.printed(name, 'app'), 'first\n');
  });

  test('with an fsGroup only that group can read the files', async () => {
    await using space = await withSecret();
    const look = `ls -nL /vault/secrets/password; ${READ}`;
    await space.create(
      shellPod('app', settings(space), look, { securityContext: { fsGroup: 2345 } }),
    );
    await space.ready('app');
    const [line = '', content] = (await space.printed('app', 'app', 2)).split('\n');
    assert.match(line, /^-r--r----- +1 0 +2345 /);
    assert.equal(content, 'first', 'the user of the image is none of root');
  });

  test('unsupported settings are denied with the reason', async () => {
    await using space = await withSecret();
    await assert.rejects(
      space.create(shellPod('app', settings(space, { 'on-change': 'signal:HUP@app' }), READ)),
      /on-change: .*no agent runs in the pod/,
    );
  });

  test('a pod that is entitled to nothing waits, and its events say why', async () => {
    await using space = await withSecret();
    await space.create(shellPod('app', settings(space, { role: 'nobody' }), READ));
    await waitsBecause(space, 'app', /role "nobody"/);
    assert.equal(await space.tokens(), 0);
  });

  test('an audience for which the kubelet sends no token is rejected with the remedy', async () => {
    await using space = await withSecret();
    const { inject: _, mode: __, ...attributes } = settings(space, { audience: 'nowhere' });
    await space.create(handWritten('app', attributes, READ));
    await waitsBecause(space, 'app', /audience.*nowhere|nowhere.*audience/i);
  });

  test('a token for another audience: Vault rejects it, and the events say so', async () => {
    await using space = await withSecret();
    await space.create(shellPod('app', settings(space, { audience: 'other' }), READ));
    await waitsBecause(space, 'app', /audience/i);
  });

  test('forged attributes do not make it another pod', async () => {
    await using owner = await withSecret();
    await using thief = await withSecret();
    const { inject: _, mode: __, ...attributes } = settings(owner);
    const forged = {
      ...attributes,
      'csi.storage.k8s.io/pod.namespace': owner.name,
      'csi.storage.k8s.io/serviceAccount.name': 'default',
      'csi.storage.k8s.io/serviceAccount.tokens': '{"vault":{"token":"forged"}}',
    };
    await thief.create(handWritten('thief', forged, READ));
    await waitsBecause(thief, 'thief', /ERR_VAULT_LOGIN_REFUSED/);
    assert.equal(await owner.tokens(), 0);
  });

  test('the driver has no capability and is under seccomp, its mounter can mount and nothing more', async () => {
    const pod = await theDriver();
    const of = (container: string): readonly string[] =>
      processesOf(pod, container).map((pid) => readFileSync(`/proc/${pid}/status`, 'utf8'));
    const drivers = of('driver');
    assert.ok(drivers.length > 1, 'the driver and what renders for it');
    for (const status of drivers) {
      assert.match(status, /^CapEff:\t0{16}$/m);
      assert.match(status, /^CapBnd:\t0{16}$/m);
      assert.match(status, /^NoNewPrivs:\t1$/m);
      assert.match(status, /^Seccomp:\t2$/m);
    }
    const [mounter = '', ...more] = of('mounter');
    assert.equal(more.length, 0);
    // CAP_SYS_ADMIN
    assert.match(mounter, /^CapBnd:\t0{10}200000$/m);
    assert.match(mounter, /^NoNewPrivs:\t1$/m);
  });

  test('a volume that is too small for its files says so', async () => {
    await using space = await withSecret();
    await space.put({ password: 'x'.repeat(200_000) });
    await space.create(shellPod('app', settings(space, { 'volume-size': '64Ki' }), READ));
    await waitsBecause(space, 'app', /ERR_OUTPUT_FULL/);
  });
});
