import assert from 'node:assert/strict';
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StateFile } from '../../../src/agent/index.ts';
import type { SavedState } from '../../../src/agent/saved-state.ts';
import { settle } from '../../helpers/fake-clock.ts';
import { templateFile } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';
import { FILES, MINUTE_MS, StatefulPod } from '../../helpers/stateful-pod.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';

test('a pair costs one login and one credential', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  const first = pod.writer.get('db');
  await pod.clock.advance(MINUTE_MS);
  const { agent } = await pod.sidecar();
  assert.equal(pod.writer.get('db'), first);
  assert.deepEqual(
    [pod.vault.count('login'), pod.vault.count('fetch', 'database/creds/app')],
    [1, 1],
  );
  assert.equal(agent.status().logins, 1);
  assert.deepEqual(pod.notifier.notified, []);
  for (let passed = 0; passed < 600; passed += 10) {
    await pod.clock.advance(10 * MINUTE_MS);
    assert.ok(pod.vault.isGood(first ?? ''), 'token and lease are renewed by the sidecar');
  }
  assert.equal(pod.vault.count('login'), 1);
});

test('a killed agent goes on with its token and its credential', async (t) => {
  const pod = new StatefulPod(t);
  // SIGKILL runs no clean-up: an agent that keeps its tokens at its end stands for it.
  const killed = await pod.sidecar({ revokeOnExit: false });
  const first = pod.writer.get('db') ?? '';
  await pod.clock.advance(50 * MINUTE_MS);
  await killed.stop();
  await pod.clock.advance(MINUTE_MS);
  const next = await pod.sidecar();
  assert.deepEqual([pod.vault.count('login'), next.agent.status().logins], [1, 1]);
  assert.equal(pod.writer.get('db'), first);
  await pod.clock.advance(3 * 60 * MINUTE_MS);
  assert.ok(pod.vault.isGood(first));
});

test('a kill before the files are written costs no second login and no second credential', async (t) => {
  const pod = new StatefulPod(t);
  pod.writer.failure = failure('ERR_OUTPUT_FULL');
  const killed = await pod.start({ files: FILES, revokeOnExit: false }, pod.stateFile());
  await until(() => pod.writer.writes > 0);
  await killed.stop();
  pod.writer.failure = undefined;
  await pod.sidecar();
  assert.ok(pod.vault.isGood(pod.writer.get('db') ?? ''));
  assert.deepEqual(
    [pod.vault.count('login'), pod.vault.count('fetch', 'database/creds/app')],
    [1, 1],
  );
});

test('the application is notified when the first set of a successor differs', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  pod.vault.put('kv/app', { a: '2' });
  await pod.sidecar({ onChange: ['signal:HUP@app'] });
  await settle();
  assert.equal(pod.writer.get('kv'), '2');
  assert.equal(pod.notifier.notified.length, 1);
});

test('the application is notified of what a killed agent could not notify, although its files were compared since', async (t) => {
  const pod = new StatefulPod(t);
  const onChange = ['signal:HUP@app'];
  const killed = await pod.sidecar({ onChange, revokeOnExit: false });
  const notifying = Promise.withResolvers<undefined>();
  pod.notifier.before = async () => {
    await notifying.promise;
  };
  pod.vault.put('kv/app', { a: '2' });
  while (pod.writer.get('kv') !== '2') await pod.clock.advance(10_000);
  const compared = pod.writer.writes + 2;
  while (pod.writer.writes < compared) await pod.clock.advance(10_000);
  killed.kill();
  notifying.reject(new Error('killed'));
  await killed.stop();
  pod.notifier.before = () => Promise.resolve();
  await pod.sidecar({ onChange });
  assert.equal(pod.notifier.notified.length, 1);
});

