/** What becomes of containers whose variables have changed: restarts where a value ends, or where they are asked for. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { logsIn } from './parts/csi-pods.ts';
import { api, containerStatus, eventually, FOREVER, shellContainer, Space } from './parts/suite.ts';
import {
  hashOf,
  skipVariables,
  startedWith,
  variablesContainer,
  variablesPod,
} from './parts/variables.ts';

const skip = skipVariables;
const PORT = 9102;
/** A user lives as long; its successor must be there by then. */
const USER_LIFE = { default_ttl: '30s', max_ttl: '60s' };
/** Time for a replacement, its restart, and the versions that the agent reads every half minute. */
const PATIENCE_MS = 120_000;

/** Variables as /status has them. */
interface Env {
  readonly version: number;
  readonly containers: readonly { readonly name: string; readonly version: number | null }[];
}

/** A pod with the application, and one with a shell that the tests look around with. */
async function start(space: Space, settings: Readonly<Record<string, string>>): Promise<void> {
  const containers = [variablesContainer('app'), shellContainer('shell', FOREVER)];
  const all = { ...space.login, refresh: '2s', 'revoke-grace': '3s', ...settings };
  await space.create(variablesPod('app', all, { containers }));
  await space.ready('app');
}

function sh(space: Space, line: string): Promise<string> {
  return space.exec('app', 'shell', 'sh', '-c', line);
}

async function envOf(space: Space): Promise<Env> {
  const text = await sh(space, `wget -qO- http://127.0.0.1:${PORT}/status`);
  return (JSON.parse(text) as { env: Env }).env; // by the agent
}

/** Waits until /status says that both containers run with the newest variables, or with older ones. */
async function untilVersions(space: Space, areNewest: boolean): Promise<Env> {
  return eventually(
    `/status has versions that are ${areNewest ? 'the newest' : 'older'}`,
    async () => {
      const found = await envOf(space);
      const fit = found.containers.filter(({ version }) =>
        areNewest ? version === found.version : version !== null && version < found.version,
      );
      return found.containers.length === 2 && fit.length === 2 ? found : undefined;
    },
    PATIENCE_MS,
  );
}

async function restarts(space: Space): Promise<readonly number[]> {
  const pod = await space.pod('app');
  return ['app', 'shell', 'vouchsafe-agent'].map((name) => containerStatus(pod, name).restartCount);
}

/** Waits until the application has been started with this value. */
async function untilStartedWith(space: Space, name: string, value: string): Promise<void> {
  await eventually(
    'the application has the new value',
    async () => ((await startedWith(space, 'app')).get(name) === hashOf(value) ? true : undefined),
    PATIENCE_MS,
  );
}

