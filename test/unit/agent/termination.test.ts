/** An agent that is stopped, and the one that comes after it in the same pod. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { StateFile } from '../../../src/agent/index.ts';
import type { SavedState } from '../../../src/agent/saved-state.ts';
import { settle } from '../../helpers/fake-clock.ts';
import { failure, type ModelVault } from '../../helpers/model-vault.ts';
import { FILES, MINUTE_MS, StatefulPod } from '../../helpers/stateful-pod.ts';
import { until } from '../../helpers/until.ts';

const TOLD = { onChange: ['signal:HUP@app'] };

/** Vault answers nothing of this. */
function refuse(vault: ModelVault, ...operations: readonly string[]): void {
  vault.intercept = ({ operation }) =>
    operations.includes(operation) ? failure('ERR_VAULT_UNREACHABLE') : undefined;
}

function stateOf(pod: StatefulPod): SavedState | undefined {
  return pod.stateFile().load()?.state;
}

suite('stopped in a pod that lives', () => {
  test('the successor writes a new credential and notifies the application once', async (t) => {
    const pod = new StatefulPod(t);
    const first = await pod.sidecar(TOLD);
    const user = pod.writer.get('db') ?? '';
    await first.stop();
    assert.ok(!pod.vault.isGood(user));
    assert.ok(!pod.stateText.includes('token-1') && !pod.stateText.includes(user));
    const second = await pod.sidecar(TOLD);
    assert.ok(pod.vault.isGood(pod.writer.get('db') ?? ''));
    await pod.clock.advance(30 * MINUTE_MS);
    assert.equal(pod.notifier.notified.length, 1);
    await second.stop();
    assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
  });

  test('repeatedly: notified once each time', async (t) => {
    const pod = new StatefulPod(t);
    for (let count = 0; count < 4; count += 1) {
      const running = await pod.sidecar(TOLD);
      await pod.clock.advance(MINUTE_MS);
      assert.equal(pod.notifier.notified.length, count);
      await running.stop();
      assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
    }
  });

  test('unchanged files cause no notification', async (t) => {
    const pod = new StatefulPod(t);
    const document = { ...TOLD, files: FILES.slice(0, 1) };
    await (await pod.sidecar(document)).stop();
    await pod.sidecar(document);
    await pod.clock.advance(30 * MINUTE_MS);
    assert.deepEqual([pod.vault.count('login'), pod.notifier.notified.length], [2, 0]);
  });

  test('the sidecar of a pair, stopped: notified once', async (t) => {
    const pod = new StatefulPod(t);
    await pod.init(TOLD);
    await (await pod.sidecar(TOLD)).stop();
    await pod.sidecar(TOLD);
    await pod.clock.advance(MINUTE_MS);
    assert.equal(pod.notifier.notified.length, 1);
  });

  test('while a notification waits for its answer: the successor notifies', async (t) => {
    const pod = new StatefulPod(t);
    const document = { ...TOLD, files: FILES.slice(0, 1) };
    const first = await pod.sidecar(document);
    const hanging = Promise.withResolvers<undefined>();
    let notifying = 0;
    pod.notifier.before = async () => {
      notifying += 1;
      await hanging.promise;
    };
    pod.vault.put('kv/app', { a: '2' });
    while (notifying === 0) await pod.clock.advance(10_000);
    first.kill();
    hanging.reject(new Error('stopped'));
    await first.stop();
    pod.notifier.before = () => Promise.resolve();
    await pod.sidecar(document);
    await pod.clock.advance(MINUTE_MS);
    assert.equal(pod.writer.get('kv'), '2');
    assert.equal(pod.notifier.notified.length, 1);
  });

  test('before the successor could deliver: the third one notifies', async (t) => {
    const pod = new StatefulPod(t);
    await (await pod.sidecar(TOLD)).stop();
    pod.writer.failure = failure('ERR_OUTPUT_IO');
    const second = await pod.start({ ...TOLD, files: FILES }, pod.stateFile());
    await until(() => pod.writer.writes > 1);
    assert.ok(!second.agent.isStarted, 'the files hold what was revoked');
    await second.stop();
    pod.writer.failure = undefined;
    await pod.sidecar(TOLD);
    await pod.clock.advance(MINUTE_MS);
    assert.equal(pod.notifier.notified.length, 1);
  });

  test('killed after the login of the successor: no application starts with what was revoked', async (t) => {
    const pod = new StatefulPod(t);
    await (await pod.sidecar(TOLD)).stop();
    pod.writer.failure = failure('ERR_OUTPUT_IO');
    const killed = await pod.start({ ...TOLD, files: FILES, revokeOnExit: false }, pod.stateFile());
    await until(() => pod.writer.writes > 1);
    await killed.stop();
    const { writes } = pod.writer;
    const third = await pod.start({ ...TOLD, files: FILES }, pod.stateFile());
    await until(() => pod.writer.writes > writes);
    assert.ok(!third.agent.isStarted);
    pod.writer.failure = undefined;
    while (!third.agent.isDelivered) await pod.clock.advance(1000);
    await pod.clock.advance(MINUTE_MS);
    assert.deepEqual([pod.vault.count('login'), pod.notifier.notified.length], [2, 1]);
  });
});