test('a wall clock that jumps between two processes changes nothing', async (t) => {
  for (const jumpMs of [60 * MINUTE_MS, -60 * MINUTE_MS, 365 * 24 * 60 * MINUTE_MS]) {
    const pod = new StatefulPod(t);
    await pod.init();
    pod.clock.jump(jumpMs);
    await pod.sidecar();
    assert.equal(pod.vault.count('login'), 1, `after ${jumpMs}`);
    await pod.clock.advance(30 * MINUTE_MS);
    assert.deepEqual([pod.vault.count('renewToken'), pod.vault.count('renewLease')], [1, 1]);
    await pod.clock.advance(30 * MINUTE_MS);
    assert.deepEqual([pod.vault.count('renewToken'), pod.vault.count('renewLease')], [2, 2]);
  }
});

test('durations count from when they were saved', (t) => {
  let nowMs = 0;
  const monotonicMs = (): number => nowMs;
  const clock = { now: monotonicMs, monotonicMs, sleep: () => Promise.resolve() };
  const file = new StateFile(join(tempDirectory(t), 'state'), clock);
  const state: SavedState = {
    kind: 'live',
    identity: 'a',
    connection: 'b',
    logins: 0,
    isDelivered: false,
    isRevoked: false,
    told: {},
    retired: [],
    session: null,
    values: [],
    longValues: [],
  };
  file.save(state);
  nowMs = 5000;
  assert.equal(file.load()?.elapsedMs, 5000);
});

test('the state is saved when it has changed, not because time goes by', async (t) => {
  const pod = new StatefulPod(t);
  const saved: SavedState[] = [];
  const file = pod.stateFile();
  t.mock.method(file, 'save', (state: SavedState) => void saved.push(state));
  await pod.start({ files: FILES }, file);
  const first = saved.length;
  assert.equal(saved.at(-1)?.isDelivered, true);
  await pod.clock.advance(10 * MINUTE_MS); // files compared, KV read again
  assert.equal(saved.length, first);
  await pod.clock.advance(30 * MINUTE_MS); // token and lease renewed
  assert.ok(saved.length > first);
});

test('steps that became due while no agent ran are done at once', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  await pod.clock.advance(55 * MINUTE_MS);
  await pod.sidecar();
  await pod.clock.advance(1000);
  assert.deepEqual([pod.vault.count('renewToken'), pod.vault.count('renewLease')], [1, 1]);
  assert.equal(pod.vault.count('login'), 1);
});

test('the state of another identity is not used', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  await pod.sidecar({ auth: { role: 'other' } });
  assert.equal(pod.vault.count('login'), 2);
  assert.deepEqual(pod.notifier.notified, []);
});

test('a token that ended meanwhile is not used, nor what belonged to it', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  const first = pod.writer.get('db');
  await pod.clock.advance(61 * MINUTE_MS);
  const { agent } = await pod.sidecar({ onChange: ['signal:HUP@app'] });
  assert.equal(pod.vault.count('login'), 2);
  assert.equal(agent.status().logins, 1);
  assert.notEqual(pod.writer.get('db'), first);
  assert.equal(pod.notifier.notified.length, 1, 'the application holds the old ones');
});

test('a certificate without a lease outlives the token that issued it', async (t) => {
  const pod = new StatefulPod(t);
  let issued = 0;
  pod.vault.tokenTtlMs = 5 * MINUTE_MS;
  pod.vault.define('pki/issue/web', {
    kind: 'answer',
    answer: () => ({
      data: { certificate: `certificate ${++issued}` },
      validity: { kind: 'expires', expiresAtMs: pod.clock.now() + 24 * 60 * MINUTE_MS },
    }),
  });
  const template = '{{#with (pki "pki/issue/web" common_name="web")}}{{certificate}}{{/with}}';
  const document = { files: [templateFile('cert', template)] };
  await pod.init(document);
  await pod.clock.advance(10 * MINUTE_MS);
  await pod.sidecar(document);
  assert.equal(pod.writer.get('cert'), 'certificate 1');
  assert.equal(issued, 1);
});