suite('changed variables', { skip, concurrency: true }, () => {
  for (const mode of ['native', 'pair']) {
    test(`${mode}: a PostgreSQL user that ends: containers restart with its successor, and what they have always works`, async (t) => {
      await using space = await Space.create();
      await space.grant(`path "${space.users}" { capabilities = ["read"] }`);
      await space.grantUsers(USER_LIFE);
      const login = `{{#with (secret "${space.users}")}}{{username}}:{{password}}{{/with}}`;
      await start(space, {
        mode,
        'template-login': login,
        'env-template-LOGIN': login,
        'env-USERNAME': `${space.users}#username`,
      });
      const first = await sh(space, 'printf %s "$LOGIN"');
      await untilVersions(space, true);
      const seen = await watch(space, first.trim());
      t.diagnostic(`${seen.asked} logins, ${seen.users.size} users`);
      assert.equal(seen.failed, 0);
      assert.ok(seen.asked > 2 && seen.users.size >= 2);
      await eventually('file and variables are of one user', async () => {
        const file = await sh(space, 'cat /vault/secrets/login');
        const found = await startedWith(space, 'app');
        const [username = ''] = file.split(':');
        return found.get('LOGIN') === hashOf(file) && found.get('USERNAME') === hashOf(username)
          ? true
          : undefined;
      });
      const before = await api.text(`${space.pods}/app/log?container=app&previous=true`);
      assert.match(before, /^LOGIN [0-9a-f]{64}$/m, 'it ended, and started again');
      await untilVersions(space, true);
      const metrics = await sh(space, `wget -qO- http://127.0.0.1:${PORT}/metrics`);
      const { version } = await envOf(space);
      assert.match(metrics, new RegExp(`^vouchsafe_env_version ${version}$`, 'm'));
      const [, , agent] = await restarts(space);
      assert.equal(agent, 0);
    });
  }

  test('restart: a value that does not end is in the restarted containers, each restarted once', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'first' });
    const asked = { 'env-PASSWORD': `${space.secret}#password`, 'env-on-change': 'restart' };
    await start(space, asked);
    const { version } = await untilVersions(space, true);
    await space.put({ password: 'second' });
    await untilStartedWith(space, 'PASSWORD', 'second');
    const now = await untilVersions(space, true);
    assert.ok(now.version > version);
    assert.equal(await sh(space, 'printf %s "$PASSWORD"'), 'second');
    assert.deepEqual(await restarts(space), [1, 1, 0]);
  });

  test('by default a value that does not end restarts nothing, and /status has the older version', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'first' });
    await start(space, { 'env-PASSWORD': `${space.secret}#password` });
    await untilVersions(space, true);
    await space.put({ password: 'second' });
    await untilVersions(space, false);
    assert.deepEqual(await restarts(space), [0, 0, 0]);
    assert.equal((await startedWith(space, 'app')).get('PASSWORD'), hashOf('first'));
    // The kubelet reads the files again at every start.
    await sh(space, 'kill -TERM $(pidof program)');
    await untilStartedWith(space, 'PASSWORD', 'second');
  });

  test('none: nothing restarts, and processes stay apart', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'first' });
    await start(space, {
      'env-PASSWORD': `${space.secret}#password`,
      'secret-password': `${space.secret}#password`,
      'env-on-change': 'none',
    });
    await space.put({ password: 'second' });
    await eventually('the file has changed', async () =>
      (await sh(space, 'cat /vault/secrets/password')) === 'second' ? true : undefined,
    );
    assert.deepEqual(await restarts(space), [0, 0, 0]);
    assert.equal((await startedWith(space, 'app')).get('PASSWORD'), hashOf('first'));
    assert.equal(await sh(space, 'printf %s "$PASSWORD"'), 'first');
    const pod = await space.pod('app');
    assert.equal(pod.spec['shareProcessNamespace'], undefined);
  });

  test('a secret that may be absent: its variable is there after the next start', async () => {
    await using space = await Space.create();
    await space.grantSecret({ other: 'x' });
    const asked = {
      'env-PASSWORD': `${space.secret}#password`,
      'env-optional-PASSWORD': 'true',
      'env-on-change': 'restart',
    };
    await start(space, asked);
    assert.ok(!(await startedWith(space, 'app')).has('PASSWORD'));
    await space.put({ password: 'present' });
    await untilStartedWith(space, 'PASSWORD', 'present');
    await space.put({ other: 'x' });
    await eventually(
      'the variable is gone',
      async () => ((await startedWith(space, 'app')).has('PASSWORD') ? undefined : true),
      PATIENCE_MS,
    );
  });
});

interface Seen {
  readonly asked: number;
  readonly failed: number;
  readonly users: ReadonlySet<string>;
}

/** Logs in as the container would, all the time, until it has the second user after the first one. */
async function watch(space: Space, first: string): Promise<Seen> {
  const users = new Set([first]);
  let [asked, failed] = [0, 0];
  await eventually(
    'the variables have another user',
    async () => {
      const login = await sh(space, 'printf %s "$LOGIN"'); // rejects while the container restarts
      users.add(login);
      asked += 1;
      // One that has been replaced meanwhile may be revoked.
      if (!(await logsIn(login)) && (await sh(space, 'printf %s "$LOGIN"')) === login) failed += 1;
      return users.size > 1 ? true : undefined;
    },
    PATIENCE_MS,
  );
  return { asked, failed, users };
}