suite('stopped where Vault cannot revoke', () => {
  test('the state keeps the token, and the successor revokes it after the notification', async (t) => {
    const pod = new StatefulPod(t);
    const first = await pod.sidecar(TOLD);
    const user = pod.writer.get('db') ?? '';
    refuse(pod.vault, 'revokeToken');
    await first.stop();
    assert.equal(stateOf(pod)?.kind, 'tombstone');
    assert.ok(pod.stateText.includes('token-1'));
    refuse(pod.vault);
    await pod.sidecar({ ...TOLD, revokeGrace: '10s' });
    assert.ok(pod.vault.isGood(user), 'make before break');
    await settle();
    assert.equal(pod.notifier.notified.length, 1);
    await pod.clock.advance(11_000);
    assert.ok(!pod.vault.isGood(user));
    assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [1, 1]);
    assert.ok(!pod.stateText.includes('token-1'), 'what is revoked is not kept');
  });

  test('the successor is stopped as well: it revokes both', async (t) => {
    const pod = new StatefulPod(t);
    const first = await pod.sidecar();
    refuse(pod.vault, 'revokeToken');
    await first.stop();
    refuse(pod.vault, 'login', 'fetch');
    const second = await pod.start({ files: FILES }, pod.stateFile());
    await until(() => pod.vault.count('login') > 1);
    refuse(pod.vault);
    await second.stop();
    assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
  });

  test('killed in the middle: a token that may be revoked is not used, and one that may be valid is not forgotten', async (t) => {
    for (const isRevoked of [true, false]) {
      const pod = new StatefulPod(t);
      const first = await pod.sidecar(TOLD);
      const hanging = Promise.withResolvers<undefined>();
      pod.vault.intercept = ({ operation }) =>
        operation === 'revokeToken' ? hanging.promise : undefined;
      first.kill();
      await until(() => pod.vault.count('revokeToken') === 1);
      const left = pod.stateText; // of a process that is no more
      if (isRevoked) pod.vault.revokeTokens();
      hanging.resolve(undefined);
      await first.stop();
      writeFileSync(join(pod.directory, 'state.json'), left);
      await pod.sidecar(TOLD);
      await pod.clock.advance(MINUTE_MS);
      assert.ok(pod.vault.isGood(pod.writer.get('db') ?? ''));
      assert.equal(pod.notifier.notified.length, 1);
      assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [1, 1]);
    }
  });

  test('a batch token: its leases are kept, and revoked one by one', async (t) => {
    const pod = new StatefulPod(t);
    pod.vault.tokenType = 'batch';
    const first = await pod.sidecar();
    const user = pod.writer.get('db') ?? '';
    refuse(pod.vault, 'revokeLease');
    await first.stop();
    refuse(pod.vault);
    await pod.sidecar();
    await pod.clock.advance(11_000);
    assert.ok(!pod.vault.isGood(user));
    assert.equal(pod.vault.good, 1);
  });

  test('a token that has expired meanwhile is not revoked', async (t) => {
    const pod = new StatefulPod(t);
    const first = await pod.sidecar();
    refuse(pod.vault, 'revokeToken');
    await first.stop();
    refuse(pod.vault);
    await pod.clock.advance(61 * MINUTE_MS);
    await pod.sidecar();
    await pod.clock.advance(MINUTE_MS);
    assert.equal(pod.vault.count('revokeToken', 'token-1'), 1);
  });
});

