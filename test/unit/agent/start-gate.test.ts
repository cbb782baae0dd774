/** The start gate: the hook's program against the socket, and agents that go on where the one before them ended. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { GATE_SOCKET, StartGate } from '../../../src/agent/index.ts';
import { VouchsafeError } from '../../../src/core/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import type { Running } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';
import { recordingLogger } from '../../helpers/recorder.ts';
import { FILES, MINUTE_MS, StatefulPod } from '../../helpers/stateful-pod.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';

const HOOK = join(import.meta.dirname, '../../../cmd/start-gate/main.ts');

/** The hook as the kubelet runs it. */
function runHook(t: TestContext, directory: string): Promise<{ code: unknown; text: string }> {
  const child = spawn(process.execPath, [HOOK, join(directory, GATE_SOCKET)]);
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stderr.on('data', (chunk) => (text += String(chunk)));
  return once(child, 'close').then(([code]: unknown[]) => ({ code, text }));
}

async function listen(t: TestContext, directory: string): Promise<StartGate> {
  const gate = await StartGate.listen({
    directory,
    clock: new FakeClock(),
    logger: recordingLogger(),
  });
  t.after(() => gate.close());
  return gate;
}

test('the hook ends with 0 when the gate opens, also if it came before the agent listened', async (t) => {
  const directory = tempDirectory(t);
  const early = runHook(t, directory);
  const gate = await listen(t, directory);
  const waiting = runHook(t, directory);
  gate.open();
  const late = runHook(t, directory);
  for (const hook of [early, waiting, late]) assert.deepEqual(await hook, { code: 0, text: '' });
});

test('the hook fails with the reason of the agent', async (t) => {
  const directory = tempDirectory(t);
  const gate = await listen(t, directory);
  const hook = runHook(t, directory);
  await gate.refuse('ERR_VAULT_LOGIN_REFUSED: role "web" does not exist');
  const { code, text } = await hook;
  assert.equal(code, 1);
  assert.match(text, /ERR_VAULT_LOGIN_REFUSED: role "web" does not exist/);
});

test('the hook fails at once when the agent ends without an answer', async (t) => {
  const directory = tempDirectory(t);
  const agent = createServer((hook) => hook.destroy()).listen(join(directory, GATE_SOCKET));
  t.after(() => agent.close());
  const { code, text } = await runHook(t, directory);
  assert.equal(code, 1);
  assert.match(text, /the agent has ended|ECONNRESET/);
});

test('a hook that ends unanswered makes the gate lost; one that was answered does not', async (t) => {
  const directory = tempDirectory(t);
  const gate = await listen(t, directory);
  const hook = await waitForHook(directory);
  hook.destroy();
  await assert.rejects(gate.lost, hasCodePending);

  const other = join(tempDirectory(t), 'state');
  const answered = await listen(t, other);
  const good = await waitForHook(other);
  answered.open();
  assert.equal(await textOf(good), 'open');
  let isLost = false;
  answered.lost.catch(() => (isLost = true));
  answered.close();
  await new Promise(setImmediate);
  assert.ok(!isLost);
});

test('a hook that does not end is not waited for', async (t) => {
  const directory = tempDirectory(t);
  const clock = new FakeClock();
  const gate = await StartGate.listen({ directory, clock, logger: recordingLogger() });
  t.after(() => gate.close());
  const hook = connect({ path: join(directory, GATE_SOCKET), allowHalfOpen: true });
  t.after(() => hook.destroy());
  await once(hook, 'connect');
  await new Promise(setImmediate);
  let isDone = false;
  const refused = gate.refuse('reason').then(() => (isDone = true));
  await clock.advance(400);
  assert.ok(!isDone);
  await clock.advance(200);
  await refused;
});

test('the socket of a killed agent does not matter; a directory that cannot be used is an error', async (t) => {
  const directory = tempDirectory(t);
  writeFileSync(join(directory, GATE_SOCKET), '');
  await listen(t, directory);
  assert.ok(statSync(join(directory, GATE_SOCKET)).isSocket());
  const file = join(tempDirectory(t), 'file');
  writeFileSync(file, '');
  const error = await StartGate.listen({
    directory: file,
    clock: new FakeClock(),
    logger: recordingLogger(),
  }).catch((caught: unknown) => caught);
  assert.ok(error instanceof VouchsafeError);
  assert.equal(error.code, 'ERR_SERVER_LISTEN');
});

