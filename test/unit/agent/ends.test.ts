/** Values that tell their own end, and writes: an agent on a test's clock. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Validity } from '../../../src/contracts/index.ts';
import { Harness, templateFile } from '../../helpers/agent-harness.ts';
import { until } from '../../helpers/until.ts';
import { MINUTE_MS, StatefulPod } from '../../helpers/stateful-pod.ts';

const ON_CHANGE = { onChange: ['signal:HUP@app'] };
const STEP_MS = 500;

/** Something that answers with the moment of its end, in wall time. */
interface Source {
  readonly path: string;
  readonly lifeMs: number;
  readonly validity?: (expiresAtMs: number) => Validity;
}

function define({ vault, clock }: Harness, { path, lifeMs, validity = expires }: Source): void {
  vault.define(path, {
    kind: 'answer',
    answer: () => {
      const expiresAtMs = clock.now() + lifeMs;
      return { data: { token: String(expiresAtMs) }, validity: validity(expiresAtMs) };
    },
  });
}

function expires(expiresAtMs: number): Validity {
  return { kind: 'expires', expiresAtMs };
}

/** Lets time pass, and gives how long the value in a file had ended. */
async function endedMs(harness: Harness, file: string, ms: number): Promise<number> {
  let ended = 0;
  for (let passed = 0; passed < ms; passed += STEP_MS) {
    await harness.clock.advance(STEP_MS);
    if (Number(harness.writer.get(file)) <= harness.clock.now()) ended += STEP_MS;
  }
  return ended;
}

test('a token of a minute is replaced before its end, and is not made again at the refresh', async (t) => {
  const harness = new Harness(t);
  define(harness, { path: 'identity/oidc/token/web', lifeMs: MINUTE_MS });
  define(harness, { path: 'identity/oidc/token/day', lifeMs: 24 * 60 * MINUTE_MS });
  const files = [
    templateFile('short', '{{secret "identity/oidc/token/web#token"}}'),
    templateFile('long', '{{secret "identity/oidc/token/day#token"}}'),
  ];
  const { agent } = await harness.start({ files });
  await harness.clock.advance(1000);
  const shown = agent.status().secrets.map(({ expires_in_seconds }) => expires_in_seconds);
  assert.deepEqual(shown, [59, 86_399]);
  assert.equal(await endedMs(harness, 'short', 30 * MINUTE_MS), 0);
  assert.equal(harness.vault.count('fetch', 'identity/oidc/token/day'), 1);
  const reads = harness.vault.count('fetch', 'identity/oidc/token/web');
  assert.ok(reads >= 30 && reads <= 60, `${reads} reads in half an hour`);
});

test('a token whose lease lasts longer than it is replaced before its own end', async (t) => {
  const harness = new Harness(t);
  for (const renewable of [true, false]) {
    define(harness, {
      path: `kubernetes/creds/${renewable}`,
      lifeMs: MINUTE_MS,
      validity: (endsAtMs) => ({
        kind: 'lease',
        leaseId: `kubernetes/creds/${renewable}/${endsAtMs}`,
        durationMs: 60 * MINUTE_MS,
        renewable,
        endsAtMs,
      }),
    });
  }
  const files = [true, false].map((renewable) =>
    templateFile(String(renewable), `{{secret "kubernetes/creds/${renewable}#token"}}`),
  );
  await harness.start({ files, revokeGrace: '0s' });
  await harness.clock.advance(1000);
  const ended = await Promise.all([
    endedMs(harness, 'true', 10 * MINUTE_MS),
    endedMs(harness, 'false', 10 * MINUTE_MS),
  ]);
  assert.deepEqual(ended, [0, 0]);
});

test('a clock that is ahead: what has always ended on arrival is asked for at the refresh', async (t) => {
  for (const aheadMs of [5000, 60 * MINUTE_MS]) {
    for (const isStored of [true, undefined]) {
      const harness = new Harness(t);
      const stored = isStored && { isStored };
      const validity = (atMs: number): Validity => ({
        kind: 'expires',
        expiresAtMs: atMs,
        ...stored,
      });
      define(harness, { path: 'gcp/token/web', lifeMs: -aheadMs, validity });
      await harness.start({ files: [templateFile('a', '{{secret "gcp/token/web#token"}}')] });
      await harness.clock.advance(60 * MINUTE_MS);
      const reads = harness.vault.count('fetch');
      assert.ok(reads >= 12 && reads <= 16, `${reads} reads in an hour, ${aheadMs} ms ahead`);
    }
  }
});

test('a credential that Vault rotates by itself is in the file within two seconds, also by hand', async (t) => {
  const harness = new Harness(t);
  const { clock, vault } = harness;
  const periodMs = 10 * MINUTE_MS;
  let key = { id: 1, endsAtMs: clock.now() + periodMs };
  const rotate = (): void => void (key = { id: key.id + 1, endsAtMs: clock.now() + periodMs });
  vault.define('aws/static-creds/app', {
    kind: 'answer',
    answer: () => ({
      data: { secret_key: `key ${key.id}`, expiration: new Date(key.endsAtMs).toISOString() },
      validity: { kind: 'expires', expiresAtMs: key.endsAtMs, isStored: true },
    }),
  });
  const file = templateFile('key', '{{secret "aws/static-creds/app#secret_key"}}');
  await harness.start({ files: [file], refresh: '1m' });
  let behindMs = 0;
  for (let passed = 0; passed < 40 * MINUTE_MS; passed += STEP_MS) {
    await clock.advance(STEP_MS);
    // Vault is up to five seconds late.
    if (clock.now() >= key.endsAtMs + 4500) rotate();
    if (harness.writer.get('key') !== `key ${key.id}`) behindMs += STEP_MS;
  }
  assert.equal(key.id, 4);
  assert.ok(behindMs <= 3 * 2000, `${behindMs} ms behind in three rotations`);
  rotate();
  await clock.advance(MINUTE_MS);
  assert.equal(harness.writer.get('key'), 'key 5');
  assert.ok(vault.count('fetch') < 40 + 4 * 20, `${vault.count('fetch')} reads`);
});

