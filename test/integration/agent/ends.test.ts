/** Answers of secrets engines that tell their own end, from a scripted Vault to the files and metrics of a real agent process. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AgentBench, type RunningAgent } from '../../helpers/agent-process.ts';
import {
  startScripted,
  type Reply,
  type ScriptedRequest,
  type ScriptedServer,
} from '../../helpers/scripted-http.ts';

const LIFE_S = 6;
const LOOK_MS = 100;

/** What each engine answers, and the fields that a file shows beside the end. */
const ENGINES: Readonly<Record<string, (endMs: number) => object>> = {
  'oidc/token/web': () => ({ token: 'opaque', client_id: 'c', ttl: LIFE_S }),
  'gcp/token/web': (endMs) => ({ token: 'ya29', expires_at_seconds: Math.floor(endMs / 1000) }),
  'azure/static-creds/app': (endMs) => ({
    client_secret: 's',
    expiration: new Date(endMs).toISOString(),
  }),
  'oauth2/creds/app': (endMs) => ({
    access_token: 'a',
    expire_time: new Date(endMs).toISOString(),
  }),
  'plugin/creds/app': (endMs) => ({ password: 'p', validUntil: String(Math.floor(endMs / 1000)) }),
};

function jwt(endMs: number, jti = ''): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part({ exp: Math.floor(endMs / 1000), jti })}.x`;
}

/** A Vault that logs in, and answers with values that end after a while; undefined for a path that does not exist. */
async function startVault(
  t: TestContext,
  answer: (path: string, request: ScriptedRequest) => object | undefined,
): Promise<ScriptedServer> {
  return startScripted(t, (request): Reply => {
    const { path } = request;
    if (path.endsWith('/login')) {
      const auth = { client_token: 'hvs.planted', lease_duration: 3600, renewable: true };
      return { body: { auth: { ...auth, accessor: 'a', policies: [], token_type: 'service' } } };
    }
    const mount = /^\/v1\/sys\/internal\/ui\/mounts\/([^/]+)/.exec(path)?.[1];
    if (mount !== undefined) return { body: { data: { path: `${mount}/`, type: 'plugin' } } };
    const body = answer(path.replace('/v1/', ''), request);
    return body === undefined ? { status: 404, body: { errors: [] } } : { body };
  });
}

async function startAgent(bench: AgentBench, document: object): Promise<RunningAgent> {
  const tokenFile = join(bench.directory, 'token');
  await writeFile(tokenFile, 'a.b.c');
  const auth = { role: 'web', tokenFile };
  return bench.start({ auth, listen: '127.0.0.1:0', ...document });
}

test('no file holds a value that has ended, and status and metrics show the ends', async (t) => {
  const ends = new Map<string, number>();
  let made = 0;
  const vault = await startVault(t, (path) => {
    const data = ENGINES[path];
    if (data === undefined) return undefined;
    const serial = `n${++made}`;
    // Ends are in whole seconds.
    const endMs = Math.floor((Date.now() + LIFE_S * 1000) / 1000) * 1000;
    ends.set(serial, endMs);
    return { data: { ...data(endMs), serial } };
  });
  await using bench = await AgentBench.create();
  const paths = Object.keys(ENGINES);
  const files = paths.map((path, index) => ({ name: `f${index}`, secret: `${path}#serial` }));
  const agent = await startAgent(bench, { vault: { address: vault.address }, files });
  await agent.logged(/files delivered/);
  const metrics = (await agent.get('/metrics')).body;
  const shown = metrics.match(/^vouchsafe_secret_expires_in_seconds\{.*\} [1-6]/gm);
  assert.equal(shown?.length, paths.length, metrics);
  const ended: string[] = [];
  for (const untilMs = Date.now() + 10_000; Date.now() < untilMs;) {
    await delay(LOOK_MS);
    for (const [index, path] of paths.entries()) {
      const serial = await bench.file(`f${index}`);
      if ((ends.get(serial) ?? 0) <= Date.now()) ended.push(`${path} ${serial}`);
    }
  }
  assert.deepEqual(ended, []);
  assert.ok(made <= paths.length * 6, `${made} values in 10 s`);
});

/** The endpoints that mint JWTs: of the identity engine by a read, of Enterprise's SPIFFE engine by a write with an audience. */
const MINTED: Readonly<Record<string, string>> = {
  identity: '{{secret "identity/oidc/token/web#token"}}',
  spiffe: '{{secret "spiffe/role/web/mintjwt#token" audience="api://orders"}}',
};