test('garbage in the state file leads to a fresh start with a warning', async (t) => {
  const good = new StatefulPod(t);
  await good.init();
  const garbage = [
    '',
    'no json',
    'null',
    '{}',
    '{"version":2}',
    '{"version":2,"savedAtWallMs":1,"savedAtMonotonicMs":1,"state":{"values":7}}',
    good.stateText.replace('"version":2', '"version":99'),
    good.stateText.slice(0, -20),
  ];
  for (const text of garbage) {
    const pod = new StatefulPod(t);
    await pod.init();
    writeFileSync(join(pod.directory, 'state.json'), text);
    const { agent } = await pod.sidecar();
    assert.ok(agent.isDelivered);
    assert.equal(pod.vault.count('login'), 2, text);
    assert.match(pod.logger.text(), /state of a predecessor was not used/);
    assert.ok(!pod.logger.text().includes('token-1'));
  }
});

test('only its owner can read the state file, and nothing is left beside it', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  assert.deepEqual(readdirSync(pod.directory), ['state.json']);
  assert.equal(statSync(join(pod.directory, 'state.json')).mode & 0o777, 0o600);
  assert.ok(pod.stateText.includes('token-1'));
});

test('what a killed writer left behind does not disturb the next one', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  writeFileSync(join(pod.directory, '.state.json.new'), 'half', { mode: 0o644 });
  const running = await pod.sidecar({ revokeOnExit: false });
  await running.stop();
  assert.deepEqual(readdirSync(pod.directory), ['state.json']);
  assert.equal(statSync(join(pod.directory, 'state.json')).mode & 0o777, 0o600);
});

test('a successor that is stopped before its first delivery still counts as started', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  pod.writer.failure = failure('ERR_OUTPUT_IO');
  const second = await pod.start({ files: FILES, revokeOnExit: false }, pod.stateFile());
  await until(() => pod.writer.writes > 1);
  assert.ok(second.agent.isStarted && !second.agent.isDelivered);
  await pod.clock.advance(10 * MINUTE_MS);
  assert.equal(second.outcome, undefined, 'no deadline ends it');
  await second.stop();
  pod.writer.failure = undefined;
  const third = await pod.start({ files: FILES }, pod.stateFile());
  await until(() => third.agent.isStarted);
  await third.stop();
});

test('an init container that runs again after its work has a deadline all the same', async (t) => {
  const pod = new StatefulPod(t);
  await pod.init();
  pod.vault.intercept = () => failure('ERR_VAULT_UNREACHABLE');
  const agent = pod.agent({ files: FILES, initDeadline: '30s' }, pod.stateFile());
  const running = await pod.run((a, signal) => a.runOnce(signal), agent);
  await until(() => pod.vault.count('fetch', 'kv/app') > 1);
  await pod.clock.advance(40_000);
  await until(() => running.outcome !== undefined);
  assert.match(String(running.outcome?.error), /not written within 30s/);
  assert.ok(pod.stateText.includes('token-1'), 'the next try goes on from the state');
});

test('a state directory that cannot be written is logged once until it can', async (t) => {
  const pod = new StatefulPod(t);
  const blocker = join(tempDirectory(t), 'file');
  writeFileSync(blocker, '');
  const running = await pod.start(
    { files: FILES },
    new StateFile(join(blocker, 'state'), pod.clock),
  );
  await until(() => running.agent.isDelivered);
  await pod.clock.advance(6 * 60 * MINUTE_MS);
  const lines = (pattern: RegExp): number =>
    pod.logger.lines.filter(({ message }) => pattern.test(message)).length;
  assert.ok(pod.vault.count('renewLease') > 5, 'there was something to save each time');
  assert.deepEqual([lines(/state was not saved/), lines(/state is saved again/)], [1, 0]);
  rmSync(blocker);
  await pod.clock.advance(60 * MINUTE_MS);
  assert.deepEqual([lines(/state was not saved/), lines(/state is saved again/)], [1, 1]);
});