/** An agent with a file that shows a ciphertext, which differs at each write. */
async function encrypting(t: TestContext, more: object = {}): Promise<Harness> {
  const harness = new Harness(t);
  let made = 0;
  const answer = (): { data: { ciphertext: string }; validity: Validity } => ({
    data: { ciphertext: `vault:v1:${++made}` },
    validity: { kind: 'static' },
  });
  harness.vault.define('transit/encrypt/app', { kind: 'answer', answer });
  harness.vault.put('kv/app', { text: 'one' });
  const template =
    '{{#with (secret "kv/app")}}{{secret "transit/encrypt/app#ciphertext" plaintext=(base64Encode text)}}{{/with}}';
  await harness.start({ files: [templateFile('a', template)], ...ON_CHANGE, ...more });
  return harness;
}

test('a write is not repeated at the default refresh, and nobody is notified', async (t) => {
  const { clock, vault, notifier, writer } = await encrypting(t, { refresh: '1m' });
  await clock.advance(60 * MINUTE_MS);
  assert.equal(vault.count('fetch', 'transit/encrypt/app'), 1);
  assert.ok(vault.count('fetch', 'kv/app') >= 60, 'a read is');
  assert.deepEqual([writer.swaps, notifier.notified.length], [1, 0]);
  vault.put('kv/app', { text: 'two' });
  await clock.advance(2 * MINUTE_MS);
  assert.equal(vault.count('fetch', 'transit/encrypt/app'), 2, 'other parameters');
  assert.deepEqual([writer.swaps, notifier.notified.length], [2, 1]);
});

test('a write is repeated at the refresh of its own file', async (t) => {
  const harness = new Harness(t);
  let made = 0;
  const answer = () => ({ data: { n: ++made }, validity: { kind: 'static' } as const });
  harness.vault.define('transit/random', { kind: 'answer', answer });
  const template = '{{secret "transit/random#n" bytes=8}}';
  await harness.start({ files: [templateFile('a', template, { refresh: '1m' })] });
  await harness.clock.advance(30 * MINUTE_MS);
  assert.ok(made >= 28 && made <= 34, `${made} writes`);
});

test('a write whose answer tells its end is repeated before it', async (t) => {
  const harness = new Harness(t);
  define(harness, { path: 'ssh/sign/web', lifeMs: MINUTE_MS });
  const files = [templateFile('a', '{{secret "ssh/sign/web#token" public_key="ssh-ed25519 x"}}')];
  await harness.start({ files });
  await harness.clock.advance(1000);
  assert.equal(await endedMs(harness, 'a', 10 * MINUTE_MS), 0);
});

test('tokens and answers to writes are resumed by a successor, not made again', async (t) => {
  const pod = new StatefulPod(t);
  define(pod, { path: 'identity/oidc/token/web', lifeMs: 60 * MINUTE_MS });
  let made = 0;
  const answer = () => ({ data: { n: ++made }, validity: { kind: 'static' } as const });
  pod.vault.define('transit/random', { kind: 'answer', answer });
  const files = [
    templateFile('token', '{{secret "identity/oidc/token/web#token"}}'),
    templateFile('random', '{{secret "transit/random#n" bytes=8}}'),
  ];
  await pod.init({ files });
  const first = pod.writer.get('token');
  await pod.clock.advance(5 * MINUTE_MS);
  for (const _ of [1, 2]) {
    const running = await pod.sidecar({ files, ...ON_CHANGE, revokeOnExit: false });
    await pod.clock.advance(MINUTE_MS);
    running.kill();
    await running.end();
  }
  assert.equal(pod.writer.get('token'), first);
  assert.deepEqual([pod.vault.count('fetch'), made, pod.notifier.notified.length], [2, 1, 0]);
  await pod.sidecar({ files, ...ON_CHANGE });
  await pod.clock.advance(60 * MINUTE_MS);
  assert.notEqual(pod.writer.get('token'), first, 'until its end');
});

for (const renewable of [true, false]) {
  test(`a lease without a duration${renewable ? ', renewable' : ''}: a warning, and growing waits`, async (t) => {
    const harness = new Harness(t);
    let issued = 0;
    harness.vault.define('x/creds/zero', {
      kind: 'answer',
      answer: () => ({
        data: { user: `u${++issued}` },
        validity: { kind: 'lease', leaseId: `x/creds/zero/${issued}`, durationMs: 0, renewable },
      }),
    });
    const file = templateFile('a', '{{secret "x/creds/zero#user"}}');
    await harness.start({ files: [file], refresh: '1m' });
    await until(() => harness.writer.get('a') !== undefined);
    await harness.clock.advance(50_000);
    assert.equal(harness.vault.count('fetch'), 1, 'not before the refresh');
    await harness.clock.advance(4 * 60 * MINUTE_MS);
    const reads = harness.vault.count('fetch');
    assert.ok(reads >= 6 && reads <= 11, `${reads} credentials in four hours`);
    assert.equal(harness.vault.count('renewLease'), 0);
    const warnings = harness.logger.lines.filter(({ message }) =>
      /without a duration/.test(message),
    );
    assert.equal(warnings.length, 1);
  });
}