test('tries that cannot be saved or read are the first ones', async (t) => {
  const directory = tempDirectory(t);
  const logger = recordingLogger();
  const gate = await StartGate.listen({ directory, clock: new FakeClock(), logger });
  t.after(() => gate.close());
  writeFileSync(join(directory, 'start.json'), '{"beganAtMs":-1,"count":7}');
  assert.deepEqual(gate.begin(2 * MINUTE_MS), { ms: 8000, isLast: false });
  writeFileSync(join(directory, 'start.json'), 'garbage');
  assert.deepEqual(gate.begin(2 * MINUTE_MS), { ms: 8000, isLast: false });
  assert.deepEqual(gate.begin(2 * MINUTE_MS), { ms: 17_000, isLast: false });
  gate.endStart();
  assert.deepEqual(gate.begin(2 * MINUTE_MS), { ms: 8000, isLast: false });
});

// Agents behind the gate.

/** A pod whose agent the kubelet's hook waits for. */
class GatedPod extends StatefulPod {
  readonly #t: TestContext;
  #gate: StartGate | undefined;

  constructor(t: TestContext) {
    super(t);
    this.#t = t;
  }

  /** The next container: its predecessor has ended. */
  async container(document: Readonly<Record<string, unknown>> = {}): Promise<Running> {
    this.#gate?.close();
    const { directory, clock, logger } = this;
    const gate = await StartGate.listen({ directory, clock, logger });
    this.#gate = gate;
    this.#t.after(() => gate.close());
    const agent = this.agent({ files: FILES, ...document }, this.stateFile(), gate);
    return this.run((a, signal) => a.run(signal), agent);
  }

  /** Lets time pass until every file is written; other tries of the start do not count. */
  async delivered({ agent }: Running): Promise<void> {
    for (let second = 0; !agent.isDelivered && second < 7; second += 1) {
      await this.clock.advance(1000);
    }
    await until(() => agent.isDelivered);
  }

  get record(): unknown {
    return JSON.parse(readFileSync(join(this.directory, 'start.json'), 'utf8')) as unknown;
  }
}

test('a try that ends goes on in the next container: one login, one credential, no revocation', async (t) => {
  const pod = new GatedPod(t);
  pod.vault.intercept = ({ subject }) =>
    subject === 'kv/app' ? failure('ERR_VAULT_DENIED') : undefined;
  const waits: number[] = [];
  for (const gapMs of [1000, 11_000, 21_000]) {
    const beganAtMs = pod.clock.monotonicMs();
    const running = await pod.container();
    await pod.clock.advance(7000);
    assert.equal(running.outcome, undefined);
    await running.end();
    const error = pendingError(running);
    assert.match(error.message, /last cause: ERR_VAULT_DENIED/);
    assert.equal(error.details['cause_code'], 'ERR_VAULT_DENIED');
    waits.push(Math.round((pod.clock.monotonicMs() - beganAtMs) / 1000));
    assert.equal(pod.vault.count('revokeToken'), 0);
    assert.equal(pod.vault.liveTokens, 1);
    await pod.clock.advance(gapMs);
  }
  assert.deepEqual(waits, [8, 17, 17]);
  pod.vault.intercept = () => undefined;
  const last = await pod.container();
  await until(() => last.agent.isDelivered);
  assert.deepEqual(
    [pod.vault.count('login'), pod.vault.count('fetch', 'database/creds/app')],
    [1, 1],
  );
  assert.ok(pod.vault.isGood(pod.writer.get('db') ?? ''));
  assert.throws(() => pod.record, /ENOENT/);
  await pod.clock.advance(3 * 60 * MINUTE_MS);
  assert.ok(pod.vault.isGood(pod.writer.get('db') ?? ''), 'the token has its whole life again');
  assert.equal(pod.vault.count('login'), 1);
});

test('the deadline counts over the containers, and ends the start as ever', async (t) => {
  const pod = new GatedPod(t);
  pod.vault.intercept = ({ subject }) =>
    subject === 'kv/app' ? failure('ERR_VAULT_DENIED') : undefined;
  const beganAtMs = pod.clock.monotonicMs();
  let running = await pod.container();
  for (const gapMs of [1000, 11_000, 21_000]) {
    await running.end();
    pendingError(running);
    await pod.clock.advance(gapMs);
    running = await pod.container();
  }
  await running.end();
  const error = running.outcome?.error;
  assert.ok(error instanceof VouchsafeError);
  assert.equal(error.code, 'ERR_AGENT_DEADLINE');
  assert.match(error.message, /within 2m; last cause: ERR_VAULT_DENIED/);
  const passedMs = pod.clock.monotonicMs() - beganAtMs;
  assert.ok(passedMs >= 2 * MINUTE_MS && passedMs <= 2 * MINUTE_MS + 8000, `${passedMs}`);
  assert.equal(pod.vault.liveTokens, 0, 'a failed start revokes what it held');
  assert.throws(() => pod.record, /ENOENT/);
  // The kubelet starts it again, with a deadline of its own.
  const again = await pod.container();
  assert.deepEqual(pod.record, { beganAtMs: pod.clock.monotonicMs(), count: 1 });
  pod.vault.intercept = () => undefined;
  await pod.delivered(again);
});

