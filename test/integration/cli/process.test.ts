import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ShowConsole, showVolume } from '../../../src/dev/show/index.ts';
import { startDevVault } from '../../../src/dev/vault/index.ts';
import { startOidcProvider, startWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { CANNOT_MOUNT } from '../../helpers/csi-world.ts';
import { Hunt } from '../../helpers/hunt.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const MAIN = fileURLToPath(new URL('../../../cmd/vouchsafe/main.ts', import.meta.url));

interface Place {
  readonly manifest: string;
  readonly out: string;
  /** Whatever is made in passing is seen here. */
  readonly scratch: string;
}

function placeFor(t: TestContext, annotations: Readonly<Record<string, string>>): Place {
  const directory = tempDirectory(t);
  const [manifest, out, scratch] = ['pod.yaml', 'out', 'tmp'].map((name) =>
    join(directory, name),
  ) as [string, string, string]; // three names in, three paths out
  mkdirSync(scratch);
  const given = Object.entries({ inject: '"true"', ...annotations });
  const lines = given.map(([name, value]) => `    vouchsafe.dev/${name}: ${value}\n`).join('');
  writeFileSync(
    manifest,
    `apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n${lines}spec:\n  securityContext: {runAsUser: 1000}\n  containers: [{name: web, image: web}]\n`,
  );
  return { manifest, out, scratch };
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

/** Starts the command; after the first output that fits `until` (default: at once) its reader goes away, or SIGINT comes. */
async function start(
  words: readonly string[],
  how: {
    readonly input?: string;
    readonly scratch?: string;
    readonly until?: RegExp;
    readonly then?: 'interrupt' | 'close';
    readonly variables?: Readonly<Record<string, string>>;
  } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...words], {
    env: { ...how.variables, ...(how.scratch === undefined ? {} : { TMPDIR: how.scratch }) },
    signal: AbortSignal.timeout(50_000),
  });
  child.stdin.end(how.input ?? '');
  if (how.then === 'close' && how.until === undefined) child.stdout.destroy();
  let seen = '';
  child.stdout.on('data', (part: Buffer) => {
    const before = how.until?.test(seen) ?? true;
    seen += part.toString();
    if (before || how.until?.test(seen) !== true) return;
    if (how.then === 'close') child.stdout.destroy();
    else child.kill('SIGINT');
  });
  const [out, errors, [code]] = await Promise.all([
    text(child.stdout).catch(() => seen), // destroyed above
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>, // as Node documents it
  ]);
  return { code, out, errors };
}

suite('the command as a process', () => {
  test('standard input, output and exit codes', async () => {
    const pod = 'kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web}]}\n';
    const { code, out, errors } = await start(['inject', '-f', '-'], { input: pod });
    assert.deepEqual([code, errors], [0, 'Pod/web: skipped (not_requested)\n']);
    assert.match(out, /^kind: Pod\n/);
    const wrong = await start(['inject', '--nonsense']);
    assert.deepEqual([wrong.code, wrong.out], [2, '']);
  });

  test('a reader that goes away ends it quietly, with the exit code of SIGPIPE', async () => {
    for (const words of [['--help'], ['explain', '-f', '-']]) {
      const input = 'kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web}]}\n';
      const { code, errors } = await start(words, { input, then: 'close' });
      assert.deepEqual([code, errors], [141, ''], words.join(' '));
    }
  });
});