test('killed in the grace of a token that was replaced: the successor revokes it', async (t) => {
  const pod = new StatefulPod(t);
  pod.vault.tokenRenewable = false;
  const document = { ...TOLD, revokeGrace: '5m', revokeOnExit: false };
  const killed = await pod.sidecar(document);
  while (pod.notifier.notified.length === 0) await pod.clock.advance(1000);
  assert.equal(pod.vault.liveTokens, 2);
  await killed.stop();
  await pod.sidecar({ ...document, revokeGrace: '10s' });
  await pod.clock.advance(15_000);
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [1, 1]);
  assert.equal(pod.notifier.notified.length, 1);
});

suite('a start that does not succeed', () => {
  for (const [name, once] of [
    ['an init container', true],
    ['an agent of native mode', false],
  ] as const) {
    test(`${name} that fails leaves nothing: there may be no next try`, async (t) => {
      const pod = new StatefulPod(t);
      pod.vault.intercept = ({ subject }) =>
        subject === 'kv/app' ? failure('ERR_VAULT_SERVER') : undefined;
      const agent = pod.agent({ files: FILES, initDeadline: '30s' }, pod.stateFile());
      const running = await pod.run(
        (a, signal) => (once ? a.runOnce(signal) : a.run(signal)),
        agent,
      );
      await running.end();
      assert.match(String(running.outcome?.error), /not written within 30s/);
      assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
      assert.ok(!existsSync(join(pod.directory, 'state.json')));
    });

    test(`${name} that is stopped before it delivered leaves nothing`, async (t) => {
      const pod = new StatefulPod(t);
      pod.writer.failure = failure('ERR_OUTPUT_IO');
      const agent = pod.agent({ ...TOLD, files: FILES }, pod.stateFile());
      const running = await pod.run(
        (a, signal) => (once ? a.runOnce(signal) : a.run(signal)),
        agent,
      );
      await until(() => pod.writer.writes > 0);
      await running.stop();
      assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
      assert.ok(!existsSync(join(pod.directory, 'state.json')));
      pod.writer.failure = undefined;
      await pod.sidecar(TOLD);
      await settle();
      assert.deepEqual(pod.notifier.notified, [], 'no application has started yet');
    });
  }
});