test('a pod that is deleted between two tries leaves no token and no credential for long', async (t) => {
  const pod = new GatedPod(t);
  pod.vault.intercept = ({ subject }) =>
    subject === 'kv/app' ? failure('ERR_VAULT_DENIED') : undefined;
  const running = await pod.container();
  await running.end();
  pendingError(running);
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [1, 1]);
  await pod.clock.advance(30_000);
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
});

test('with revoke-on-exit false, or a token that cannot be renewed, nothing is shortened', async (t) => {
  for (const [document, change] of [
    [{ revokeOnExit: false }, () => undefined],
    [{}, (pod: GatedPod) => (pod.vault.tokenRenewable = false)],
    [{}, (pod: GatedPod) => (pod.vault.tokenType = 'batch')],
  ] as const) {
    const pod = new GatedPod(t);
    change(pod);
    pod.vault.intercept = ({ subject }) =>
      subject === 'kv/app' ? failure('ERR_VAULT_DENIED') : undefined;
    const running = await pod.container(document);
    await running.end();
    pendingError(running);
    assert.equal(pod.vault.count('renewToken'), 0);
    await pod.clock.advance(1000);
    pod.vault.intercept = () => undefined;
    const next = await pod.container(document);
    await until(() => next.agent.isDelivered);
    assert.equal(pod.vault.count('login'), 1);
  }
});

test('a token that Vault does not shorten is renewed by the next try, which logs in if it is gone', async (t) => {
  for (const isGone of [false, true]) {
    const pod = new GatedPod(t);
    pod.vault.intercept = ({ subject, operation }) =>
      subject === 'kv/app' || operation === 'renewToken' ? failure('ERR_VAULT_TIMEOUT') : undefined;
    const running = await pod.container();
    await running.end();
    pendingError(running);
    assert.equal(pod.vault.count('renewToken'), 1);
    await pod.clock.advance(1000);
    if (isGone) pod.vault.revokeTokens();
    pod.vault.intercept = () => undefined;
    await pod.delivered(await pod.container());
    await pod.clock.advance(1000);
    assert.equal(pod.vault.count('renewToken'), 2);
    assert.equal(pod.vault.count('login'), isGone ? 2 : 1);
  }
});

test('a hook that the kubelet lost ends the try, and the next one goes on', async (t) => {
  const pod = new GatedPod(t);
  pod.vault.intercept = ({ subject }) =>
    subject === 'kv/app' ? failure('ERR_VAULT_DENIED') : undefined;
  const running = await pod.container();
  await pod.clock.advance(1000);
  (await waitForHook(pod.directory)).destroy();
  await until(() => running.outcome !== undefined);
  assert.match(pendingError(running).message, /the kubelet ended the start hook/);
  pod.vault.intercept = () => undefined;
  const next = await pod.container();
  await until(() => next.agent.isDelivered);
  assert.equal(pod.vault.count('login'), 1);
});

test('SIGTERM while the hook waits is the end of the pod: all is revoked', async (t) => {
  const pod = new GatedPod(t);
  pod.vault.intercept = ({ subject }) =>
    subject === 'kv/app' ? failure('ERR_VAULT_DENIED') : undefined;
  const running = await pod.container();
  await pod.clock.advance(1000);
  await running.stop();
  assert.equal(pod.vault.liveTokens, 0);
  assert.throws(() => pod.record, /ENOENT/);
});

test('the hook of an agent that was started again in a running pod succeeds at once', async (t) => {
  const pod = new GatedPod(t);
  const first = await pod.container({ revokeOnExit: false });
  await until(() => first.agent.isDelivered);
  await first.stop();
  pod.vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  await pod.container();
  assert.equal(await textOf(await waitForHook(pod.directory)), 'open');
});

function pendingError(running: Running): VouchsafeError {
  const error = running.outcome?.error;
  assert.ok(error instanceof VouchsafeError && error.code === 'ERR_AGENT_START_PENDING');
  return error;
}

function hasCodePending(error: unknown): boolean {
  return error instanceof VouchsafeError && error.code === 'ERR_AGENT_START_PENDING';
}

/** Connects as the hook does, and waits until the gate has seen it. */
async function waitForHook(directory: string): Promise<Socket> {
  const hook = connect(join(directory, GATE_SOCKET));
  await once(hook, 'connect');
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
  return hook;
}

async function textOf(hook: Socket): Promise<string> {
  let text = '';
  for await (const chunk of hook) text += String(chunk);
  return text;
}