/** A Vault that mints JWTs of this life; counts them by path. */
async function startMint(
  t: TestContext,
  lifeMs: number,
): Promise<{ readonly address: string; readonly minted: Map<string, number> }> {
  const minted = new Map<string, number>();
  const { address } = await startVault(t, (path, { method, json }) => {
    const { audience } = (json ?? {}) as { audience?: string };
    const isRead = method === 'GET' && path === 'identity/oidc/token/web';
    const isWritten = path === 'spiffe/role/web/mintjwt' && audience === 'api://orders';
    if (!isRead && !isWritten) return undefined;
    const count = (minted.get(path) ?? 0) + 1;
    minted.set(path, count);
    return { data: { token: jwt(Date.now() + lifeMs, `${count}`) } };
  });
  return { address, minted };
}

test('JWTs that Vault mints are replaced before their exp', async (t) => {
  const { address, minted } = await startMint(t, LIFE_S * 1000);
  await using bench = await AgentBench.create();
  const files = Object.entries(MINTED).map(([name, template]) => ({ name, template }));
  const agent = await startAgent(bench, { vault: { address }, files });
  await agent.logged(/files delivered/);
  const ended: string[] = [];
  for (const untilMs = Date.now() + 10_000; Date.now() < untilMs;) {
    await delay(LOOK_MS);
    for (const { name } of files) {
      const [, claims = ''] = (await bench.file(name)).split('.');
      const { exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { exp: number };
      if (exp * 1000 <= Date.now()) ended.push(`${name} ${exp}`);
    }
  }
  assert.deepEqual(ended, []);
  for (const [path, count] of minted) assert.ok(count >= 3 && count <= 7, `${path}: ${count}`);
});

test('a JWT that lives long is minted once, also over a refresh and a restart', async (t) => {
  const { address, minted } = await startMint(t, 3_600_000);
  await using bench = await AgentBench.create();
  const files = [
    { name: 'token', template: MINTED['spiffe'], refresh: '1h' },
    { name: 'shown', template: `{{#if true}}${MINTED['spiffe']}{{/if}}` },
  ];
  const document = {
    vault: { address },
    refresh: '1s',
    stateDirectory: bench.stateDirectory,
    files,
  };
  const killed = await startAgent(bench, document);
  await killed.logged(/files delivered/);
  const token = await bench.file('token');
  await delay(3000);
  await killed.kill('SIGKILL');
  const next = await startAgent(bench, document);
  await next.logged(/found a predecessor/);
  await delay(3000);
  assert.deepEqual([...minted], [['spiffe/role/web/mintjwt', 1]]);
  assert.deepEqual([await bench.file('token'), await bench.file('shown')], [token, token]);
});

test('an endpoint that is written cannot be read, and the error says how to write', async (t) => {
  const server = await startScripted(t, ({ path }): Reply => {
    if (path.endsWith('/login')) {
      const auth = { client_token: 'hvs.planted', lease_duration: 3600, renewable: true };
      return { body: { auth: { ...auth, accessor: 'a', policies: [], token_type: 'service' } } };
    }
    if (path.includes('/internal/')) return { body: { data: { path: 'spiffe/', type: 'spiffe' } } };
    return { status: 405, body: { errors: ['1 error occurred:\n\t* unsupported operation\n\n'] } };
  });
  await using bench = await AgentBench.create();
  const agent = await startAgent(bench, {
    vault: { address: server.address },
    files: [{ name: 'token', secret: 'spiffe/role/web/mintjwt#token' }],
    initDeadline: '4s',
  });
  assert.equal(await agent.exit(), 17);
  const message = await agent.terminationMessage();
  assert.match(message, /ERR_VAULT_UNSUPPORTED.*spiffe\/role\/web\/mintjwt cannot be read/);
  assert.match(message, /\{\{secret "spiffe\/role\/web\/mintjwt" name="value"\}\}/);
});

test('a lease without a duration is not asked for again and again, and the log says so once', async (t) => {
  const asked: string[] = [];
  const vault = await startVault(t, (path) => {
    asked.push(path);
    const lease = {
      lease_id: `${path}/${asked.length}`,
      lease_duration: asked.length % 2 ? 0 : -1,
    };
    return { ...lease, renewable: path.includes('renewable'), data: { user: 'u' } };
  });
  await using bench = await AgentBench.create();
  const files = ['x/creds/renewable', 'x/creds/other'].map((path, index) => ({
    name: `f${index}`,
    secret: `${path}#user`,
  }));
  const agent = await startAgent(bench, {
    vault: { address: vault.address },
    files,
    refresh: '2s',
  });
  await agent.logged(/files delivered/);
  await delay(10_000);
  const credentials = asked.filter((path) => path.startsWith('x/'));
  // After 2, 6 and 14 s.
  assert.ok(credentials.length >= 4 && credentials.length <= 6, credentials.join(' '));
  assert.equal(agent.output.match(/without a duration/g)?.length, 2);
});