suite('dev', () => {
  test('--once: the pair hands over, the application is signalled, nothing stays but the volume', async (t) => {
    const { manifest, out, scratch } = placeFor(t, {
      mode: 'pair',
      'secret-app': 'kvv2/app#token',
      'secret-db': 'database/creds/web',
      'on-change': 'signal:HUP@web',
    });
    const ended = await start(['dev', '--once', '-f', manifest, '--out', out], { scratch });
    assert.deepEqual([ended.code, ended.errors], [0, '']);
    assert.match(ended.out, /vouchsafe-agent \| found a predecessor/);
    assert.match(ended.out, /application \| notified by SIGHUP/);
    const value = readFileSync(join(out, 'app'), 'utf8');
    assert.match(value, /^[\w-]{12}$/);
    assert.ok(!ended.out.includes(value), 'the value is masked');
    const { password } = JSON.parse(readFileSync(join(out, 'db'), 'utf8')) as { password: string }; // from the engine
    assert.ok(!ended.out.includes(password), 'the password is masked');
    assert.deepEqual(readdirSync(scratch), []);
  });

  test('on an old cluster it is a pair; Ctrl-C ends it in order', async (t) => {
    const { manifest, scratch } = placeFor(t, { 'secret-app': 'kvv2/app' });
    const words = ['dev', '-f', manifest, '--kube-version', '1.28'];
    const ended = await start(words, { scratch, until: /\[6\]/ });
    assert.deepEqual([ended.code, ended.errors], [0, '']);
    assert.match(ended.out, /added: vouchsafe-init, vouchsafe-agent/);
    assert.match(ended.out, /stopping: the agent revokes its credentials/);
    assert.deepEqual(readdirSync(scratch), []);
  });

  test('a Workload API and a Vault that are already there: with VAULT_TOKEN a secret is rotated', async (t) => {
    const { manifest, out, scratch } = placeFor(t, { 'secret-app': 'kv/app#token' });
    const spiffeId = 'spiffe://example.org/ns/default/sa/default';
    await using api = await startWorkloadApi({ identities: [{ spiffeId }] });
    await using keys = await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) });
    for (const version of ['1', '2']) {
      await using vault = await startDevVault();
      const path = version === '1' ? 'kv/app' : 'kv/data/app';
      const data = { token: 'hush', other: 'stays' };
      await vault.write('sys/mounts/kv', { type: 'kv', options: { version } });
      await vault.write(path, version === '1' ? data : { data });
      await vault.write('sys/policies/acl/web', {
        policy: 'path "kv/*" { capabilities = ["read"] }',
      });
      await vault.write('sys/auth/jwt', { type: 'jwt' });
      await vault.write('auth/jwt/config', { jwks_url: `${keys.url}/keys`, default_role: 'web' });
      const role = { bound_audiences: 'vault', bound_subject: spiffeId, token_policies: 'web' };
      await vault.write('auth/jwt/role/web', role);
      const variables = {
        SPIFFE_ENDPOINT_SOCKET: api.address,
        VAULT_ADDR: vault.address,
        VAULT_TOKEN: vault.rootToken.reveal(),
      };
      const words = ['dev', '--once', '-f', manifest, '--out', out];
      const ended = await start(words, { scratch, variables });
      assert.deepEqual([ended.code, ended.errors], [0, '']);
      assert.match(ended.out, /identity: the Workload API of this machine/);
      assert.match(ended.out, /used as it is; auth\/jwt must have its default role/);
      assert.match(ended.out, /rotating kv\/app in Vault/);
      assert.match(readFileSync(join(out, 'app'), 'utf8'), /^[\w-]{12}$/);
      assert.ok(!ended.out.includes('hush'), 'the value is masked');
    }
  });

  test('a reader that goes away ends it in order', async (t) => {
    const { manifest, scratch } = placeFor(t, { 'secret-app': 'kvv2/app' });
    const how = { scratch, until: /\[2\]/, then: 'close' } as const;
    const ended = await start(['dev', '-f', manifest], how);
    assert.deepEqual([ended.code, ended.errors], [141, '']);
    assert.deepEqual(readdirSync(scratch), []);
  });

  test(
    '--mode csi: a volume comes, is refreshed and goes, and its token is revoked',
    { skip: CANNOT_MOUNT },
    async (t) => {
      const { scratch } = placeFor(t, {});
      const ended = await start(['dev', '--mode', 'csi', '--once'], { scratch });
      assert.deepEqual([ended.code, ended.errors], [0, '']);
      assert.match(ended.out, /csi\.vouchsafe\.dev at .*csi\.sock/);
      assert.match(ended.out, /ready after \d+ ms: /);
      assert.match(ended.out, /the file has the new value/);
      assert.match(ended.out, /the volume is gone, and its token revoked/);
      new Hunt().assertNone({ output: ended.out });
      assert.deepEqual(readdirSync(scratch), []);
    },
  );

  for (const [identity, says] of [
    ['broker', /a Broker API that trusts the driver.*the driver is spiffe:/s],
    ['delegated', /a Delegated Identity API, an API server.*k8s:ns:shop, k8s:sa:web/s],
  ] as const) {
    test(
      `--mode csi --identity ${identity}: the pod logs in by an SVID of its own`,
      { skip: CANNOT_MOUNT },
      async (t) => {
        const { scratch } = placeFor(t, {});
        const words = ['dev', '--mode', 'csi', '--identity', identity, '--once'];
        const ended = await start(words, { scratch });
        assert.deepEqual([ended.code, ended.errors], [0, '']);
        assert.match(ended.out, says);
        assert.match(ended.out, /role web for spiffe:\/\/example\.org\/ns\/shop\/sa\/web/);
        assert.match(ended.out, /the file has the new value/);
        assert.match(ended.out, /the volume is gone, and its token revoked/);
        new Hunt().assertNone({ output: ended.out });
        assert.doesNotMatch(ended.out, /\(node:\d+\)|--trace-warnings/, 'Node warns of nothing');
        assert.deepEqual(readdirSync(scratch), []);
      },
    );
  }

  test('--mode csi: Ctrl-C ends it in order', { skip: CANNOT_MOUNT }, async (t) => {
    const { scratch } = placeFor(t, {});
    const ended = await start(['dev', '--mode', 'csi'], { scratch, until: /has the new value/ });
    assert.deepEqual([ended.code, ended.errors], [0, '']);
    assert.match(ended.out, /the volume is gone, and its token revoked/);
    assert.deepEqual(readdirSync(scratch), []);
  });

  test('--mode csi has no part for a manifest, and is for root', async () => {
    for (const words of [
      ['--mode', 'csi', '--out', 'out'],
      ['--mode', 'pair'],
      ['--mode', 'csi', '--identity', 'token'],
      ['--identity', 'broker'],
    ]) {
      const { code, out } = await start(['dev', ...words]);
      assert.deepEqual([code, out], [2, ''], words.join(' '));
    }
    const command = ['true'] as const;
    const options = {
      once: true,
      driverCommand: command,
      mayMount: false,
      clock: systemClock,
      identity: 'service-account' as const,
    };
    const console = new ShowConsole(
      () => undefined,
      () => [],
    );
    await assert.rejects(showVolume(options, console, new AbortController().signal), {
      code: 'ERR_USAGE',
      message: /run it as root/,
    });
  });

  test('a denied pod ends with the reason and exit code 18', async (t) => {
    const { manifest, scratch } = placeFor(t, { mode: 'csi', 'secret-app': 'kvv2/app' });
    const ended = await start(['dev', '-f', manifest], { scratch });
    assert.equal(ended.code, 18);
    assert.match(
      ended.errors,
      /ERR_ADMISSION_DENIED: vouchsafe\.dev\/mode: this installation has no CSI driver/,
    );
    assert.deepEqual(readdirSync(scratch), []);
  });
});
