/** The sidecar of a pair, stopped together with the application. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayAbort } from '../../../src/agent-runtime/delay-abort.ts';
import type { Running } from '../../helpers/agent-harness.ts';
import { settle } from '../../helpers/fake-clock.ts';
import { failure } from '../../helpers/model-vault.ts';
import { FILES, MINUTE_MS, StatefulPod } from '../../helpers/stateful-pod.ts';
import { until } from '../../helpers/until.ts';

const never = (): Promise<boolean> => Promise.resolve(false);

/** Starts the sidecar as `run-agent` does. */
async function sidecar(
  pod: StatefulPod,
  document: Readonly<Record<string, unknown>> = {},
  isAlone = never,
): Promise<Running> {
  const whole = { files: FILES, revokeDelay: '22s', ...document };
  const running = await pod.run(
    (agent, signal) =>
      delayAbort(
        (end) => agent.run(end),
        (inner) => agent.linger(isAlone, inner),
        signal,
      ),
    pod.agent(whole, pod.stateFile()),
  );
  await until(() => running.agent.isDelivered);
  return running;
}

test('the credential stays good while the application ends, and is revoked before the pod is killed', async (t) => {
  const pod = new StatefulPod(t);
  const running = await sidecar(pod);
  const user = pod.writer.get('db') ?? '';
  running.kill();
  for (let passed = 0; passed < 21; passed += 1) {
    await pod.clock.advance(1000);
    assert.ok(pod.vault.isGood(user), `after ${passed} s`);
  }
  await pod.clock.advance(2000);
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
  await running.end();
  assert.deepEqual(running.outcome, { error: undefined });
});

test('files are refreshed and the application notified all along', async (t) => {
  const pod = new StatefulPod(t);
  const files = FILES.map((file) => ({ ...file, refresh: '2s' }));
  const running = await sidecar(pod, { files, onChange: ['signal:HUP@app'] });
  running.kill();
  pod.vault.put('kv/app', { a: '2' });
  await pod.clock.advance(10_000);
  assert.equal(pod.writer.get('kv'), '2');
  assert.equal(pod.notifier.notified.length, 1);
  await running.end();
});

test('killed at any moment of it: ten seconds later Vault holds nothing', async (t) => {
  for (const afterMs of [1, 1000, 5000, 15_000]) {
    const pod = new StatefulPod(t);
    const running = await sidecar(pod);
    running.kill();
    await pod.clock.advance(afterMs);
    pod.vault.intercept = () => failure('ERR_VAULT_UNREACHABLE'); // a dead process asks for nothing
    await pod.clock.advance(10_000);
    assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0], `killed after ${afterMs} ms`);
    await running.end();
  }
});

test('killed meanwhile in a pod that lives: the successor resumes no credential, and notifies', async (t) => {
  const pod = new StatefulPod(t);
  const onChange = ['signal:HUP@app'];
  const killed = await sidecar(pod, { onChange });
  killed.kill();
  await pod.clock.advance(3000);
  assert.equal(pod.stateFile().load()?.state.kind, 'tombstone');
  pod.vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  await killed.end();
  pod.vault.intercept = () => undefined;
  await sidecar(pod, { onChange });
  await pod.clock.advance(MINUTE_MS);
  assert.equal(pod.notifier.notified.length, 1);
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [1, 1]);
});

test('where no other container is left, it ends', async (t) => {
  const pod = new StatefulPod(t);
  let isAlone = false;
  const running = await sidecar(pod, {}, () => Promise.resolve(isAlone));
  running.kill();
  await pod.clock.advance(5000);
  assert.equal(pod.vault.liveTokens, 1);
  isAlone = true;
  await pod.clock.advance(1000);
  assert.equal(pod.vault.liveTokens, 0);
  await running.end();
});

for (const [why, document] of [
  ['no file has a lease', { files: FILES.slice(0, 1) }],
  ['there is no delay', { revokeDelay: '0s' }],
] as const) {
  test(`where ${why}, it revokes at once`, async (t) => {
    const pod = new StatefulPod(t);
    const running = await sidecar(pod, document);
    running.kill();
    await until(() => running.outcome !== undefined);
    assert.equal(pod.vault.liveTokens, 0);
    assert.equal(pod.vault.count('renewToken'), 0);
  });
}

test('with revoke-on-exit off it ends at once, and everything lives', async (t) => {
  const pod = new StatefulPod(t);
  const running = await sidecar(pod, { revokeOnExit: false });
  running.kill();
  await until(() => running.outcome !== undefined);
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [1, 1]);
  assert.equal(pod.stateFile().load()?.state.kind, 'live');
});

test('before the first delivery nothing is waited for', async (t) => {
  const pod = new StatefulPod(t);
  pod.writer.failure = failure('ERR_OUTPUT_IO');
  const running = await pod.run(
    (agent, signal) =>
      delayAbort(
        (end) => agent.run(end),
        (inner) => agent.linger(never, inner),
        signal,
      ),
    pod.agent({ files: FILES, revokeDelay: '22s' }, pod.stateFile()),
  );
  await until(() => pod.writer.writes > 0);
  running.kill();
  await until(() => running.outcome !== undefined);
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
});

test('a token that cannot be renewed for a shorter time is renewed once, and revoked at the end', async (t) => {
  const pod = new StatefulPod(t);
  pod.vault.isPeriodic = true;
  const running = await sidecar(pod);
  running.kill();
  await pod.clock.advance(20_000);
  assert.deepEqual([pod.vault.count('renewToken'), pod.vault.liveTokens], [1, 1]);
  await running.end();
  assert.equal(pod.vault.liveTokens, 0);
});

test('Vault that answers nothing any more holds up neither the end nor the next try', async (t) => {
  const pod = new StatefulPod(t);
  const running = await sidecar(pod);
  const hanging = Promise.withResolvers<undefined>();
  pod.vault.intercept = ({ operation }) =>
    operation === 'renewToken' ? hanging.promise : undefined;
  running.kill();
  await pod.clock.advance(20_000);
  await settle();
  await running.end();
  assert.equal(pod.vault.liveTokens, 0);
});

test('stopped before it began: what its predecessor left is kept for the delay, then revoked', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  const user = pod.writer.get('db') ?? '';
  const running = await pod.run(
    (agent) =>
      delayAbort(
        (end) => agent.run(end),
        (inner) => agent.linger(never, inner),
        AbortSignal.abort(new DOMException('stopped', 'AbortError')),
      ),
    pod.agent({ files: FILES, revokeDelay: '22s' }, pod.stateFile()),
  );
  await pod.clock.advance(20_000);
  assert.ok(pod.vault.isGood(user), 'an application may have started with it');
  await running.end();
  assert.deepEqual([pod.vault.count('login'), pod.vault.liveTokens, pod.vault.good], [1, 0, 0]);
});

test('lingering alone does not touch the state of a predecessor, which it has not read', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  const agent = pod.agent({ files: FILES, revokeDelay: '22s' }, pod.stateFile());
  await agent.linger(never, new AbortController().signal);
  assert.equal(pod.stateFile().load()?.state.kind, 'live');
  assert.equal(pod.vault.liveTokens, 1);
});