suite('states of other versions and of others', () => {
  /** Changes the state that lies there, as another version would have written it. */
  function rewrite(pod: StatefulPod, change: (envelope: Record<string, unknown>) => void): void {
    const envelope = JSON.parse(pod.stateText) as Record<string, unknown>; // an envelope is an object
    change(envelope);
    writeFileSync(join(pod.directory, 'state.json'), JSON.stringify(envelope));
  }

  function dropFields(envelope: Record<string, unknown>, fields: readonly string[]): void {
    const state = envelope['state'] as Record<string, unknown>; // what an envelope holds
    for (const field of fields) Reflect.deleteProperty(state, field);
  }

  const ADDED = ['kind', 'connection', 'isRevoked', 'retired'];

  for (const [name, version, dropped] of [
    ['before the first release', 1, [...ADDED, 'told']],
    ['without tombstones', 2, ADDED],
    ['the next one', 3, []],
  ] as const) {
    test(`the state of the version ${name}: no login, no credential more`, async (t) => {
      const pod = new StatefulPod(t);
      await pod.init();
      rewrite(pod, (envelope) => {
        envelope['version'] = version;
        dropFields(envelope, dropped);
      });
      await pod.sidecar(TOLD);
      await pod.clock.advance(MINUTE_MS);
      assert.deepEqual([pod.vault.count('login'), pod.vault.liveTokens], [1, 1]);
      assert.deepEqual(pod.notifier.notified, []);
    });
  }

  test('an older agent reads a tombstone as a state without token, with the notified digests', async (t) => {
    const pod = new StatefulPod(t);
    await (await pod.sidecar(TOLD)).stop();
    const { version, state } = JSON.parse(pod.stateText) as { version: number; state: SavedState };
    assert.equal(version, 2);
    assert.deepEqual([state.isDelivered, state.session, state.values], [true, null, []]);
    assert.deepEqual(Object.keys(state.told).sort(), ['db', 'kv']);
  });

  test('a session that a newer version wrote otherwise is revoked, not dropped', async (t) => {
    const pod = new StatefulPod(t);
    await pod.init();
    rewrite(pod, (envelope) => {
      envelope['version'] = 3;
      const { session } = envelope['state'] as { session: Record<string, unknown> };
      session['ageMs'] = { seconds: 1 };
    });
    await pod.sidecar(TOLD);
    await pod.clock.advance(MINUTE_MS);
    assert.deepEqual([pod.vault.count('login'), pod.vault.liveTokens], [2, 1]);
    assert.equal(pod.notifier.notified.length, 1);
  });

  test('of another login with the same Vault: notified and revoked; of another Vault: only notified', async (t) => {
    for (const [other, left] of [
      [{ auth: { role: 'other' } }, 1],
      [{ vault: { address: 'https://other.test:8200' } }, 2],
    ] as const) {
      const pod = new StatefulPod(t);
      await pod.init(TOLD);
      await pod.sidecar({ ...TOLD, ...other });
      await pod.clock.advance(MINUTE_MS);
      assert.equal(pod.notifier.notified.length, 1);
      assert.equal(pod.vault.liveTokens, left);
    }
  });
});

test('a tombstone that does not fit beside the state takes its place', async (t) => {
  const pod = new StatefulPod(t);
  const file = pod.stateFile();
  const path = join(pod.directory, 'state.json');
  const running = await pod.start({ ...TOLD, files: FILES }, file);
  await until(() => running.agent.isDelivered);
  await settle();
  const save = file.save.bind(file);
  t.mock.method(file, 'save', (state: SavedState) => {
    if (existsSync(path)) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    save(state);
  });
  await running.stop();
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
  assert.ok(!readFileSync(path, 'utf8').includes('token-1'));
  await pod.sidecar(TOLD);
  await pod.clock.advance(MINUTE_MS);
  assert.equal(pod.notifier.notified.length, 1);
});

test('with revoke-on-exit off the successor resumes, and does not notify', async (t) => {
  const pod = new StatefulPod(t);
  await (await pod.sidecar({ ...TOLD, revokeOnExit: false })).stop();
  await pod.sidecar(TOLD);
  await pod.clock.advance(MINUTE_MS);
  assert.deepEqual([pod.vault.count('login'), pod.notifier.notified.length], [1, 0]);
});

test('without a state nothing is left for a successor, and nothing in Vault', async (t) => {
  const pod = new StatefulPod(t);
  const running = await pod.start({ files: FILES });
  await running.stop();
  rmSync(pod.directory, { recursive: true, force: true });
  assert.deepEqual([pod.vault.liveTokens, pod.vault.good], [0, 0]);
  assert.equal(new StateFile(pod.directory, pod.clock).load(), undefined);
});
